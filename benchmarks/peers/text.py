"""The text of a comparison, written once for all candidates: the same pairs, cut by the same tokenizer."""

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Literal

import sentencepiece

from mt_trainer.config.data import TextSource
from mt_trainer.data.phrasebook import phrasebook_pairs
from mt_trainer.data.sources import read_source
from mt_trainer.errors import TokenizerError
from mt_trainer.tokenizer import TRAINING_THREADS, Tokenizer, train_tokenizer
from peers.job import Text

Pairs = Sequence[tuple[str, str]]


def read_pairs(files: tuple[Path, Path] | None, split: Literal["train", "test"], *, most: int | None = None) -> Pairs:
    """Pairs of two aligned files, or of the built-in phrasebook.

    Left out are those with an empty side, and those that another program could take for more than one line.
    """
    if files is None:
        pairs = list(islice(phrasebook_pairs(split), most))
    else:
        source = TextSource(format="text", src=str(files[0]), tgt=str(files[1]))
        text = read_source(source, src_lang="src", tgt_lang="tgt", on_invalid_text="stop")
        pairs = list(islice(text.pairs(), most))
    return [pair for pair in pairs if all(side.strip() and len(side.splitlines()) == 1 for side in pair)]


def make_tokenizer(pairs: Pairs, vocab_size: int, file: Path) -> Tokenizer:
    """A joint unigram model of both sides, kept in a file.

    Raises:
        TokenizerError: when the text has too few pieces; it says how many are possible.
    """
    if file.exists() and (tokenizer := Tokenizer.load(file)).vocab_size == vocab_size:
        return tokenizer
    try:
        tokenizer = train_tokenizer(
            (sentence for pair in pairs for sentence in pair),
            algorithm="unigram",
            vocab_size=vocab_size,
            character_coverage=1.0,
            byte_fallback=True,
            num_threads=TRAINING_THREADS,
        )
    except TokenizerError as error:
        raise SystemExit("; ".join(f"{each.message}: {each.help}" for each in error.problems)) from error
    tokenizer.save(file)
    return tokenizer


def write_text(pairs: Pairs, tokenizer: Tokenizer, folder: Path, *, longest: int | None) -> Text:
    """Files for all candidates; pairs with a side of more than `longest` tokens, end mark included, are left out."""
    folder.mkdir(parents=True, exist_ok=True)
    sides = [tokenizer.encode([pair[side] for pair in pairs]) for side in (0, 1)]
    kept = [i for i in range(len(pairs)) if longest is None or max(len(sides[0][i]), len(sides[1][i])) + 1 <= longest]
    processor = sentencepiece.SentencePieceProcessor(model_proto=tokenizer.model_bytes)
    vocabulary: list[str] = [processor.id_to_piece(index) for index in range(tokenizer.vocab_size)]
    for side, name in enumerate(("src", "tgt")):
        _write(folder / f"{name}.txt", [pairs[i][side] for i in kept])
        _write(folder / f"{name}.ids", [" ".join(map(str, sides[side][i])) for i in kept])
        _write(folder / f"{name}.pieces", [" ".join(vocabulary[j] for j in sides[side][i]) for i in kept])
    _write(folder / "vocabulary.txt", vocabulary)
    tokenizer.save(folder / "tokenizer.model")
    return Text(
        src=str(folder / "src.txt"),
        tgt=str(folder / "tgt.txt"),
        src_pieces=str(folder / "src.pieces"),
        tgt_pieces=str(folder / "tgt.pieces"),
        src_ids=str(folder / "src.ids"),
        tgt_ids=str(folder / "tgt.ids"),
        tokenizer=str(folder / "tokenizer.model"),
        vocabulary=str(folder / "vocabulary.txt"),
    )


def write_pairs(pairs: Pairs, prefix: Path) -> None:
    """Raw text as `prefix.src` and `prefix.tgt`."""
    prefix.parent.mkdir(parents=True, exist_ok=True)
    for side, name in enumerate(("src", "tgt")):
        _write(prefix.with_name(f"{prefix.name}.{name}"), [pair[side] for pair in pairs])


def _write(file: Path, lines: Sequence[str]) -> None:
    file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
