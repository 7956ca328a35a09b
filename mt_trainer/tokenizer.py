"""SentencePiece: train, load, encode, decode. The only module that knows the library."""

import hashlib
import io
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mt_trainer.artefacts import read_at_most
from mt_trainer.errors import Problem, TokenizerError
from mt_trainer.protobuf import fields_of_message

PAD_ID, UNK_ID, BOS_ID, EOS_ID = 0, 1, 2, 3
"""Ids of the four special pieces in every vocabulary trained here."""

TRAINING_THREADS = 4
"""Threads of the trainer. A constant, because a unigram model depends on their number: the sums of its EM steps are
split between them."""

LONGEST_LINE = 10_000
"""Characters of a line that the trainer sees in one go; SentencePiece would skip longer ones without a word."""

LARGEST_MODEL_BYTES = 64 * 2**20
"""Of a model file; the largest vocabulary, a million pieces, takes half of it."""

WORD_START = "▁"
"""What stands for the space before a word, at the beginning of a piece."""

ALGORITHM_NAMES = {1: "unigram", 2: "bpe", 3: "word", 4: "char"}


class Tokenizer:
    """A SentencePiece model: text to ids and back.

    Text is normalised by the model itself; models trained here use SentencePiece's `nmt_nfkc` (NFKC, and every kind
    of white space becomes one space), so decoding gives the normalised text, not the exact input.

    Attributes:
        model_bytes: the model file.
        content_hash: sha256 of `model_bytes`, in hexadecimal; checkpoints are bound to it.
        vocab_size: number of pieces, special ones included.
        algorithm: how the vocabulary was built: `unigram`, `bpe`, `word` or `char`.
        pad_id, unk_id, bos_id, eos_id: ids of the special pieces.
    """

    def __init__(self, model_bytes: bytes, *, where: str = "tokenizer") -> None:
        """Takes the bytes of a model file; `where` names it in messages.

        Raises:
            TokenizerError: MT081 when they are no SentencePiece model, or one without a padding or sentence mark.
        """
        self.model_bytes = model_bytes
        self.content_hash = hashlib.sha256(model_bytes).hexdigest()
        self._processor, self.algorithm = _load_processor(model_bytes, where)
        self.vocab_size: int = self._processor.vocab_size()
        self.pad_id: int = self._processor.pad_id()
        self.unk_id: int = self._processor.unk_id()
        self.bos_id: int = self._processor.bos_id()
        self.eos_id: int = self._processor.eos_id()
        special_ids = {"pad": self.pad_id, "unk": self.unk_id, "bos": self.bos_id, "eos": self.eos_id}
        absent = [name for name, index in special_ids.items() if index < 0]
        if absent:
            message = f"the tokenizer has no piece for {', '.join(absent)}"
            advice = "train it with `mt-tokenizer train`, or with --pad_id=0 --unk_id=1 --bos_id=2 --eos_id=3"
            raise TokenizerError(Problem("MT081", message, where=where, help=advice))

    @classmethod
    def load(cls, path: Path | str) -> "Tokenizer":
        """The model in the file `path`.

        Raises:
            TokenizerError: MT081 when the file cannot be read or is no usable SentencePiece model.
        """
        try:
            model_bytes = read_at_most(Path(path), LARGEST_MODEL_BYTES)
        except (OSError, ValueError) as error:
            message = f"the tokenizer file cannot be read: {getattr(error, 'strerror', None) or error}"
            advice = "check the path and its permissions; paths are relative to the working directory"
            raise TokenizerError(Problem("MT081", message, where=str(path), help=advice)) from error
        return cls(model_bytes, where=str(path))

    def save(self, path: Path | str) -> None:
        """Writes the model file, byte for byte as it was loaded or trained."""
        Path(path).write_bytes(self.model_bytes)

    def encode(self, texts: Sequence[str], *, num_threads: int | None = None) -> list[list[int]]:
        """Ids of the pieces of each text, without special ids; [] for a text of nothing but white space.

        Args:
            num_threads: that share the texts; None for what suits the machine. The result does not depend on it.
        """
        threads = _encoding_threads() if num_threads is None else num_threads
        ids: list[list[int]] = self._processor.encode(list(texts), out_type=int, num_threads=threads)
        return ids

    def pieces(self, text: str) -> list[str]:
        """The pieces of one text as they stand in the vocabulary; `▁` marks the start of a word."""
        pieces: list[str] = self._processor.encode(text, out_type=str)
        return pieces

    def starts_word(self, index: int) -> bool:
        """Whether the piece begins with the mark of a word's start."""
        return str(self._processor.id_to_piece(index)).startswith(WORD_START)

    def segmentations(self, text: str, number: int) -> list[tuple[list[int], float]]:
        """The most probable ways to cut a text into pieces, at most `number`, best first, each with log P (unigram)."""
        best: list[list[int]] = self._processor.nbest_encode(text, nbest_size=number, out_type=int)
        return [(ids, sum(map(self._processor.get_score, ids))) for ids in best]

    def is_byte(self, index: int) -> bool:
        """Whether the piece spells one byte of a character that has no piece of its own."""
        return bool(self._processor.is_byte(index))

    def decode(self, ids: Sequence[Sequence[int]]) -> list[str]:
        """The text of each sequence of ids, always one line.

        Padding, bos and eos are dropped; unk shows as `⁇`. Line feeds and carriage returns, which byte pieces could
        spell, become spaces.
        """
        dropped = {self.pad_id, self.bos_id, self.eos_id}
        texts: list[str] = self._processor.decode(
            [[int(index) for index in sequence if int(index) not in dropped] for sequence in ids],
            num_threads=_encoding_threads(),
        )
        return [text.replace("\n", " ").replace("\r", " ") for text in texts]


