"""mt-run: look at a run that mt-train has written."""

from pathlib import Path
from typing import Annotated

import typer

from mt_trainer.cli.command import run_subcommands


def replay(
    capsule: Annotated[Path, typer.Argument(help="Such as runs/mine/crash/step_00001200.json.")],
) -> None:
    """Go through a divergence again, bit for bit on a CPU, and narrow it to the sentence pair.

    Exit status: 0 the numbers of the capsule came out again, 3 others did, 4 the capsule or what it needs is damaged or
    gone.
    """
    from mt_trainer.training.replay import replay as go_through

    go_through(capsule, tell=lambda what, text: typer.echo(f"{what:<10} {text}"))


def main() -> None:
    """Entry point of mt-run."""
    run_subcommands(replay, description="Look at a run that mt-train has written.")


if __name__ == "__main__":
    main()
