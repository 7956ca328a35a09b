"""Which training pairs are dropped, and why. Every dropped pair is counted under one reason: the first that applies.

Order: not valid text (dropped while reading), blank on either side, longer than any permitted number of pieces can
spell, identical sides, duplicate of an earlier pair; then, once encoded: no piece left on a side, too many pieces,
lopsided. A pair is always dropped as a whole, so sides never shift against each other.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, fields
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

MAX_CHARACTERS_PER_TOKEN = 64
"""A side with more characters than this for each permitted token is too long without being encoded: pieces of models
trained here have at most 16 characters, and a line of many megabytes must not reach the tokenizer."""

IDENTICAL_MIN_WORDS = 4
"""Shorter texts may be the same in both languages (names, numbers, "OK")."""

NOTABLE_SHARE = 0.1
"""When one reason drops more of the pairs than this, the setting behind it is named."""

DECIDING_SETTING = {
    "invalid_text": "data.on_invalid_text",
    "too_long": "data.max_length",
    "identical": "data.drop_identical",
    "duplicate": "data.drop_duplicates",
    "length_ratio": "data.max_length_ratio",
}
"""The setting that decides about each reason, where there is one."""

LENIENCE_TOKENS = 5
"""Added to both counts before their ratio is taken: short sentences differ more."""


class Verdict(IntEnum):
    """What becomes of a pair."""

    KEPT = 0
    BLANK = 1
    TOO_LONG = 2
    IDENTICAL = 3
    DUPLICATE = 4
    EMPTY_AFTER_TOKENISATION = 5
    LENGTH_RATIO = 6


@dataclass(frozen=True)
class CleaningCounts:
    """Pairs read, kept, and dropped under each reason; `read` is the sum of all others."""

    read: int
    kept: int
    invalid_text: int
    blank: int
    too_long: int
    identical: int
    duplicate: int
    empty_after_tokenisation: int
    length_ratio: int

    def describe(self) -> str:
        """One line, such as `kept 28,990 of 29,000 pairs; dropped 3 blank, 7 duplicate`."""
        reasons = [field.name for field in fields(self) if field.name not in ("read", "kept")]
        dropped = [f"{getattr(self, name):,} {name.replace('_', ' ')}" for name in reasons if getattr(self, name)]
        return f"kept {self.kept:,} of {self.read:,} pairs" + (f"; dropped {', '.join(dropped)}" if dropped else "")

    def notable(self) -> list[str]:
        """A line for every reason that dropped more than `NOTABLE_SHARE` of the pairs, with the setting to look at."""
        lines = []
        for name, setting in DECIDING_SETTING.items():
            share = getattr(self, name) / max(self.read, 1)
            if share > NOTABLE_SHARE:
                reason = name.replace("_", " ")
                lines.append(f"warning: {share:.0%} of the training pairs are dropped as {reason}: see `{setting}`")
        return lines


def judge_texts(
    pairs: Iterable[tuple[str, str]], *, max_length: int, drop_identical: bool, drop_duplicates: bool
) -> NDArray[np.uint8]:
    """A `Verdict` for each pair, by its text alone. Memory: 17 bytes a pair.

    Duplicates are equal in a 128-bit hash of both sides; the first one stays.
    """
    max_characters = MAX_CHARACTERS_PER_TOKEN * max_length
    verdicts = bytearray()
    digests = bytearray()
    for src, tgt in pairs:
        if not src.strip() or not tgt.strip():
            verdict = Verdict.BLANK
        elif len(src) > max_characters or len(tgt) > max_characters:
            verdict = Verdict.TOO_LONG
        elif drop_identical and src.strip() == tgt.strip() and len(src.split()) >= IDENTICAL_MIN_WORDS:
            verdict = Verdict.IDENTICAL
        else:
            verdict = Verdict.KEPT
            if drop_duplicates:
                # NUL occurs in no valid text, so ("ab", "c") and ("a", "bc") differ.
                digests += hashlib.blake2b(f"{src}\0{tgt}".encode(), digest_size=16).digest()
        verdicts.append(verdict)
    result = np.frombuffer(verdicts, dtype=np.uint8)
    if drop_duplicates:
        candidates = np.flatnonzero(result == Verdict.KEPT)
        result[candidates[_repeated(np.frombuffer(digests, dtype=np.uint64).reshape(-1, 2))]] = Verdict.DUPLICATE
    return result


def _repeated(digests: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """For each row of [N, 2]: whether an earlier row is equal."""
    order = np.lexsort((digests[:, 1], digests[:, 0]))  # stable, so the first of equal rows comes first
    is_repeated = np.zeros(len(digests), dtype=bool)
    is_repeated[order[1:]] = (digests[order[1:]] == digests[order[:-1]]).all(axis=1)
    return is_repeated


def judge_lengths(
    src_lengths: NDArray[np.int32], tgt_lengths: NDArray[np.int32], *, max_length: int, max_length_ratio: float
) -> NDArray[np.uint8]:
    """A `Verdict` for each pair by its piece counts (without special pieces; `max_length` includes the end mark)."""
    shorter = np.minimum(src_lengths, tgt_lengths)
    longer = np.maximum(src_lengths, tgt_lengths)
    verdicts = np.full(len(shorter), Verdict.KEPT, dtype=np.uint8)
    verdicts[(longer + LENIENCE_TOKENS) > max_length_ratio * (shorter + LENIENCE_TOKENS)] = Verdict.LENGTH_RATIO
    verdicts[longer + 1 > max_length] = Verdict.TOO_LONG
    verdicts[shorter == 0] = Verdict.EMPTY_AFTER_TOKENISATION
    return verdicts


def count_verdicts(verdicts: NDArray[np.uint8], *, invalid_text: int) -> CleaningCounts:
    """How many pairs have each verdict, beside the rows that were no text."""
    totals = np.bincount(verdicts, minlength=len(Verdict))
    return CleaningCounts(
        read=len(verdicts) + invalid_text,
        invalid_text=invalid_text,
        **{verdict.name.lower(): int(totals[verdict]) for verdict in Verdict},
    )
