"""A rank that dies or falls silent ends the others too, and they say which one it was.

Every rank has a thread that says about once a second, in the launcher's store, that it lives, at which step it is and
how often it has come to where all ranks meet; and that reads what the others say. No rank waits for long on one that
will not come: the thread ends the process, which may hang in an operation that nothing else can interrupt.
"""

import faulthandler
import json
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any, NoReturn, Protocol

from mt_trainer.distributed.launch import Launch
from mt_trainer.distributed.lost import BROKEN_SECONDS, Heard, Lost, find_lost, has_ended
from mt_trainer.errors import ERROR_KINDS, ExitCode, MtError, Problem

BEAT_SECONDS = 1.0
"""Between two signs of life; less where the time allowed is short."""

FIRST_SECONDS = 2.0
"""Left to a rank that ends with an error, before the others end too."""

GRACE_SECONDS = 5.0
"""Left to the others after that, to come to their own end."""

SIGNALS = {
    ExitCode.HUNG_UP: signal.SIGHUP,
    ExitCode.INTERRUPTED: signal.SIGINT,
    ExitCode.TERMINATED: signal.SIGTERM,
}

FAILURE = "failure"


class Store(Protocol):
    """What is used of a store of torch.distributed."""

    def set(self, key: str, value: str, /) -> None:
        """Set a key."""

    def check(self, keys: list[str], /) -> bool:
        """Whether all keys are set."""
        ...

    def multi_get(self, keys: list[str], /) -> list[bytes]:
        """The values of keys that are set."""
        ...

    def compare_set(self, key: str, expected: str, desired: str, /) -> bytes:
        """Set a key that has the value expected, or none where that is empty; return what it then has."""
        ...

    def wait(self, keys: list[str], timeout: timedelta, /) -> None:
        """Wait until all keys are set."""


