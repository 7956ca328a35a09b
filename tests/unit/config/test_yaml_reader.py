"""YAML without its traps: scalars of the core schema, places, and what a config has no use for."""

import math
from pathlib import Path
from typing import Any

import pytest

from mt_trainer.config.yaml_reader import LARGEST_FILE_BYTES, read_file, read_text, scalar_of
from mt_trainer.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5e-4", 0.0005),
        ("1e-4", 0.0001),
        ("1E5", 100000.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("-1", -1),
        ("+3", 3),
        ("010", 10),
        ("0o10", 8),
        ("0x1F", 31),
        ("1_000", "1_000"),
        ("12:30", "12:30"),
        ("2016-01-02", "2016-01-02"),
        ("no", "no"),
        ("yes", "yes"),
        ("on", "on"),
        ("Off", "Off"),
        ("y", "y"),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("-.inf", -math.inf),
        ("nan", "nan"),
        ("=", "="),
        ("<<", "<<"),
        ("e5", "e5"),
        ("1e", "1e"),
        ("--1", "--1"),
        ("١", "١"),
    ],
)
def test_scalars_are_those_of_yaml_1_2(text: str, value: object) -> None:
    assert scalar_of(text) == value
    assert type(scalar_of(text)) is type(value)


def test_not_a_number_is_read_as_such() -> None:
    value = scalar_of(".nan")
    assert isinstance(value, float)
    assert math.isnan(value)


def test_quotes_make_text() -> None:
    assert read_text("[\"5\", 'true', 5]", "x").root.plain() == ("5", "true", 5)


def test_a_pair_of_escapes_is_one_character_as_in_json() -> None:
    assert read_text('"\\ud83d\\ude00"', "x").root.value == "😀"


def test_every_value_and_key_knows_its_place() -> None:
    root = read_text("a: 1\nb:\n  - {c: two}\n", "x.yaml").root
    node = root.child("b")
    assert node is not None
    assert node.key_place is not None
    assert node.key_place.where == "x.yaml:2:1"
    item = node.child(0)
    inner = item.child("c") if item else None
    assert inner is not None
    assert inner.key_place is not None
    assert (inner.key_place.where, inner.place.where) == ("x.yaml:3:6", "x.yaml:3:9")
    assert inner.place.excerpt == "    3 |   - {c: two}\n      |         ^^^"


def problems(text: str) -> list[tuple[str, str | None, str]]:
    """Codes, places and messages of what is refused in a text."""
    try:
        found = [finding.problem() for finding in read_text(text, "x").findings]
    except ConfigError as error:
        found = list(error.problems)
    return [(problem.code, problem.where, problem.message) for problem in found]


def test_a_doubled_key_names_both_lines() -> None:
    assert problems("a: 1\nb: 2\na: 3\n") == [("MT025", "x:3:1", "the key `a` stands twice, in line 1 and in line 3")]


def test_all_doubled_keys_are_told_and_the_first_value_stays() -> None:
    document = read_text("{a: 1, a: 2, a: 3}", "x")
    assert [finding.code for finding in document.findings] == ["MT025", "MT025"]
    assert document.root.plain() == {"a": 1}


@pytest.mark.parametrize(
    ("text", "where", "part"),
    [
        ("a:\n\tb: 1\n", "x:2:1", "a tab"),
        ("a: b: c\n", "x:1:5", "second `: `"),
        ("a: [1, 2\n", "x:2:1", "expected"),
        ("a: 'x\n", "x:2:1", "end of stream"),
        ("a: 1\n---\nb: 2\n", "x:2:1", "second document"),
        ("a: !!python/object/apply:os.system [ls]\n", "x:1:4", "tag"),
        ("a: !x 1\n", "x:1:4", "tag"),
        ("a: &x 1\nb: 2\n", "x:1:4", "anchors"),
        ("2016: 1\n", "x:1:1", "key must be text"),
        ("? [a, b]\n: 1\n", "x:1:3", "key must be text"),
        ("true: 1\n", "x:1:1", "key must be text"),
        ("a: " + "[" * 40 + "]" * 40, "x:1:36", "levels deep"),
        ("a: [" + "1, " * 5000 + "1]", "x:1:14996", "more than 5,000"),
        ('a: "\\ud800"\n', "x:1:4", "surrogate"),
        ('a: "\\UFFFFFFFF"\n', "x:1:7", "does not exist"),
        ("a: " + "9" * 50, "x:1:4", "digits"),
        ("a: \x07\n", "x:1:4", "U+0007"),
        ("%YAML 2.0\n---\na: 1\n", "x:1:1", "version"),
    ],
)
def test_what_is_refused_is_located(text: str, where: str, part: str) -> None:
    [(code, found, message)] = problems(text)
    assert (code, found) == ("MT020", where)
    assert part in message


def test_aliases_are_not_expanded() -> None:
    bomb = "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nd: [*c, *c]\n"
    assert [where for _, where, _ in problems(bomb)][:3] == ["x:1:4", "x:2:4", "x:2:8"]
    assert read_text(bomb, "x").root.plain()["d"] == (None, None)


def file_problem(path: Path, data: bytes) -> Any:
    path.write_bytes(data)
    with pytest.raises(ConfigError) as caught:
        read_file(path, "x.yaml")
    [problem] = caught.value.problems
    return problem


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    for data in (b"", b"\n\n", b"# only a comment\n", b"---\n"):
        assert file_problem(tmp_path / "x.yaml", data).message == "the file is empty"


def test_only_a_mapping_is_a_config(tmp_path: Path) -> None:
    for data in (b"[a, b]\n", b"just text\n", b"5\n"):
        assert file_problem(tmp_path / "x.yaml", data).code == "MT023"


def test_a_byte_that_is_not_utf_8_is_located(tmp_path: Path) -> None:
    problem = file_problem(tmp_path / "x.yaml", "a: 1\nb: ü".encode() + b"\xfc\n")
    assert (problem.code, problem.where) == ("MT020", "x.yaml:2:5")
    assert "byte 10 " in problem.message


def test_the_size_of_a_file_is_bounded(tmp_path: Path) -> None:
    assert "larger than 256 KiB" in file_problem(tmp_path / "x.yaml", b"#" * (LARGEST_FILE_BYTES + 1)).message


def test_a_byte_order_mark_and_windows_line_ends_are_read(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes("\ufeffa: 1\r\nb: 2\r\n".encode())
    root = read_file(path, "x.yaml").root
    assert root.plain() == {"a": 1, "b": 2}
    child = root.child("b")
    assert child is not None
    assert child.place.where == "x.yaml:2:4"
