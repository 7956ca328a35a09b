"""What all commands share: how they are run, and how a user's fault is shown."""

import sys
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

import typer

from mt_trainer.errors import ExitCode, MtError

P = ParamSpec("P")


def run_command(command: Callable[P, None]) -> None:
    """Parses the command line, runs the command and ends the process with its status.

    The options are the parameters of `command`, the help text is its docstring.
    """
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    app.command()(showing_problems(command))
    app()


def showing_problems(command: Callable[P, None]) -> Callable[P, None]:
    """The command, but an MtError is printed to stderr and becomes the exit status; no traceback.

    What a command adds with `error.add_note`, such as how far it came, stands below the problems.
    """

    @wraps(command)
    def shown(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except MtError as error:
            notes = getattr(error, "__notes__", [])
            print("\n".join([error.render(), *(f"note: {note}" for note in notes)]), file=sys.stderr)
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt:
            raise typer.Exit(ExitCode.INTERRUPTED) from None

    return shown
