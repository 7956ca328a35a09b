"""Files with one line for each piece of the vocabulary, in the order of the ids: priors, class weights, groups.

A file is UTF-8 text of V lines; a last line break is optional. What is wrong with it is found before any work starts,
see `check_objective`.
"""

import math
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from typing import TypeVar, cast

import torch
from torch import Tensor

from mt_trainer.artefacts import read_at_most
from mt_trainer.config.places import printable
from mt_trainer.errors import ConfigError, Problem
from mt_trainer.objectives.formulas.priors import PieceGroup

SUM_TOLERANCE = 1e-6
"""How far the numbers of a prior may be from summing to one; they are then scaled to one exactly."""

PRIORS = ("uniform", "unigram", "target_side")
GROUPS: tuple[PieceGroup, ...] = ("target", "common", "source", "none")

LARGEST_FILE_BYTES = 64 * 2**20
"""Room for a million lines of any length that makes sense."""

T = TypeVar("T")


def read_prior(path: str, *, vocab_size: int) -> Tensor:
    """A prior [V] float64: numbers >= 0 that sum to one within 1e-6.

    Args:
        path: of the file.
        vocab_size: V.

    Raises:
        ConfigError: MT028, with all that is wrong with the file.
    """
    help = "a prior has one number >= 0 for each piece of the vocabulary, one a line, and they sum to one"
    numbers = _read(path, _number, vocab_size=vocab_size, key="prior", choices=PRIORS, help=help)
    total = sum(numbers)
    if abs(total - 1) > SUM_TOLERANCE:
        advice = f"divide each of them by {total:.9g}" if 0 < total < math.inf else help
        raise ConfigError(Problem("MT028", f"the prior sums to {total:.9g}, not to one", printable(path), help=advice))
    return torch.tensor(numbers, dtype=torch.float64) / total


def read_weights(path: str, *, vocab_size: int) -> Tensor:
    """Class weights [V] float64: numbers >= 0, not all of them 0. Arguments and errors as for `read_prior`."""
    help = "there is one weight >= 0 for each piece of the vocabulary, one a line"
    numbers = _read(path, _number, vocab_size=vocab_size, key="weights", choices=(), help=help)
    total = sum(numbers)
    if not 0 < total < math.inf:
        raise ConfigError(Problem("MT028", f"the class weights sum to {total:g}", printable(path), help=help))
    return torch.tensor(numbers, dtype=torch.float64)


def read_groups(path: str, *, vocab_size: int) -> list[PieceGroup]:
    """The group of each piece [V]. Arguments and errors as for `read_prior`."""
    help = "there is one word for each piece of the vocabulary, one a line: " + ", ".join(f"`{g}`" for g in GROUPS)
    return _read(path, _group, vocab_size=vocab_size, key="groups", choices=("counts",), help=help)


def _read(
    path: str,
    parse: Callable[[str], T | None],
    *,
    vocab_size: int,
    key: str,
    choices: tuple[str, ...],
    help: str,
) -> list[T]:
    try:
        text = read_at_most(Path(path), LARGEST_FILE_BYTES).decode("utf-8").replace("\r\n", "\n")
    except (OSError, ValueError) as error:  # ValueError: no UTF-8, far too large, or a path that is none
        raise ConfigError(_unreadable(path, error, key=key, choices=choices)) from None
    lines = text.removesuffix("\n").split("\n") if text else []
    values = [parse(line.strip()) for line in lines]
    problems = []
    if bad := [number for number, value in enumerate(values, start=1) if value is None]:
        others = f", and {len(bad) - 1} more of its lines likewise" if len(bad) > 1 else ""
        line = lines[bad[0] - 1]
        shown = f"`{printable(line[:40])}`" if line.strip() else "empty"
        message = f"line {bad[0]} of the file of `{key}` is {shown}{others}"
        excerpt = f"{bad[0]:>5} | {printable(line[:120])}".rstrip()
        problems.append(Problem("MT028", message, f"{printable(path)}:{bad[0]}", excerpt, help))
    if len(lines) != vocab_size:
        message = f"the file of `{key}` has {len(lines)} lines, but the vocabulary has {vocab_size} pieces"
        problems.append(Problem("MT028", message, f"{printable(path)}:{min(len(lines), vocab_size) + 1}", help=help))
    if problems:
        raise ConfigError(problems)
    return cast(list[T], values)


def _unreadable(path: str, error: Exception, *, key: str, choices: tuple[str, ...]) -> Problem:
    reason = error.strerror if isinstance(error, OSError) else str(error)
    if isinstance(error, UnicodeDecodeError):
        reason = "it is not UTF-8 text"
    listed = ", ".join(f"`{choice}`" for choice in choices)
    close = get_close_matches(path, choices, n=1)
    advice = f"the closest choice is `{close[0]}`; " if close else ""
    help = f"{advice}give the path of a file, relative to the working directory" + (f", or {listed}" if listed else "")
    return Problem("MT028", f"the file of `{key}` cannot be read: {reason}", printable(path), help=help)


def _number(text: str) -> float | None:
    """A finite number >= 0."""
    try:
        value = float(text) if "_" not in text else math.nan
    except ValueError:
        return None
    return value if 0 <= value < math.inf else None


def _group(text: str) -> PieceGroup | None:
    return next((group for group in GROUPS if group == text), None)