@dataclass(frozen=True)
class TokenizerPair:
    """The tokenizers of the two sides; one and the same object when they are joint.

    Raises:
        TokenizerError: MT081 when the two give their special pieces different ids: batches have one padding id.
    """

    src: Tokenizer
    tgt: Tokenizer
    is_joint: bool

    def __post_init__(self) -> None:
        """Compares the special ids."""
        src, tgt = (_special_ids(tokenizer) for tokenizer in (self.src, self.tgt))
        if src != tgt:
            message = f"the two tokenizers differ in their special ids: source {src}, target {tgt}"
            advice = "train both with `mt-tokenizer train`"
            raise TokenizerError(Problem("MT081", message, where="tokenizer", help=advice))

    @property
    def content_hash(self) -> str:
        """sha256 over both models, in hexadecimal; a joint pair has its one model's hash."""
        if self.is_joint:
            return self.src.content_hash
        return _hash_of_two(self.src.content_hash, self.tgt.content_hash)

    def save(self, folder: Path) -> None:
        """Writes `tokenizer.model` (joint) or `tokenizer.src.model` and `tokenizer.tgt.model` into `folder`."""
        if self.is_joint:
            self.src.save(folder / "tokenizer.model")
        else:
            self.src.save(folder / "tokenizer.src.model")
            self.tgt.save(folder / "tokenizer.tgt.model")

    @classmethod
    def load(cls, folder: Path) -> "TokenizerPair":
        """The pair that `save` wrote into `folder`.

        Raises:
            TokenizerError: MT081 when a file is missing or broken.
        """
        if (folder / "tokenizer.model").exists():
            joint = Tokenizer.load(folder / "tokenizer.model")
            return cls(src=joint, tgt=joint, is_joint=True)
        src, tgt = (Tokenizer.load(folder / f"tokenizer.{side}.model") for side in ("src", "tgt"))
        return cls(src=src, tgt=tgt, is_joint=False)


def stored_hash(folder: Path) -> str | None:
    """The `content_hash` of the pair in a folder, from its bytes alone: nothing is parsed. None without such files."""
    try:
        if (folder / "tokenizer.model").exists():
            return hashlib.sha256((folder / "tokenizer.model").read_bytes()).hexdigest()
        src, tgt = ((folder / f"tokenizer.{side}.model").read_bytes() for side in ("src", "tgt"))
        return _hash_of_two(*(hashlib.sha256(content).hexdigest() for content in (src, tgt)))
    except OSError:
        return None


def _hash_of_two(src_hash: str, tgt_hash: str) -> str:
    return hashlib.sha256(f"{src_hash} {tgt_hash}".encode()).hexdigest()


def _special_ids(tokenizer: Tokenizer) -> str:
    return f"pad {tokenizer.pad_id}, unk {tokenizer.unk_id}, bos {tokenizer.bos_id}, eos {tokenizer.eos_id}"


