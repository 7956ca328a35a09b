"""Problems and errors: how they are shown, and that docs/errors.md has each of them."""

import re
from pathlib import Path

import pytest

from mt_trainer.errors import ERROR_KINDS, ConfigError, DataError, ExitCode, MtError, Problem

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "errors.md").read_text(encoding="utf-8")


def test_a_problem_shows_all_that_is_known() -> None:
    problem = Problem("MT021", "unknown key `x`", where="a.yaml:3:1", excerpt="    3 | x: 1", help="use `y`")
    assert problem.render() == "error[MT021]: unknown key `x`\n  --> a.yaml:3:1\n    3 | x: 1\nhelp: use `y`"
    assert Problem("MT021", "unknown key").render() == "error[MT021]: unknown key"


def test_the_first_problem_says_how_many_follow() -> None:
    one, two = Problem("MT021", "a"), Problem("MT024", "b")
    assert str(ConfigError(one)) == "error[MT021]: a\nnote: nothing was written"
    assert str(ConfigError([one, two])) == (
        "error[MT021]: a\nnote: 1 more problem follows; nothing was written\n\nerror[MT024]: b"
    )
    assert "note: 2 more problems follow; nothing" in str(ConfigError([one, two, two]))


def test_nothing_is_said_to_be_unwritten_that_might_be() -> None:
    assert str(DataError(Problem("MT052", "a"))) == "error[MT052]: a"
    both = MtError([Problem("MT021", "a"), Problem("MT103", "b")])
    assert str(both) == "error[MT021]: a\nnote: 1 more problem follows\n\nerror[MT103]: b"


def test_the_exit_code_is_that_of_the_first_problem() -> None:
    assert MtError(Problem("MT021", "a")).exit_code is ExitCode.USER_INPUT
    assert MtError([Problem("MT053", "a"), Problem("MT021", "b")]).exit_code is ExitCode.CORRUPT
    assert MtError(Problem("MT120", "a")).exit_code is ExitCode.DIVERGED
    assert [code.value for code in ExitCode] == [0, 1, 2, 3, 4, 129, 130, 141, 143]


def test_an_error_has_a_problem_with_a_registered_code() -> None:
    with pytest.raises(ValueError, match="at least one"):
        MtError([])
    with pytest.raises(ValueError, match="unregistered error code MT999"):
        MtError(Problem("MT999", "a"))


@pytest.mark.parametrize("code", ERROR_KINDS)
def test_the_page_has_title_status_example_and_remedy_of_each_code(code: str) -> None:
    kind = ERROR_KINDS[code]
    entry = re.search(
        rf"^### {code}: ([^\n]*)\n\nExit status (\d)\.\n\n```\n(.*?)```\n\n(.*?)(?=\n#|\Z)", PAGE, re.M | re.S
    )
    assert entry is not None, f"docs/errors.md lacks {code}"
    title, status, example, remedy = entry.groups()
    assert title == kind.title
    assert int(status) == kind.exit_code
    assert example.startswith(f"error[{code}]: ")
    assert len(remedy.strip()) > 20


def test_the_page_has_no_other_code() -> None:
    assert re.findall(r"^### (MT\d+)", PAGE, re.M) == list(ERROR_KINDS)
