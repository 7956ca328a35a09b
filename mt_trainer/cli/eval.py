"""mt-eval: BLEU, chrF and true NLL of a trained run, on its test sets or on files.

Results go to RUN/evaluation, where none are overwritten by those of another checkpoint or other settings:

evaluation/                  the best checkpoint, the configured sets, the settings of the run's own config
├── step_00012000/           another checkpoint
├── other_settings/*/        settings other than the run's (--set, --device, another --config), each a folder
└── files/                   --src and --ref

Where several apply the folders lie in each other, in this order: `evaluation/step_00012000/files`.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mt_trainer.cli.command import run_command
from mt_trainer.errors import ConfigError, Problem

if TYPE_CHECKING:
    from mt_trainer.config.data import DataConfig
    from mt_trainer.data.evaluation_sets import EvalSet


def evaluate(
    run: Annotated[Path | None, typer.Option(help="Run folder that mt-train has written.")] = None,
    config: Annotated[str | None, typer.Option(help="Config of the run, instead of its folder.")] = None,
    src: Annotated[str | None, typer.Option(help="Evaluate this file (with --ref), not the configured sets.")] = None,
    ref: Annotated[str | None, typer.Option(help="Its raw reference translations, line by line.")] = None,
    only: Annotated[list[str], typer.Option(help="Only this set: dev or a name under data.test. Repeatable.")] = [],  # noqa: B006
    overrides: Annotated[list[str], typer.Option("--set", help="Setting, such as decoding.beam_size=4.")] = [],  # noqa: B006
    checkpoint: Annotated[str, typer.Option(help="best, last, or a name such as step_00012000.")] = "best",
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda; by default as in the run's config.")] = None,
    output: Annotated[
        Path | None, typer.Option(help="Folder for results; by default RUN/evaluation or below it.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the scores as JSON, with all digits.")] = False,
) -> None:
    """Translate test sets with a trained run and score the result; scores and translations are saved.

    Beside BLEU and chrF stands how likely the model finds the references: its true NLL in nats a target token.

    The sets are the configured dev and test sets, or the files given with --src and --ref.

    RUN/evaluation keeps the run's own results: the best checkpoint on the configured sets with the run's settings.
    Others go into folders below it, named like the checkpoint if it is not the best, then other_settings with a
    folder named like them if a setting is not that of the run (--set, --device, another --config), then files for --src
    and --ref. --output overrides all this.
    """
    files = [path for path in (src, ref) if path is not None]
    if len(files) == 1 or (files and only) or "" in files:
        message = "--src and --ref belong together, are no empty paths, and exclude --only"
        raise ConfigError(Problem("MT005", message, help="mt-eval --run runs/demo --src test.en --ref test.de"))
    if device is not None:
        overrides = [*overrides, f"runtime.device={device}"]

    from mt_trainer.cli.finished_run import (
        changed_settings,
        config_of_run,
        open_run,
        require_same_training,
        results_folder,
        run_folder_of,
    )
    from mt_trainer.config import load_config
    from mt_trainer.evaluation.evaluate import as_record, evaluate_set, save_scores, scores_table
    from mt_trainer.evaluation.metrics import build_metrics
    from mt_trainer.training.known_overlap import with_known_overlap

    if run is not None and config is None:
        settings, folder = config_of_run(run, overrides), run
    elif config is not None and run is None:
        settings = load_config(config, overrides)
        folder = run_folder_of(settings, config)
        require_same_training(folder, settings)
    else:
        raise ConfigError(Problem("MT005", "give either --run or --config", help="mt-eval --run runs/demo"))
    metrics = build_metrics(settings.evaluation, tgt_lang=settings.data.tgt_lang)
    sets = read_sets(settings.data, only=only) if not files else [read_files(*files)]
    opened = open_run(folder, settings, checkpoint=checkpoint)
    others = changed_settings(folder, settings)
    about = {**opened.about, "decoding": settings.decoding.model_dump(mode="json")}
    if others:
        about["other_settings"] = others
    name = None if checkpoint == "best" else opened.checkpoint
    target = output or results_folder(folder, checkpoint=name, other_settings=others, is_of_files=bool(files))
    results = []
    for eval_set in sets:
        eval_set = with_known_overlap(eval_set, folder, cache_folder=Path(settings.runtime.cache_folder))
        result = evaluate_set(
            opened.translator,
            metrics,
            eval_set,
            likelihood=opened.meter.measure(eval_set),
            made_by=opened.hashes,
            progress=eval_set.name,
        )
        save_scores(result, target, about=about)
        results.append(result)
    if as_json:
        print(json.dumps([as_record(result, about=about) for result in results], indent=2))
    else:
        print(f"{folder}, checkpoint {opened.checkpoint}\n\n{scores_table(results)}\n\nsaved in {target}")


def read_sets(data: "DataConfig", *, only: Sequence[str]) -> "list[EvalSet]":
    """The dev set and the test sets of a config, or those of them that are named.

    Raises:
        ConfigError: MT005 for a name that is not among them.
        DataError: what is wrong with their text.
    """
    from mt_trainer.data.evaluation_sets import evaluation_text, read_evaluation_set
    from mt_trainer.data.sources import require_sources

    sources = {"dev": data.dev, **data.test}
    if unknown := [name for name in only if name not in sources]:
        advice = f"the config has {', '.join(sources)}"
        raise ConfigError(
            [Problem("MT005", f"no set is called `{name}`", where="--only", help=advice) for name in unknown]
        )
    languages = {"src_lang": data.src_lang, "tgt_lang": data.tgt_lang}
    texts = {
        name: evaluation_text(source, **languages) for name, source in sources.items() if name in (only or sources)
    }
    require_sources({"data.dev" if name == "dev" else f"data.test.{name}": text for name, text in texts.items()})
    return [read_evaluation_set(name, text) for name, text in texts.items()]


def read_files(src: str, ref: str) -> "EvalSet":
    """Two files as a set, called by the name of the first without its endings, or `files` if nothing is left.

    Raises:
        DataError: what is wrong with their text.
    """
    from mt_trainer.config.data import TextSource
    from mt_trainer.data.evaluation_sets import evaluation_text, read_evaluation_set
    from mt_trainer.data.sources import require_sources

    text = evaluation_text(TextSource(format="text", src=src, tgt=ref), src_lang="src", tgt_lang="ref")
    require_sources({"--src and --ref": text})
    return read_evaluation_set(Path(src).name.split(".")[0] or "files", text)


def main() -> None:
    """Entry point of mt-eval."""
    run_command(evaluate)


if __name__ == "__main__":
    main()