def train_tokenizer(
    lines: Iterable[str],
    *,
    algorithm: str,
    vocab_size: int,
    character_coverage: float,
    byte_fallback: bool,
    num_threads: int,
) -> Tokenizer:
    """Trains a SentencePiece model of exactly `vocab_size` pieces on `lines`.

    The same lines in the same order with the same `num_threads` give the same bytes. A line of more than
    `LONGEST_LINE` characters is cut, none is skipped. Nothing is written.

    Raises:
        TokenizerError: MT080 when the text has too few different pieces (with the largest possible size), MT083 when
            the characters alone need more (with the smallest possible size), MT054 when there is no text.
    """
    import sentencepiece

    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=(piece for line in lines for piece in _cut(line)),
            model_writer=model,
            model_type=algorithm,
            vocab_size=vocab_size,
            hard_vocab_limit=True,
            character_coverage=character_coverage,
            byte_fallback=byte_fallback,
            pad_id=PAD_ID,
            unk_id=UNK_ID,
            bos_id=BOS_ID,
            eos_id=EOS_ID,
            num_threads=num_threads,
            max_sentence_length=4 * LONGEST_LINE,
            shuffle_input_sentence=False,
            normalization_rule_name="nmt_nfkc",
            minloglevel=2,
        )
    except RuntimeError as error:
        raise TokenizerError(_training_problem(str(error), vocab_size)) from error
    return Tokenizer(model.getvalue())


def _cut(line: str) -> Iterator[str]:
    """The line itself, or its parts of at most `LONGEST_LINE` characters."""
    if len(line) <= LONGEST_LINE:
        yield line
    else:
        for start in range(0, len(line), LONGEST_LINE):
            yield line[start : start + LONGEST_LINE]


def _training_problem(message: str, vocab_size: int) -> Problem:
    """What SentencePiece's message means for the user."""
    where = "tokenizer.vocab_size"
    if largest := re.search(r"Vocabulary size too high.*<= (\d+)", message):
        text = f"a vocabulary of {vocab_size:,} pieces is larger than the text supports"
        return Problem("MT080", text, where=where, help=f"the largest possible size here is {largest[1]}")
    if smallest := re.search(r"smaller than required_chars\. \d+ vs (\d+)", message):
        text = f"a vocabulary of {vocab_size:,} pieces cannot hold the characters of the text"
        advice = f"the smallest possible size here is {smallest[1]}, or lower tokenizer.character_coverage"
        return Problem("MT083", text, where=where, help=advice)
    if "sentences_.empty()" in message or "all_chars_count" in message:
        message = "there is no text to train a tokenizer on"
        return Problem("MT054", message, help="give text files with at least one line that is not blank")
    text, advice = f"SentencePiece cannot train this vocabulary: {message}", "try another size, or the other algorithm"
    return Problem("MT080", text, where=where, help=advice)


def _load_processor(model_bytes: bytes, where: str) -> tuple[Any, str]:
    """SentencePiece's own object for these bytes, and the algorithm; or MT081."""
    import sentencepiece

    advice = "a SentencePiece .model file is needed; `mt-tokenizer train` writes one"
    try:
        # A file that was cut between two fields still parses: the specs of trainer and normaliser stand at its end.
        parts = list(fields_of_message(model_bytes))
        if not {1, 2, 3} <= {number for number, _ in parts}:
            raise ValueError("parts of it are missing")
        algorithm = _algorithm_of(value for number, value in parts if number == 2 and isinstance(value, bytes))
        return sentencepiece.SentencePieceProcessor(model_proto=model_bytes), algorithm
    except (ValueError, IndexError, RuntimeError) as error:
        problem = Problem("MT081", "this is not a usable SentencePiece model", where=where, help=advice)
        raise TokenizerError(problem) from error


def _algorithm_of(trainer_specs: Iterable[bytes]) -> str:
    """What the trainer's specification says, in the last of its fields 3; unigram where it says nothing."""
    fields = [field for spec in trainer_specs for field in fields_of_message(spec)]
    model_types = [value for number, value in fields if number == 3 and isinstance(value, int)]
    return ALGORITHM_NAMES.get(model_types[-1] if model_types else 1, "unknown")


def _encoding_threads() -> int:
    """Threads that texts are spread over; the result does not depend on it."""
    return min(8, os.cpu_count() or 1)
