"""Whether anybody reads, and what becomes of what nobody reads."""

import os
import pty
import subprocess
import sys
from pathlib import Path

from mt_trainer.output import is_unread, send_to_nowhere


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


def test_of_a_terminal_only_files_stay(tmp_path: Path) -> None:
    program = "from mt_trainer.output import leave_terminal\nleave_terminal()\nprint(1)\nprint(2, file=sys.stderr)"
    command = [sys.executable, "-c", f"import sys\n{program}"]
    with (tmp_path / "log").open("w") as log:
        done = subprocess.run(command, stdout=log, stderr=subprocess.PIPE, text=True, check=True)
    assert (done.stderr, (tmp_path / "log").read_text()) == ("", "1\n")


def test_what_a_stream_still_holds_is_lost_without_an_error() -> None:
    read_end, write_end = os.pipe()
    with os.fdopen(write_end, "w") as stream:
        stream.write("held")
        os.close(read_end)
        send_to_nowhere(stream)
