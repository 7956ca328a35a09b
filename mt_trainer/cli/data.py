"""`mt-data`: look at a corpus before training on it."""

import json
import os
import re
import sys
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mt_trainer.cli.command import run_subcommands, whole_file
from mt_trainer.errors import ConfigError, ExitCode, Problem

if TYPE_CHECKING:
    from mt_trainer.config.data import DataConfig, SourceConfig
    from mt_trainer.data.checking.check import CorpusReport
    from mt_trainer.data.reading import ParallelText

CLEANED_FILES = ("train.src", "train.tgt", "dropped.tsv")


def check(
    config: Annotated[str | None, typer.Option(help="Check the text of this config, with its tokenizer.")] = None,
    overrides: Annotated[list[str], typer.Option("--set", help="a.b=c: overrides a key of --config.")] = [],  # noqa: B006
    run: Annotated[Path | None, typer.Option(help="Check the text of this run folder, with its tokenizer.")] = None,
    src: Annotated[str | None, typer.Option(help="Check this file (with --tgt) as training text.")] = None,
    tgt: Annotated[str | None, typer.Option(help="Its translations, line by line.")] = None,
    src_lang: Annotated[str, typer.Option(help="Language of --src, such as en.")] = "src",
    tgt_lang: Annotated[str, typer.Option(help="Language of --tgt, such as de.")] = "tgt",
    test_src: Annotated[list[str], typer.Option(help="A test set to compare with (with --test-tgt). Repeatable.")] = [],  # noqa: B006
    test_tgt: Annotated[list[str], typer.Option(help="Its reference translations.")] = [],  # noqa: B006
    tokenizer: Annotated[Path | None, typer.Option(help="SentencePiece model for --src and --tgt.")] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the whole report to this file, as JSON.")
    ] = None,
    write: Annotated[
        Path | None, typer.Option(help="Write the cleaned training text, and what was left out, to this folder.")
    ] = None,
) -> None:
    """Check parallel text before training: alignment, duplicates, overlap, languages, characters, and more.

    Exit status: 0 when there is no fault, 4 when there is one, 2 when the check could not be made.

    Nothing is written but with --json and --write. With --write the folder gets train.src, train.tgt and dropped.tsv
    (file, line and reason of every pair left out), cleaned as training cleans, each file whole or not at all.
    """
    given = [option for option, value in (("--config", config), ("--run", run), ("--src", src)) if value is not None]
    if len(given) != 1 or (src is None) != (tgt is None):
        advice = "mt-data check --config mine.yaml, or mt-data check --src train.en --tgt train.de"
        raise ConfigError(Problem("MT005", "give one of --config, --run, or --src with --tgt", help=advice))
    if src is None and (test_src or test_tgt or tokenizer):
        advice = "--set data.test.NAME=..., --set tokenizer.model_file=..."
        message = "--test-src, --test-tgt and --tokenizer belong to --src and --tgt"
        raise ConfigError(Problem("MT005", message, help=advice))
    if src is not None and overrides:
        raise ConfigError(Problem("MT005", "--set changes keys of a config", help="give --config"))
    if "" in (src, tgt, src_lang, tgt_lang, *test_src, *test_tgt):
        raise ConfigError(Problem("MT005", "a path or language is empty", help="`mt-data check --help`"))
    if len(test_src) != len(test_tgt):
        message = f"{len(test_src)} of --test-src, but {len(test_tgt)} of --test-tgt"
        raise ConfigError(Problem("MT005", message, help="give them in pairs"))

    # Opened first: that it cannot be written should not show up after a long check.
    with nullcontext() if json_file is None else whole_file(json_file) as stream:
        if src is not None and tgt is not None:
            tests = list(zip(test_src, test_tgt, strict=True))
            report = check_files(src, tgt, languages=(src_lang, tgt_lang), tests=tests, model=tokenizer)
        else:
            report = check_config(config, run, overrides)
        from mt_trainer.data.checking.catalogue import Grade
        from mt_trainer.data.checking.report import as_json, as_text

        if stream is not None:
            stream.write(json.dumps(as_json(report), indent=1).encode() + b"\n")

    colours = {Grade.FAULT: typer.colors.RED, Grade.LOOK: typer.colors.YELLOW, Grade.FINE: typer.colors.GREEN}
    is_terminal = sys.stdout.isatty()
    typer.echo(as_text(report, paint=lambda grade, text: typer.style(text, fg=colours[grade]) if is_terminal else text))
    if write is not None:
        write_cleaned_set(report, write)
        typer.echo(f"\nwritten to {write}: {', '.join(CLEANED_FILES)}")
    if report.grade is Grade.FAULT:
        raise typer.Exit(ExitCode.CORRUPT)


