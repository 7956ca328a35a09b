"""docs/reliability.md: every test that it names is there, and each of the sixty promises has a line."""

import ast
import re
from pathlib import Path

import pytest
from torch.distributed.run import get_args_parser

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
LINES = {int(number): text for number, text in re.findall(r"^\* \*\*(\d+)\*\* (.*?)(?=^\* |^\n|\Z)", PAGE, re.M | re.S)}
TEST = re.compile(r"`(tests/[\w/]+\.py)::((?:test_|Test)\w+)`")
WITHOUT_TEST = ("Not yet: ", "Does not apply: ")


def test_each_of_the_sixty_has_one_line() -> None:
    assert sorted(map(int, re.findall(r"^\* \*\*(\d+)\*\*", PAGE, re.MULTILINE))) == list(range(1, 61))


@pytest.mark.parametrize("number", sorted(LINES))
def test_a_promise_has_a_test_or_says_why_not(number: int) -> None:
    text = LINES[number]
    assert TEST.search(text) or any(reason in text for reason in WITHOUT_TEST), text


@pytest.mark.parametrize(("path", "name"), sorted(set(TEST.findall(PAGE))))
def test_a_test_that_is_named_is_there(path: str, name: str) -> None:
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}


def test_every_test_is_named_in_full() -> None:
    assert PAGE.count("::") == len(TEST.findall(PAGE)) > 60


@pytest.mark.parametrize("page", ["README.md", "docs/reliability.md"])
def test_torchrun_is_told_of_every_signal_that_stops_a_run(page: str) -> None:
    option = re.search(r"`(--signals-to-handle) (\S+)`", (ROOT / page).read_text(encoding="utf-8"))
    assert option, "without it torchrun dies of SIGUSR1"
    parsed = get_args_parser().parse_args([*option.groups(), "train.py"])
    assert set(parsed.signals_to_handle.split(",")) == {"SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1"}


def test_the_readme_leads_here() -> None:
    assert "(docs/reliability.md)" in (ROOT / "README.md").read_text(encoding="utf-8")
