"""Standard output and standard error, once nobody is there to read them."""

import errno
import os
import select
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO


def standard_streams() -> list[TextIO]:
    """Output and error, as the process was started with them; one that was closed then is left out."""
    return [stream for stream in (sys.__stdout__, sys.__stderr__) if stream is not None]


def is_unread(stream: TextIO) -> bool:
    """Whether a standard stream is a pipe whose reader has gone, or a terminal that was closed."""
    poll = select.poll()
    poll.register(stream.fileno(), 0)  # an error or a hang-up is told without being asked for
    return bool(poll.poll(0))


def send_to_nowhere(stream: TextIO) -> None:
    """Whatever is written to a standard stream from here on is lost, without an error; so is what it still holds."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def tells_of_no_reader(error: BaseException | None) -> bool:
    """Whether an error is what writing gives that nobody reads: EPIPE of a pipe, EIO of a terminal that was closed."""
    return isinstance(error, OSError) and error.errno in (errno.EPIPE, errno.EIO)


@contextmanager
def lost_if_unread(stream: TextIO) -> Iterator[None]:
    """What the block writes to a standard stream is lost without an error once nobody reads it, and all that follows.

    The block is to do nothing else. It does not ask who has gone: where a file gives EIO, its lines are lost as well.
    """
    try:
        yield
    except OSError as error:
        if not tells_of_no_reader(error):
            raise
        send_to_nowhere(stream)


def leave_terminal() -> None:
    """Send to nowhere each of the standard streams that is a terminal, or that nobody reads; others stay as they are.

    Whether a terminal closes or is closed already makes no difference: one that has hung up no longer says that it is
    one, and so every character device counts.
    """
    for stream in standard_streams():
        if stat.S_ISCHR(os.fstat(stream.fileno()).st_mode) or is_unread(stream):
            send_to_nowhere(stream)
