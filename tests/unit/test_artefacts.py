"""What is read of files that somebody else may have written: bounded, and from files alone."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from mt_trainer import artefacts
from mt_trainer.artefacts import read_at_most, read_json, require_file, require_header


def test_an_ordinary_file_has_a_size(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert require_file(tmp_path / "a") == 3
    with pytest.raises(FileNotFoundError):
        require_file(tmp_path / "b")


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda path: path.symlink_to("elsewhere"), "a link"),
        (lambda path: path.symlink_to("/dev/zero"), "a link"),
        (lambda path: path.mkdir(), "not a file"),
        (os.mkfifo, "not a file"),
    ],
)
def test_anything_else_is_refused_unread(make: Callable[[Path], object], kind: str, tmp_path: Path) -> None:
    make(tmp_path / "a")
    for read in (require_file, read_json):
        with pytest.raises(ValueError, match=f"a is {kind}"):
            read(tmp_path / "a")


def test_json_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"a": [1, 2.5, null, "ü"]}')
    assert read_json(tmp_path / "a.json") == {"a": [1, 2.5, None, "ü"]}


@pytest.mark.parametrize("content", ["", "{", "[" * 100_000, '{"a":' * 100_000, "\udcff", "9" * 5000])
def test_json_that_is_none_is_a_value_error(content: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(ValueError):  # noqa: PT011
        read_json(tmp_path / "a.json")


def test_json_has_a_size_at_most(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.json").write_text("[1]")
    monkeypatch.setattr(artefacts, "LARGEST_JSON_BYTES", 3)
    assert read_json(tmp_path / "a.json") == [1]
    monkeypatch.setattr(artefacts, "LARGEST_JSON_BYTES", 2)
    with pytest.raises(ValueError, match="3 bytes"):
        read_json(tmp_path / "a.json")


def test_no_more_is_read_than_is_allowed(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc" * 10**6)
    assert read_at_most(tmp_path / "a", 3 * 10**6) == b"abc" * 10**6
    with pytest.raises(ValueError, match="more than 2,999,999 bytes"):
        read_at_most(tmp_path / "a", 3 * 10**6 - 1)
    with pytest.raises(ValueError, match="more than 10 bytes"):
        read_at_most(Path("/dev/zero"), 10)


@pytest.mark.parametrize(
    ("size", "is_allowed"), [(0, True), (16 * 2**20, True), (16 * 2**20 + 1, False), (2**63, False)]
)
def test_a_header_has_a_size_at_most(size: int, is_allowed: bool, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(size.to_bytes(8, "little"))
    if is_allowed:
        require_header(tmp_path / "a")
    else:
        with pytest.raises(ValueError, match=f"{size:,} bytes"):
            require_header(tmp_path / "a")
