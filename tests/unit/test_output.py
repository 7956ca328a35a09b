"""Whether anybody reads, and what becomes of what nobody reads."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from mt_trainer.output import is_unread, lost_if_unread, send_to_nowhere


def test_a_pipe_without_a_reader() -> None:
    read_end, write_end = os.pipe()
    with os.fdopen(write_end, "w") as stream:
        assert not is_unread(stream)
        os.close(read_end)
        assert is_unread(stream)
        send_to_nowhere(stream)
        assert not is_unread(stream)
        print("lost", file=stream, flush=True)


def test_a_terminal_that_was_closed() -> None:
    near, far = pty.openpty()
    with os.fdopen(far, "w") as stream:
        assert not is_unread(stream)
        os.close(near)
        assert is_unread(stream)


def test_a_file_is_never_unread(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as stream:
        assert not is_unread(stream)


LEAVING = (
    "import sys\n"
    "from mt_trainer.output import leave_terminal\n"
    "leave_terminal()\n"
    "print(1, flush=True)\n"
    "print(2, file=sys.stderr, flush=True)\n"
)


def test_files_and_pipes_that_are_read_stay(tmp_path: Path) -> None:
    """A pipe may lead to a collector of logs, which has nothing to do with the terminal."""
    with (tmp_path / "log").open("w") as log:
        done = subprocess.run(
            [sys.executable, "-c", LEAVING], stdout=log, stderr=subprocess.PIPE, text=True, check=True
        )
    assert (done.stderr, (tmp_path / "log").read_text()) == ("2\n", "1\n")


def test_terminals_and_what_nobody_reads_are_left() -> None:
    near, far = pty.openpty()
    read_end, write_end = os.pipe()
    os.close(read_end)
    subprocess.run([sys.executable, "-c", LEAVING], stdout=far, stderr=write_end, check=True)
    os.set_blocking(near, False)
    with pytest.raises(BlockingIOError):
        os.read(near, 1)
    for each in (near, far, write_end):
        os.close(each)


def test_lines_that_nobody_reads_are_lost() -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    with os.fdopen(write_end, "w") as stream:
        for _ in range(2):
            with lost_if_unread(stream):
                print("lost", file=stream, flush=True)


def test_of_another_error_no_line_is_lost() -> None:
    with pytest.raises(OSError, match="No space left"), open("/dev/full", "w") as stream, lost_if_unread(stream):
        print("kept", file=stream, flush=True)


def test_what_a_stream_still_holds_is_lost_without_an_error() -> None:
    read_end, write_end = os.pipe()
    with os.fdopen(write_end, "w") as stream:
        stream.write("held")
        os.close(read_end)
        send_to_nowhere(stream)