class Watch:
    """The thread of one rank.

    Attributes:
        step: the step under way.
        meetings: how often this rank has come to where all meet.
        is_idle: whether the rank only waits: it may then be ended at once.
    """

    def __init__(self, store: Store, launch: Launch, *, timeout_seconds: float) -> None:
        """Watches over a store connection of its own."""
        self.step = self.meetings = 0
        self.is_idle = threading.Event()
        self._store, self._launch, self._timeout = store, launch, timeout_seconds
        self._beat_seconds = min(BEAT_SECONDS, timeout_seconds / 5)
        self._beat = 0
        self._heard = {rank: Heard(time.monotonic()) for rank in range(launch.world_size)}
        self._is_broken, self._stopped = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="rank watch", daemon=True)

    def start(self) -> None:
        """Wait until all ranks are there, and begin.

        Raises:
            MtError: MT160, naming the ranks that have not come in time.
        """
        self._speak()
        keys = {rank: _beat_key(rank) for rank in self._heard}
        try:
            self._store.wait(list(keys.values()), timedelta(seconds=self._timeout))
        except RuntimeError:
            missing = ", ".join(str(rank) for rank, key in keys.items() if not self._store.check([key]))
            message = f"of {self._launch.world_size} ranks these did not start within {self._timeout:g} s: {missing}"
            raise MtError(Problem("MT160", message, help="their own messages say why")) from None
        self._listen(time.monotonic())
        self._thread.start()

    def stop(self) -> None:
        """No longer watch, nor give signs of life."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()

    def await_cause(self) -> None:
        """After a connection broke: the process ends here as soon as it is known why. Returns if it stays unknown."""
        self._is_broken.set()
        self.is_idle.set()
        self._thread.join(3 * BROKEN_SECONDS)

    def report(self, error: BaseException) -> None:
        """Say that this rank ends with an error; the others then end too.

        Raises:
            SystemExit: another rank has ended with the same problem already; it is shown once, by the main one if it
                has it too.
        """
        if isinstance(error, MtError) and self._launch.rank != 0:
            self._await_main()
        if isinstance(error, MtError):
            code, message = int(error.exit_code), error.render()
        elif isinstance(error, SystemExit):
            code, message = error.code if isinstance(error.code, int) else 1, "stopped by a signal"
        else:
            code, message = int(ExitCode.INTERNAL), f"{type(error).__name__}: {error}"
        before = self._publish(message, code)
        if before is not None and _first_line(before) == message.partition("\n")[0] and isinstance(error, MtError):
            raise SystemExit(code)

    def _await_main(self) -> None:
        """Give the main rank, which knows more, the time to find the same."""
        until = time.monotonic() + FIRST_SECONDS
        with suppress(RuntimeError):
            while time.monotonic() < until and not self._store.check([FAILURE]):
                time.sleep(0.05)

    def _run(self) -> None:
        last = time.monotonic()
        while not self._stopped.wait(self._beat_seconds):
            now = time.monotonic()
            try:
                self._speak()
                if self._store.check([FAILURE]):
                    self._follow(json.loads(self._store.multi_get([FAILURE])[0]))
                    return
                self._listen(now)
            except RuntimeError:
                message = "the launcher has ended: its store no longer answers"
                self._end(Problem("MT160", message, help="the same command goes on from the last checkpoint").render())
            if now - last > self._timeout / 2:  # this process itself was held up: it has heard nobody meanwhile
                for each in self._heard.values():
                    each.at, each.behind_since = now, None
            last = now
            silence = min(self._timeout, BROKEN_SECONDS) if self._is_broken.is_set() else self._timeout
            lost = find_lost(self._heard, own_rank=self._launch.rank, silence=silence, timeout=self._timeout, now=now)
            if lost is not None:  # what it said last may be old; the others are at the step that it misses
                step = max(self.step, *(each.step for each in self._heard.values()))
                is_gone = lost.is_silent and self._is_here(lost.rank) and has_ended(self._heard[lost.rank].pid)
                self._accuse(replace(lost, step=step, is_gone=is_gone))
                return

    def _speak(self) -> None:
        self._beat += 1
        said = {
            "beat": self._beat,
            "step": self.step,
            "meetings": self.meetings,
            "pid": os.getpid(),
            "group": self._launch.group,
        }
        self._store.set(_beat_key(self._launch.rank), json.dumps(said))

    def _listen(self, now: float) -> None:
        values = self._store.multi_get([_beat_key(rank) for rank in self._heard])
        for each, value in zip(self._heard.values(), values, strict=True):
            each.hear(json.loads(value), now)

    def _publish(self, message: str, code: int, *, lost: int | None = None) -> dict[str, Any] | None:
        """Set down why the run ends; None, or what another rank has set down before."""
        own = json.dumps({"rank": self._launch.rank, "message": message, "exit_code": code, "lost": lost})
        with suppress(RuntimeError):  # without a store everybody ends anyway
            found = self._store.compare_set(FAILURE, "", own).decode()
            if found != own:
                before: dict[str, Any] = json.loads(found)
                return before
        return None

    def _accuse(self, lost: Lost) -> None:
        """End the run because of a lost rank; one on the same machine is ended too, so that it never wakes up."""
        problem = lost.problem()
        before = self._publish(problem.render(), ERROR_KINDS[problem.code].exit_code, lost=lost.rank)
        if before is not None:
            self._follow(before)
            return
        with suppress(OSError, ValueError):  # unread or closed, it must not keep the process from its end
            print(problem.render(), file=sys.stderr, flush=True)
        if lost.rank == self._launch.rank:
            faulthandler.dump_traceback(all_threads=True)
        elif not lost.is_silent:
            time.sleep(3 * self._beat_seconds)  # it reads that it is waited for, and shows what it is doing
        elif self._is_here(lost.rank) and not lost.is_gone:
            with suppress(OSError):
                os.kill(self._heard[lost.rank].pid, signal.SIGKILL)
        self._end(None, ERROR_KINDS[problem.code].exit_code)

    def _is_here(self, rank: int) -> bool:
        """Whether the launcher that started this rank has started that one too, on this machine."""
        group = self._heard[rank].group
        return group is not None and group == self._launch.group

    def _follow(self, failure: dict[str, Any]) -> None:
        """End because another rank has: by itself, if this one comes to its own end in time."""
        code = failure["exit_code"]
        if failure["lost"] == self._launch.rank:
            faulthandler.dump_traceback(all_threads=True)
            self._end(f"rank {self._launch.rank} is waited for, and was doing this", code)
        # The other one is to end first, so that the launcher names it; and it may have sent a signal to all.
        if self._stopped.wait(FIRST_SECONDS):
            return
        if code in SIGNALS:
            os.kill(os.getpid(), SIGNALS[ExitCode(code)])
        until = time.monotonic() + GRACE_SECONDS
        while time.monotonic() < until and (code in SIGNALS or not self.is_idle.is_set()):
            if self._stopped.wait(0.05):
                return
        self._end(f"rank {self._launch.rank} ends because rank {failure['rank']} did: {_first_line(failure)}", code)

    def _end(self, line: str | None, code: int = ExitCode.INTERNAL) -> NoReturn:
        with suppress(OSError, ValueError):  # as above
            sys.stdout.flush()
        with suppress(OSError, ValueError):
            if line is not None:
                print(line, file=sys.stderr)
            sys.stderr.flush()
        os._exit(code)


def _first_line(failure: dict[str, Any]) -> str:
    return str(failure["message"]).partition("\n")[0]


def _beat_key(rank: int) -> str:
    return f"beat/{rank}"
