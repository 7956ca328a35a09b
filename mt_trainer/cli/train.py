"""mt-train: a config in, a trained and scored model out."""

from typing import Annotated

import typer

from mt_trainer.cli.command import run_command


def train(
    config: Annotated[str, typer.Option(help="YAML file, or the name of a recipe such as multi30k.yaml.")],
    overrides: Annotated[list[str], typer.Option("--set", help="Setting, such as training.max_steps=500.")] = [],  # noqa: B006
    print_config: Annotated[bool, typer.Option("--print-config", help="Print the resolved config and stop.")] = False,
    explain: Annotated[bool, typer.Option("--explain", help="Say what the objective is and stop.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, try one step, leave nothing.")] = False,
    profile: Annotated[bool, typer.Option("--profile", help="Say where a step goes, leave nothing.")] = False,
) -> None:
    """Train a translation model from raw parallel text, or go on with a run that was stopped."""
    from mt_trainer.config import load_config
    from mt_trainer.config.resolved import to_yaml

    resolved = load_config(config, overrides)
    if print_config:
        typer.echo(to_yaml(resolved), nl=False)
        return
    if explain:
        from mt_trainer.objectives.building.explain import explain_objective

        typer.echo(explain_objective(resolved))
        return
    from mt_trainer.cli.finished_run import run_folder_of

    run_folder = run_folder_of(resolved, config)
    if dry_run:
        from mt_trainer.training.dry_run import dry_run as try_out

        typer.echo(try_out(resolved, run_folder))
        return
    if profile:
        from mt_trainer.training.profiling.profile import profile as profile_steps

        typer.echo(profile_steps(resolved, run_folder))
        return

    from mt_trainer.evaluation.evaluate import scores_table
    from mt_trainer.training.display import samples_text
    from mt_trainer.training.train import train as run_training

    outcome = run_training(resolved, run_folder, announce=lambda line: typer.echo(line, err=True))
    if outcome.scores:
        typer.echo(f"\n{scores_table(outcome.scores)}")
        typer.echo(f"\n{samples_text(outcome.samples)}")
        typer.echo(f"\nrun folder: {run_folder}")
    raise typer.Exit(outcome.exit_code)


def main() -> None:
    """The console script."""
    run_command(train)


if __name__ == "__main__":
    main()
