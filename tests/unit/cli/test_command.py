"""How commands end: status, message, notes."""

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
    ("stop", "code"), [(KeyboardInterrupt(), 130), (SystemExit(130), 130), (SystemExit(143), 143)], ids=repr
)
def test_a_signal_ends_with_its_status_and_says_so(stop: BaseException, code: int) -> None:
    status, _, err = outcome(stop)
    assert (status, err) == (code, "stopped by a signal\n")


@pytest.mark.parametrize("module", ["mt_trainer.cli.translate", "mt_trainer.cli.eval"])
def test_help_imports_nothing_heavy(module: str, tmp_path: Path) -> None:
    import subprocess
    import sys

    code = (
        f"import sys, runpy\nsys.argv = ['x', '--help']\n"
        f"try: runpy.run_module('{module}', run_name='__main__')\nexcept SystemExit: pass\n"
        "print(sorted({'torch', 'sacrebleu', 'sentencepiece', 'datasets', 'pydantic', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert "--set" in done.stdout
