"""Grades by share, and that the page about the check shows every threshold as it is."""

from pathlib import Path

import pytest

from mt_trainer.data.checking.catalogue import CHECKS, Check, Grade

PAGE = (Path(__file__).resolve().parents[4] / "docs" / "data_check.md").read_text(encoding="utf-8")


def check(look: float | None, fault: float | None) -> Check:
    return Check("x", "x", look, fault, "effect", "remedy")


@pytest.mark.parametrize(
    ("look", "fault", "count", "grade"),
    [
        (0.0, None, 0, Grade.FINE),
        (0.0, None, 1, Grade.LOOK),
        (None, 0.0, 0, Grade.FINE),
        (None, 0.0, 1, Grade.FAULT),
        (0.1, 0.5, 9, Grade.FINE),
        (0.1, 0.5, 10, Grade.LOOK),
        (0.1, 0.5, 49, Grade.LOOK),
        (0.1, 0.5, 50, Grade.FAULT),
        (None, None, 100, Grade.FINE),
    ],
)
def test_grades(look: float | None, fault: float | None, count: int, grade: Grade) -> None:
    assert check(look, fault).grade(count, 100) is grade


def threshold(share: float | None) -> str:
    return "never" if share is None else "any" if share == 0 else f"{100 * share:g} %"


def row(check: Check) -> str:
    """The line of a check in the table of the page."""
    cells = (check.title, f"`{check.name}`", threshold(check.look), threshold(check.fault), check.effect, check.remedy)
    return f"| {' | '.join(cells)} |"


def test_the_page_has_the_table_of_the_catalogue() -> None:
    lines = [line for line in PAGE.splitlines() if line.startswith("| ") and "`" in line]
    assert [line for line in lines if line.count(" | ") == 5] == [row(check) for check in CHECKS.values()]


def test_thresholds_rise() -> None:
    for each in CHECKS.values():
        assert each.look is None or each.fault is None or each.look < each.fault, each.name
