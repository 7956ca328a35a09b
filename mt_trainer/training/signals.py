"""SIGINT, SIGTERM, SIGUSR1 and SIGHUP ask a run to finish its step, save and end; a second one ends it at once.

SIGHUP is what a terminal sends that closes. It comes more than once then, so it only ever asks; and where it was
ignored when the run started, as `nohup` has it, it stays so.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from mt_trainer.errors import ExitCode
from mt_trainer.output import leave_terminal

HANDLED = {
    signal.SIGINT: ExitCode.INTERRUPTED,
    signal.SIGTERM: ExitCode.TERMINATED,
    signal.SIGUSR1: ExitCode.TERMINATED,
    signal.SIGHUP: ExitCode.HUNG_UP,
}


class StopRequest:
    """Whether a signal has asked the run to stop, and the status it then ends with."""

    def __init__(self) -> None:
        self.exit_code: ExitCode | None = None
        self._is_deferred = False

    def handle(self, number: int, frame: FrameType | None) -> None:
        """The signal handler: outside of `deferred` the process unwinds and ends, and what was begun is cleared away.

        Raises:
            SystemExit: with the status of the signal, outside of `deferred`.
        """
        code = HANDLED[signal.Signals(number)]
        if number == signal.SIGHUP:
            leave_terminal()  # what is written to it from now on would be an error, before anything is saved
        if self.exit_code is not None:
            if number == signal.SIGHUP:
                return
            os._exit(code)
        self.exit_code = code
        if self._is_deferred:
            # A validation may take minutes: without a word the signal would seem lost. Buffers may be in use here.
            with suppress(OSError):
                os.write(2, b"stopping after this step or validation; a second signal ends at once\n")
        else:
            raise SystemExit(int(code))

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Inside the block a signal only sets `exit_code`; the block looks at it where it can stop."""
        self._is_deferred = True
        try:
            yield
        finally:
            self._is_deferred = False


@contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
    """Handle the signals inside the block; the handlers before it come back after it.

    Only SIGHUP, where it is what stopped the run, is ignored from then on: another one must not end the clean-up.
    """
    request = StopRequest()
    before = {number: signal.getsignal(number) for number in HANDLED}
    if before[signal.SIGHUP] is signal.SIG_IGN:
        del before[signal.SIGHUP]
    for number in before:
        signal.signal(number, request.handle)
    try:
        yield request
    finally:
        if request.exit_code == ExitCode.HUNG_UP:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            del before[signal.SIGHUP]
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