def check_config(config: str | None, run: Path | None, overrides: list[str]) -> "CorpusReport":
    """The report on the text of a config, with the tokenizer that mt-train would use, or of a run, with its own."""
    from mt_trainer.config import load_config
    from mt_trainer.data.checking.check import check_corpus
    from mt_trainer.data.prepare import training_sources
    from mt_trainer.data.sources import require_sources
    from mt_trainer.data.tokenizers import known_tokenizers
    from mt_trainer.tokenizer import TokenizerPair

    if run is not None:
        from mt_trainer.cli.finished_run import config_of_run

        settings = config_of_run(run, overrides)
    else:
        settings = load_config(str(config), overrides)
    data = settings.data
    train = [_opened(source, data) for source in data.train]
    evaluation = {name: _opened(source, data) for name, source in {"dev": data.dev, **data.test}.items()}
    named = {"data.dev" if name == "dev" else f"data.test.{name}": text for name, text in evaluation.items()}
    require_sources(training_sources(train) | named)
    if run is not None:
        tokenizers: TokenizerPair | None = TokenizerPair.load(run)
    else:
        tokenizers = known_tokenizers(settings, [text.fingerprint for text in train])
    return check_corpus(
        train, evaluation, data, tokenizers=tokenizers, tokenizer_to_train=settings.tokenizer, announce=_say
    )


def check_files(
    src: str, tgt: str, *, languages: tuple[str, str], tests: list[tuple[str, str]], model: Path | None
) -> "CorpusReport":
    """The report on two files, with the default filters, and with a tokenizer only if one is given."""
    from mt_trainer.config.data import DataConfig, TextSource
    from mt_trainer.data.checking.check import check_corpus
    from mt_trainer.data.sources import require_sources
    from mt_trainer.tokenizer import Tokenizer, TokenizerPair

    train = TextSource(format="text", src=src, tgt=tgt)
    sets: dict[str, SourceConfig] = {}
    for number, (test_src, test_tgt) in enumerate(tests, 1):
        stem = re.split(r"[^A-Za-z0-9_-]", Path(test_src).name)[0]
        name = stem if stem[:1].isalnum() and stem not in ("train", *sets) else f"test{number}"
        sets[name] = TextSource(format="text", src=test_src, tgt=test_tgt)
    data = DataConfig(src_lang=languages[0], tgt_lang=languages[1], train=(train,), dev=train, test=sets)
    text = _opened(train, data)
    evaluation = {name: _opened(source, data) for name, source in sets.items()}
    named = {f"--test-src and --test-tgt ({name})": each for name, each in evaluation.items()}
    require_sources({"--src and --tgt": text} | named)
    pair = None
    if model is not None:
        joint = Tokenizer.load(model)
        pair = TokenizerPair(src=joint, tgt=joint, is_joint=True)
    return check_corpus([text], evaluation, data, tokenizers=pair, tokenizer_to_train=None, announce=_say)


def _say(line: str) -> None:
    typer.echo(line, err=True)


def _opened(source: "SourceConfig", data: "DataConfig") -> "ParallelText":
    """A source, which goes on after what is no text: that is a finding."""
    from mt_trainer.data.sources import read_source

    return read_source(source, src_lang=data.src_lang, tgt_lang=data.tgt_lang, on_invalid_text="skip")


def write_cleaned_set(report: "CorpusReport", folder: Path) -> None:
    """Writes the three files, each whole or not at all.

    Raises:
        DataError: what is wrong with the text as a whole, MT103 when the folder cannot be written.
        ConfigError: MT005 when a file to be written is one that was read.
    """
    from mt_trainer.data.checking.cleaned_set import files_read, write_cleaned
    from mt_trainer.errors import DataError

    if problems := report.parts["train"].problems:
        raise DataError(problems)
    paths = [folder / name for name in CLEANED_FILES]
    read = {os.path.realpath(path) for path in files_read(report)}
    if own := [path for path in paths if os.path.realpath(path) in read]:
        message, advice = "the text that was checked would be overwritten", "give another folder"
        raise ConfigError([Problem("MT005", message, where=str(path), help=advice) for path in own])
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        message = f"the folder cannot be made: {error.strerror or error}"
        raise DataError(Problem("MT103", message, where=str(folder), help="give another folder")) from error
    with ExitStack() as stack:
        write_cleaned(report, *(stack.enter_context(whole_file(path)) for path in paths))


def main() -> None:
    """Entry point of mt-data."""
    run_subcommands(check, description="Look at a corpus before training on it.")


if __name__ == "__main__":
    main()
