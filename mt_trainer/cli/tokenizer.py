"""`mt-tokenizer`: train a SentencePiece tokenizer, or look at one."""

import os
import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mt_trainer.cli.command import run_subcommands, whole_file
from mt_trainer.errors import ConfigError, Problem

if TYPE_CHECKING:
    from mt_trainer.config import TrainConfig
    from mt_trainer.tokenizer import TokenizerPair


def train(
    output: Annotated[Path, typer.Option(help="Model file to write; two (.src.model, .tgt.model) when not joint.")],
    inputs: Annotated[list[Path] | None, typer.Argument(help="Text files, plain or .gz, one text a line.")] = None,
    config: Annotated[str | None, typer.Option(help="Take text, filters and settings from this config.")] = None,
    overrides: Annotated[list[str] | None, typer.Option("--set", help="a.b=c: overrides a key of --config.")] = None,
    algorithm: Annotated[str | None, typer.Option(help="unigram or bpe.")] = None,
    vocab_size: Annotated[int | None, typer.Option(help="Number of pieces.")] = None,
    character_coverage: Annotated[float | None, typer.Option(help="Share of characters with own pieces.")] = None,
    byte_fallback: Annotated[bool | None, typer.Option(help="Spell unknown characters as bytes.")] = None,
    max_training_lines: Annotated[int | None, typer.Option(help="Lines at most, evenly sampled.")] = None,
) -> None:
    """Train on text files, or on the cleaned training text of a config (the one that mt-train would train)."""
    settings = {
        name: value
        for name, value in {
            "algorithm": algorithm,
            "vocab_size": vocab_size,
            "character_coverage": character_coverage,
            "byte_fallback": byte_fallback,
            "max_training_lines": max_training_lines,
        }.items()
        if value is not None
    }
    if (config is None) == (not inputs):
        raise ConfigError(Problem("MT005", "give either text files or --config", help="`mt-tokenizer train --help`"))
    if config is not None and settings:
        advice = "use --set, such as --set tokenizer.vocab_size=8000"
        raise ConfigError(Problem("MT005", "with --config the settings come from the config", help=advice))
    if config is None and overrides:
        raise ConfigError(
            Problem("MT005", "--set changes keys of a config", help="give --config, or --vocab-size etc.")
        )
    if config is not None:
        from mt_trainer.config import load_config

        loaded = load_config(config, overrides or [])
        is_joint, trained = loaded.tokenizer.joint, partial(_train_on_config, loaded)
    else:
        is_joint, trained = True, partial(_train_on_files, inputs or [], settings)
    paths = [output] if is_joint else [output.with_suffix(f".{side}.model") for side in ("src", "tgt")]
    with ExitStack() as stack:
        # Opened first: that a file cannot be written should not show up after the training.
        files = [stack.enter_context(whole_file(path)) for path in paths]
        pair = trained()
        tokenizers = [pair.src] if is_joint else [pair.src, pair.tgt]
        for file, tokenizer in zip(files, tokenizers, strict=True):
            file.write(tokenizer.model_bytes)
    for path, tokenizer in zip(paths, tokenizers, strict=True):
        typer.echo(f"{path}: {tokenizer.algorithm}, {tokenizer.vocab_size:,} pieces, sha256 {tokenizer.content_hash}")


def inspect(
    model: Annotated[Path, typer.Argument(help="SentencePiece model file.")],
    text: Annotated[
        str | None, typer.Option(help="Text to cut into pieces; without it, standard input if piped.")
    ] = None,
) -> None:
    """Show what a tokenizer is, and how it cuts text."""
    from mt_trainer.data.encoding import coverage
    from mt_trainer.tokenizer import Tokenizer

    tokenizer = Tokenizer.load(model)
    typer.echo(f"algorithm   {tokenizer.algorithm}")
    typer.echo(f"pieces      {tokenizer.vocab_size:,}")
    ids = (tokenizer.pad_id, tokenizer.unk_id, tokenizer.bos_id, tokenizer.eos_id)
    typer.echo("special ids pad {}, unk {}, bos {}, eos {}".format(*ids))
    typer.echo(f"sha256      {tokenizer.content_hash}")
    if text is None and sys.stdin.isatty():
        return
    given = sys.stdin.buffer.read().removesuffix(b"\n") if text is None else os.fsencode(text)
    lines = given.decode(errors="replace").split("\n")
    if lines == [""]:
        return
    for line in lines:
        typer.echo(" ".join(tokenizer.pieces(line)))
    typer.echo(coverage(tokenizer, lines).describe())


def _train_on_config(config: "TrainConfig") -> "TokenizerPair":
    """The tokenizers that mt-train would train for this config."""
    from mt_trainer.data.encoding import train_tokenizers
    from mt_trainer.data.prepare import judge_training_text, training_sources, training_texts
    from mt_trainer.data.sources import require_sources

    texts = training_texts(config.data)
    require_sources(training_sources(texts))
    return train_tokenizers(texts, judge_training_text(texts, config.data), config.tokenizer)


def _train_on_files(inputs: list[Path], settings: dict[str, Any]) -> "TokenizerPair":
    """One tokenizer on all lines of the files; what `settings` leaves open has the config's default."""
    from pydantic import ValidationError

    from mt_trainer.config.data import TokenizerConfig
    from mt_trainer.data.encoding import train_on_files
    from mt_trainer.tokenizer import TokenizerPair

    try:
        config = TokenizerConfig(**settings)
    except ValidationError as error:
        problems = [
            Problem(
                "MT024", each["msg"].lower(), where=f"--{each['loc'][0]}".replace("_", "-"), help=_help_of(each["loc"])
            )
            for each in error.errors()
        ]
        raise ConfigError(problems) from error
    tokenizer = train_on_files([str(path) for path in inputs], config)
    return TokenizerPair(src=tokenizer, tgt=tokenizer, is_joint=True)


def _help_of(location: tuple[int | str, ...]) -> str:
    """What the option takes, as the key of the config does."""
    from mt_trainer.config.suggestions import find_setting

    setting = find_setting(f"tokenizer.{location[0]}")
    return f"it takes: {setting.allowed}" if setting else "`mt-tokenizer train --help`"


def main() -> None:
    """Entry point of mt-tokenizer."""
    run_subcommands(train, inspect, description="Train a SentencePiece tokenizer, or look at one.")


if __name__ == "__main__":
    main()
