"""The first signal asks, the second one ends; afterwards everything is as before."""

import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mt_trainer.errors import ExitCode
from mt_trainer.training.signals import stop_on_signals


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (signal.SIGINT, ExitCode.INTERRUPTED),
        (signal.SIGTERM, ExitCode.TERMINATED),
        (signal.SIGUSR1, ExitCode.TERMINATED),
    ],
)
def test_a_signal_sets_the_exit_code_and_the_handlers_come_back(number: signal.Signals, code: ExitCode) -> None:
    before = signal.getsignal(number)
    with stop_on_signals() as stop, stop.deferred():
        assert stop.exit_code is None
        os.kill(os.getpid(), number)
        assert stop.exit_code == code
    assert signal.getsignal(number) == before


def test_outside_of_the_loop_a_signal_unwinds_at_once() -> None:
    """Nothing is to be saved there, but temporary files are to be cleared away."""
    cleared = []

    def prepare() -> None:
        with stop_on_signals():
            try:
                os.kill(os.getpid(), signal.SIGTERM)
            finally:
                cleared.append(True)

    with pytest.raises(SystemExit) as caught:
        prepare()
    assert (caught.value.code, cleared) == (143, [True])


def test_the_handlers_come_back_after_an_error() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(RuntimeError), stop_on_signals():
        raise RuntimeError
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_second_signal_ends_the_process_at_once() -> None:
    code = (
        "import os, signal\n"
        "from mt_trainer.training.signals import stop_on_signals\n"
        "with stop_on_signals() as stop, stop.deferred():\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    print('first', int(stop.exit_code), flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    print('never', flush=True)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (143, "first 130\n")


def test_a_terminal_that_closes_asks_however_often_it_does(tmp_path: Path) -> None:
    """It sends SIGHUP to the run, the shell sends another; and nothing can be written to it any more."""
    code = (
        "import os, signal, sys\n"
        "from mt_trainer.training.signals import stop_on_signals\n"
        "signal.signal(signal.SIGHUP, signal.SIG_DFL)\n"
        "with stop_on_signals() as stop, stop.deferred():\n"
        "    os.kill(os.getpid(), signal.SIGHUP)\n"
        "    print('saving', flush=True)\n"
        "    print('saving', file=sys.stderr, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGHUP)\n"
        "    open('saved', 'w').close()\n"
        "sys.exit(stop.exit_code)\n"
    )
    near, far = pty.openpty()
    os.close(near)
    done = subprocess.run([sys.executable, "-c", code], stdout=far, stderr=far, cwd=tmp_path, timeout=60, check=False)
    os.close(far)
    assert (done.returncode, (tmp_path / "saved").exists()) == (129, True)


def test_a_terminal_that_closes_after_another_signal(tmp_path: Path) -> None:
    """What is still to be said must not keep the run from being saved."""
    code = (
        "import os, signal, sys\n"
        "from mt_trainer.training.signals import stop_on_signals\n"
        "signal.signal(signal.SIGHUP, signal.SIG_DFL)\n"
        "with stop_on_signals() as stop, stop.deferred():\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    os.kill(os.getpid(), signal.SIGHUP)\n"
        "    print('saving', file=sys.stderr, flush=True)\n"
        "    open('saved', 'w').close()\n"
        "sys.exit(stop.exit_code)\n"
    )
    near, far = pty.openpty()
    os.close(near)
    done = subprocess.run([sys.executable, "-c", code], stdout=far, stderr=far, cwd=tmp_path, timeout=60, check=False)
    os.close(far)
    assert (done.returncode, (tmp_path / "saved").exists()) == (143, True)


def test_a_late_hang_up_does_not_end_the_clean_up() -> None:
    code = (
        "import os, signal, sys\n"
        "from mt_trainer.training.signals import stop_on_signals\n"
        "signal.signal(signal.SIGHUP, signal.SIG_DFL)\n"
        "with stop_on_signals() as stop, stop.deferred():\n"
        "    os.kill(os.getpid(), signal.SIGHUP)\n"
        "os.kill(os.getpid(), signal.SIGHUP)\n"
        "print('stopped', flush=True)\n"
        "sys.exit(stop.exit_code)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (129, "stopped\n")


def test_with_nohup_a_closed_terminal_is_ignored() -> None:
    code = (
        "import os, signal\n"
        "from mt_trainer.training.signals import stop_on_signals\n"
        "with stop_on_signals() as stop, stop.deferred():\n"
        "    os.kill(os.getpid(), signal.SIGHUP)\n"
        "    print(stop.exit_code)\n"
        "print(signal.getsignal(signal.SIGHUP).name)\n"
    )
    done = subprocess.run(["nohup", sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "None\nSIG_IGN\n")
