"""How commands end: status, message, notes."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from mt_trainer.cli.command import showing_problems
from mt_trainer.errors import ConfigError, DataError, Problem


def outcome(failure: BaseException | None) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command that prints and then fails so."""

    def command(name: str = "x") -> None:
        print(f"hello {name}")
        if failure is not None:
            raise failure

    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(showing_problems(command))
    result = CliRunner().invoke(app, ["--name", "you"])
    return result.exit_code, result.stdout, result.stderr


def test_success() -> None:
    assert outcome(None) == (0, "hello you\n", "")


def test_a_users_fault_has_a_message_a_status_and_no_traceback() -> None:
    code, out, err = outcome(ConfigError(Problem("MT021", "unknown key `x`", where="a.yaml:1:2", help="write `y`")))
    assert code == 2
    assert out == "hello you\n"
    assert err.splitlines() == [
        "error[MT021]: unknown key `x`",
        "  --> a.yaml:1:2",
        "help: write `y`",
        "note: nothing was written",
    ]


def test_corrupt_data_ends_with_4() -> None:
    assert outcome(DataError(Problem("MT052", "invalid UTF-8")))[0] == 4


def test_notes_of_the_error_stand_below_it() -> None:
    error = DataError(Problem("MT052", "invalid UTF-8"))
    error.add_note("7 lines were translated")
    assert outcome(error)[2] == "error[MT052]: invalid UTF-8\nnote: 7 lines were translated\n"


@pytest.mark.parametrize(
    ("stop", "code"),
    [(KeyboardInterrupt(), 130), (SystemExit(129), 129), (SystemExit(130), 130), (SystemExit(143), 143)],
    ids=repr,
)
def test_a_signal_ends_with_its_status_and_says_so(stop: BaseException, code: int) -> None:
    status, _, err = outcome(stop)
    assert (status, err) == (code, "stopped by a signal\n")


def unread(program: str) -> tuple[int, str]:
    """Exit code and stderr of a program whose stdout nobody reads."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    beginning = (
        "import sys\n"
        "from mt_trainer.cli.command import run_command\n"
        "from mt_trainer.errors import ConfigError, Problem\n"
        "sys.argv = ['x']\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", beginning + program],
        stdout=write_end,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        env=os.environ | {"PYTHONUNBUFFERED": ""},  # a little is to be held until the end
    )
    os.close(write_end)
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    "program",
    [
        "def command() -> None: print('x' * 1_000_000)\nrun_command(command)",
        "def command() -> None: print('x')\nrun_command(command)",
        "def command() -> None: pass\nsys.argv = ['x', '--help']\nrun_command(command)",
    ],
    ids=["much", "little", "help"],
)
def test_what_nobody_reads_ends_calmly(program: str) -> None:
    """As `cat` ends in `cat file | head`."""
    assert unread(program) == (141, "")


@pytest.mark.parametrize(
    ("end", "status", "last"),
    [
        ("raise TypeError('oh')", 1, "TypeError: oh"),
        ("raise ConfigError(Problem('MT005', 'y'))", 2, "error[MT005]: y"),
        ("raise SystemExit(3)", 3, ""),
        ("raise SystemExit(4)", 4, ""),
        ("raise KeyboardInterrupt", 130, "stopped by a signal"),
    ],
)
def test_a_fault_is_told_though_nobody_reads_the_output(end: str, status: int, last: str) -> None:
    code, err = unread(f"def command() -> None:\n    print('x')\n    {end}\nrun_command(command)")
    assert (code, err.rstrip("\n").rpartition("\n")[2]) == (status, last)
    assert "Broken pipe" not in err


def test_a_message_that_nobody_reads_keeps_its_status() -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    code = (
        "from mt_trainer.cli.command import run_command\n"
        "from mt_trainer.errors import ConfigError, Problem\n"
        "def command() -> None: raise ConfigError(Problem('MT005', 'y'))\n"
        "run_command(command)"
    )
    done = subprocess.run([sys.executable, "-c", code], stderr=write_end, check=False)
    os.close(write_end)
    assert done.returncode == 2


@pytest.mark.parametrize("size", [1, 1_000_000])
def test_a_terminal_that_was_closed_ends_calmly(size: int) -> None:
    """It gives another error than a pipe."""
    near, far = pty.openpty()
    os.close(near)
    code = (
        "from mt_trainer.cli.command import run_command\n"
        f"def command() -> None: print('x' * {size})\n"
        "run_command(command)"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, stdout=far, stderr=subprocess.PIPE, text=True, check=False)
    os.close(far)
    assert (done.returncode, done.stderr) == (141, "")


def test_without_output_the_status_stays() -> None:
    fault = "def command() -> None: raise ConfigError(Problem('MT005', 'y'))\nrun_command(command)"
    assert unread(fault) == (2, "error[MT005]: y\n")


def test_another_pipe_that_breaks_is_a_defect_with_its_traceback() -> None:
    code = (
        "from mt_trainer.cli.command import run_command\n"
        "def command() -> None: raise BrokenPipeError(32, 'Broken pipe')\n"
        "run_command(command)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "in command\n" in done.stderr
    assert done.stderr.endswith("BrokenPipeError: [Errno 32] Broken pipe\n")


@pytest.mark.parametrize("module", ["mt_trainer.cli.translate", "mt_trainer.cli.eval"])
def test_help_imports_nothing_heavy(module: str, tmp_path: Path) -> None:
    code = (
        f"import sys, runpy\nsys.argv = ['x', '--help']\n"
        f"try: runpy.run_module('{module}', run_name='__main__')\nexcept SystemExit: pass\n"
        "print(sorted({'torch', 'sacrebleu', 'sentencepiece', 'datasets', 'pydantic', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert "--set" in done.stdout
