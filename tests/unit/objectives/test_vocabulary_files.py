"""Messages word for word, for files with a line for each piece."""

from pathlib import Path
from typing import Any

import pytest

from mt_trainer.errors import ConfigError
from mt_trainer.objectives.building.vocabulary_files import read_groups, read_prior, read_weights

PRIOR_HELP = "a prior has one number >= 0 for each piece of the vocabulary, one a line, and they sum to one"
READERS: dict[str, Any] = {"prior": read_prior, "weights": read_weights, "groups": read_groups}


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def refusal(kind: str, content: str | bytes, vocab_size: int = 4) -> str:
    Path("file.txt").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfigError) as caught:
        READERS[kind]("file.txt", vocab_size=vocab_size)
    assert {problem.code for problem in caught.value.problems} == {"MT028"}
    return caught.value.render().replace("\nnote: nothing was written", "")


@pytest.mark.parametrize("content", ["0.1\n0.2\n0.3\n0.4\n", "0.1\r\n 0.2\n3e-1\n.4"])
def test_a_prior_is_read(content: str) -> None:
    Path("prior.txt").write_text(content, newline="")
    assert read_prior("prior.txt", vocab_size=4).tolist() == pytest.approx([0.1, 0.2, 0.3, 0.4], abs=1e-15)


def test_a_prior_within_the_tolerance_is_scaled_to_one() -> None:
    Path("prior.txt").write_text("0.5\n0.4999995\n")
    assert read_prior("prior.txt", vocab_size=2).sum().item() == 1
    Path("prior.txt").write_text("0.5\n0.499998\n")
    with pytest.raises(ConfigError, match=r"the prior sums to 0\.999998, not to one"):
        read_prior("prior.txt", vocab_size=2)


def test_weights_and_groups_are_read() -> None:
    Path("weights.txt").write_text("1\n0\n2.5\n")
    assert read_weights("weights.txt", vocab_size=3).tolist() == [1, 0, 2.5]
    Path("groups.txt").write_text("none\ntarget\ncommon\nsource\n")
    assert read_groups("groups.txt", vocab_size=4) == ["none", "target", "common", "source"]


@pytest.mark.parametrize("number", ["nan", "inf", "-inf", "-0.1", "abc", "1_0", "0.1 0.2", "1e999", "0,5"])
def test_what_is_no_number_is_shown_with_its_line(number: str) -> None:
    assert refusal("prior", f"0.5\n0.3\n{number}\n0.2\n") == (
        f"error[MT028]: line 3 of the file of `prior` is `{number}`\n"
        f"  --> file.txt:3\n"
        f"    3 | {number}\n"
        f"help: {PRIOR_HELP}"
    )


def test_the_first_of_many_bad_lines_is_shown_and_the_wrong_size_too() -> None:
    assert refusal("prior", "0.5\n\nx\ny\n", vocab_size=3) == (
        "error[MT028]: line 2 of the file of `prior` is empty, and 2 more of its lines likewise\n"
        "  --> file.txt:2\n"
        "    2 |\n"
        f"help: {PRIOR_HELP}\n"
        "note: 1 more problem follows; nothing was written\n\n"
        "error[MT028]: the file of `prior` has 4 lines, but the vocabulary has 3 pieces\n"
        "  --> file.txt:4\n"
        f"help: {PRIOR_HELP}"
    )


@pytest.mark.parametrize(("content", "num_lines", "line"), [("", 0, 1), ("0.5\n0.5\n", 2, 3), ("0.2\n" * 5, 5, 5)])
def test_a_wrong_size_points_where_the_lines_end_or_go_on(content: str, num_lines: int, line: int) -> None:
    message = refusal("prior", content)
    assert (
        f"the file of `prior` has {num_lines} lines, but the vocabulary has 4 pieces\n  --> file.txt:{line}" in message
    )


def test_a_sum_that_is_not_one_says_by_what_to_divide() -> None:
    assert refusal("prior", "1\n2\n3\n4\n") == (
        "error[MT028]: the prior sums to 10, not to one\n  --> file.txt\nhelp: divide each of them by 10"
    )
    assert f"sums to 0, not to one\n  --> file.txt\nhelp: {PRIOR_HELP}" in refusal("prior", "0\n" * 4)
    assert "sums to inf, not to one" in refusal("prior", "1e308\n" * 4)


@pytest.mark.parametrize(("content", "total"), [("0\n" * 4, "0"), ("1e308\n" * 4, "inf")])
def test_class_weights_have_to_weigh_something(content: str, total: str) -> None:
    assert f"the class weights sum to {total}" in refusal("weights", content)


def test_an_unknown_group_is_shown() -> None:
    assert refusal("groups", "target\nboth\nsource\nnone\n") == (
        "error[MT028]: line 2 of the file of `groups` is `both`\n"
        "  --> file.txt:2\n"
        "    2 | both\n"
        "help: there is one word for each piece of the vocabulary, one a line: `target`, `common`, `source`, `none`"
    )


def test_a_misspelt_choice_is_no_file_and_the_nearest_one_is_named() -> None:
    with pytest.raises(ConfigError) as caught:
        read_prior("unigarm", vocab_size=4)
    assert caught.value.render() == (
        "error[MT028]: the file of `prior` cannot be read: No such file or directory\n"
        "  --> unigarm\n"
        "help: the closest choice is `unigram`; give the path of a file, relative to the working directory, or "
        "`uniform`, `unigram`, `target_side`\n"
        "note: nothing was written"
    )


def test_a_file_that_is_no_text_is_refused() -> None:
    assert "cannot be read: it is not UTF-8 text" in refusal("weights", b"\xff\xfe1\n")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_weights("a\0b", vocab_size=4)
    with pytest.raises(ConfigError, match="Is a directory"):
        read_groups(".", vocab_size=4)
