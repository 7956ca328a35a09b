"""Standard output and standard error, once nobody is there to read them."""

import os
import select
from contextlib import suppress
from typing import TextIO


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
    with suppress(OSError):
        stream.flush()
