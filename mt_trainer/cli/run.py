"""mt-run: look at a run that mt-train has written."""

from pathlib import Path
from typing import Annotated

import typer

from mt_trainer.cli.command import run_subcommands
from mt_trainer.errors import ExitCode


def verify(run: Annotated[Path, typer.Argument(help="Run folder that mt-train has written.")]) -> None:
    """Hold the files of a run against the hashes that were taken when it was written.

    The exit status is 0 when all is as it was, and 4 when something is damaged.
    """
    from mt_trainer.training.verify import verify_run

    findings = verify_run(run)
    width = max(len(finding.name) for finding in findings)
    for finding in findings:
        typer.echo(f"{finding.name:<{width}}  {'intact ' if finding.is_intact else 'damaged'}  {finding.text}")
    num_damaged = sum(not finding.is_intact for finding in findings)
    typer.echo(f"\n{run}: {f'{num_damaged} of {len(findings)} damaged' if num_damaged else 'intact'}")
    if num_damaged:
        raise typer.Exit(ExitCode.CORRUPT)


def replay(
    capsule: Annotated[Path, typer.Argument(help="Such as runs/mine/crash/step_00001200.json.")],
) -> None:
    """Go through a divergence again, bit for bit on a CPU, and narrow it to the sentence pair.

    Exit status: 0 the numbers of the capsule came out again, 3 others did, 4 the capsule or what it needs is damaged or
    gone.
    """
    from mt_trainer.training.diverging.replay import replay as go_through

    go_through(capsule, tell=lambda what, text: typer.echo(f"{what:<10} {text}"))


def main() -> None:
    """Entry point of mt-run."""
    run_subcommands(verify, replay, description="Look at a run that mt-train has written.")


if __name__ == "__main__":
    main()
