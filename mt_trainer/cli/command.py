"""What all commands share: how they are run, how a user's fault is shown, and how a file is written."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import wraps
from pathlib import Path
from typing import BinaryIO, ParamSpec

import typer

from mt_trainer.errors import DataError, ExitCode, MtError, Problem
from mt_trainer.output import is_unread, lost_if_unread, send_to_nowhere, standard_streams, tells_of_no_reader

P = ParamSpec("P")

STOPPED = "stopped by a signal"
"""Said where there was nothing to save; a run that saves says after which step."""


def run_command(command: Callable[P, None]) -> None:
    """Parses the command line, runs the command and ends the process with its status.

    The options are the parameters of `command`, the help text is its docstring.
    """
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    app.command()(showing_problems(command))
    run_app(app)


def run_subcommands(*commands: Callable[..., None], description: str) -> None:
    """The same for a program of several commands, each called by its name, also where there is only one so far.

    A name is that of the function, with `-` for `_`; `description` is the help text above the list of commands.
    """
    app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    app.callback(help=description)(lambda: None)
    for command in commands:
        app.command()(showing_problems(command))
    run_app(app)


def run_app(app: Callable[[], None]) -> None:
    """Runs it, and ends the process with its status; once nobody reads what it says, calmly with `OUTPUT_CLOSED`.

    Another error, or a status other than 0, comes before that: what was not read then does not matter.
    """
    try:
        try:
            app()
        except SystemExit as end:
            if end.code not in (None, ExitCode.DONE):
                raise
        if sys.stdout is not None:
            sys.stdout.flush()
    except BaseException as end:
        is_typers = isinstance(end, SystemExit) and end.code == 1  # of EPIPE Typer makes 1, and says nothing
        error = end.__context__ if is_typers else end
        unread = [stream for stream in standard_streams() if is_unread(stream)]
        for stream in unread:  # else the end of the process would write to it, and fail
            send_to_nowhere(stream)
        if unread and tells_of_no_reader(error):
            raise SystemExit(ExitCode.OUTPUT_CLOSED) from None
        if isinstance(error, BrokenPipeError):  # a pipe of another kind
            raise error from None
        raise
    raise SystemExit(ExitCode.DONE)


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
            _say("\n".join([error.render(), *(f"note: {note}" for note in notes)]))
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt:
            _say(STOPPED)
            raise typer.Exit(ExitCode.INTERRUPTED) from None
        except SystemExit as stop:
            if stop.code in (ExitCode.HUNG_UP, ExitCode.INTERRUPTED, ExitCode.TERMINATED):
                _say(STOPPED)
            raise

    return shown


def _say(text: str) -> None:
    """On stderr; unread, it does not change the status."""
    with lost_if_unread(sys.stderr):
        print(text, file=sys.stderr, flush=True)


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write, which appears under its name when all is written; until then what was there stays.

    A symbolic link stays one: its target is written. A pipe or a device is written to directly.

    Raises:
        DataError: MT103, when it cannot be written; opening it already tells.
    """
    target = Path(os.path.realpath(path))
    # What is still a link leads in a circle: opening it says so.
    is_direct = os.path.islink(target) or (os.path.exists(path) and not os.path.isfile(path))
    written = path if is_direct else target.with_name(f".{target.name}.unfinished")
    try:
        with written.open("wb") as stream:
            yield stream
        if not is_direct:
            os.replace(written, target)
    except OSError as error:
        message, advice = f"cannot write: {error.strerror or error}", "choose a folder that exists and can be written"
        raise DataError(Problem("MT103", message, where=str(path), help=advice)) from error
    finally:
        if not is_direct:
            with suppress(OSError):
                written.unlink()
