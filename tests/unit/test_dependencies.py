"""Dependencies: no floor lies below a known fault, and the tested set stands above the floors."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

SAFE_SINCE = {
    "torch": ("2.10", "CVE-2025-32434: code runs from a file that is read with weights_only=True (2.6)"),
    "numpy": ("1.22", "CVE-2021-41496, CVE-2021-34141: overflow of buffers, faulty comparison"),
    "sentencepiece": ("0.2.1", "CVE-2026-1260: a model file writes beyond its memory"),
    "sacrebleu": ("2.4", "none known"),
    "datasets": ("4.0", "scripts of a data set are run (before 4)"),
    "pyarrow": (
        "23.0.1",
        "CVE-2023-47248: pickled types in files (14.0.1); CVE-2026-25087: memory used after it is freed",
    ),
    "safetensors": ("0.4.5", "none known"),
    "pydantic": ("2.4", "CVE-2024-3772: a regular expression that takes for ever"),
    "pyyaml": ("5.4", "CVE-2020-14343: code runs from a file"),
    "typer": ("0.12", "none known"),
    "tqdm": ("4.66.3", "CVE-2024-34062: options of the command line are evaluated"),
    "tensorboard": ("2.16", "none known"),
}
"""For each dependency the first version without the faults that are known, and what they are."""


def version(text: str) -> tuple[int, ...]:
    numbers = [int(part) for part in re.findall(r"\d+", text.partition("+")[0])]
    return tuple([*numbers, 0, 0, 0][:3])


def floors() -> dict[str, str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return dict(re.fullmatch(r"([\w-]+)>=([\d.]+)", line).groups() for line in project["dependencies"])  # type: ignore[union-attr,misc]


def test_every_dependency_has_a_floor_and_was_looked_at() -> None:
    assert floors().keys() == SAFE_SINCE.keys()


@pytest.mark.parametrize("package", SAFE_SINCE)
def test_no_floor_is_below_a_known_fault(package: str) -> None:
    since, why = SAFE_SINCE[package]
    assert version(floors()[package]) >= version(since), why


def test_the_tested_versions_stand_above_the_floors() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    tested = {name.lower(): found for name, _, found in (line.partition("==") for line in lines if "==" in line)}
    below = {name: tested[name] for name, floor in floors().items() if version(tested[name]) < version(floor)}
    assert below == {}
