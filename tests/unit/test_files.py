"""Whole or absent; claimed or abandoned."""

import errno
import hashlib
import multiprocessing
import os
import signal
import stat
from pathlib import Path

import pytest

from mt_trainer.files import (
    EMPTY,
    Fingerprint,
    claimed_folder,
    clear_abandoned,
    clear_unfinished,
    fingerprint,
    room,
    write_new,
    write_whole,
)


def test_written_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    for content in (b"one", b"", b"three"):
        write_whole(path, content)
        assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("call", ["write", "fsync", "rename"])
def test_a_write_that_fails_leaves_the_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    path = tmp_path / "a.json"
    write_whole(path, b"old")

    def fail(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        with pytest.raises(OSError, match="No space"):
            write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_system_that_takes_a_little_at_a_time_gets_all_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda descriptor, content: write(descriptor, content[:3]))
        found = write_new(tmp_path / "a", [b"12345678", b"", memoryview(b"90")])
    assert (tmp_path / "a").read_bytes() == b"1234567890"
    assert found == fingerprint(tmp_path / "a") == Fingerprint(10, hashlib.sha256(b"1234567890").hexdigest())
    assert fingerprint(tmp_path / "a", length=4) == Fingerprint(4, hashlib.sha256(b"1234").hexdigest())
    assert fingerprint(tmp_path / "a", length=0) == EMPTY
    assert fingerprint(tmp_path / "a", length=99).bytes == 10


def test_a_new_file_does_not_replace_one_and_follows_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_new(tmp_path / "a", [b"x"])
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640
    with pytest.raises(FileExistsError):
        write_new(tmp_path / "a", [b"y"])
    assert (tmp_path / "a").read_bytes() == b"x"


def test_what_a_killed_process_has_begun_can_be_cleared(tmp_path: Path) -> None:
    write_whole(tmp_path / "a.json", b"kept")
    (tmp_path / "a.json.0a1b2c3d.unfinished").write_bytes(b"ke")
    clear_unfinished(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def hold(folder: Path, ready: "multiprocessing.synchronize.Event") -> None:
    with claimed_folder(folder):
        (folder / "half").write_bytes(b"x")
        ready.set()
        signal.pause()


def test_a_folder_is_cleared_away_when_its_maker_was_killed_and_not_before(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    ready = context.Event()
    maker = context.Process(target=hold, args=(tmp_path / "key.1.tmp", ready))
    maker.start()
    assert ready.wait(60)
    clear_abandoned(tmp_path, "*.tmp")
    assert (tmp_path / "key.1.tmp/half").exists(), "its maker is still at work"
    maker.kill()
    maker.join()
    (tmp_path / "key").mkdir()
    (tmp_path / "notes.tmp").write_text("no folder")
    clear_abandoned(tmp_path, "*.tmp")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["key", "notes.tmp"]
    clear_abandoned(tmp_path / "absent", "*.tmp")


def test_a_folder_that_is_cleared_away_before_it_is_claimed_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process may come just between making and locking."""
    folder, opened, cleared = tmp_path / "key.1.tmp", os.open, []

    def late(path: Path, *arguments: int) -> int:
        if path == folder and len(cleared) < 2:
            descriptor = opened(path, *arguments) if cleared else None
            cleared.append(True)
            folder.rmdir()
            if descriptor is not None:
                return descriptor
        return opened(path, *arguments)

    monkeypatch.setattr(os, "open", late)
    with claimed_folder(folder):
        assert folder.is_dir()
    assert len(cleared) == 2


def test_an_error_in_the_block_is_not_swallowed(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), claimed_folder(tmp_path / "a"):
        (tmp_path / "absent").read_bytes()


def test_room_is_told_for_a_folder_that_is_not_there_yet(tmp_path: Path) -> None:
    assert room(tmp_path / "a/b", 1234).startswith("needs 1,234 bytes, ")
    assert room(tmp_path / "a/b", 0).endswith(" are free")
