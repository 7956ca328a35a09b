"""Standard output and standard error, once nobody is there to read them."""

import os
import select
import stat
import sys
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


def leave_terminal() -> None:
    """Send to nowhere each of the standard streams that is no file: a terminal that closes ends its pipes too."""
    for stream in standard_streams():
        if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            send_to_nowhere(stream)
