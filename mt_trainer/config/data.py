"""Sections `data` and `tokenizer`: where the text comes from, what is dropped, how it is cut into pieces."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from mt_trainer.config.section import Section, required, setting


class TextSource(Section):
    """Two line-aligned text files, plain or .gz; lines end with a line feed only."""

    format: Literal["text"] = required("Two line-aligned files.")
    src: str = required(
        "Path of the source side, relative to the working directory; .gz is read as such.", min_length=1
    )
    tgt: str = required("Path of the target side.", min_length=1)


class TsvSource(Section):
    """One tab-separated file, plain or .gz, one pair a line."""

    format: Literal["tsv"] = required("One tab-separated file.")
    path: str = required("Path of the file; .gz is read as such.", min_length=1)
    src_column: int = setting(1, "Column of the source text, counted from 1.", ge=1)
    tgt_column: int = setting(2, "Column of the target text, counted from 1.", ge=1)


class HuggingFaceSource(Section):
    """A data set of the Hugging Face hub, or a local folder of parquet, json or csv files."""

    format: Literal["huggingface"] = required("A data set read by the `datasets` package.")
    path: str = required("Name on the hub (`wmt/wmt14`) or a local folder.", min_length=1)
    config: str | None = setting(None, "Configuration of the data set, such as `de-en`; of a local one, a subfolder.")
    split: str = required("Split, such as `train` or `test`.", min_length=1)
    revision: str | None = setting(None, "Commit or tag of the data set; without one a warning is given.")
    src_column: str | None = setting(
        None, "Column of the source text; by default `translation.{src_lang}`, else the column named like the language."
    )
    tgt_column: str | None = setting(None, "Column of the target text, likewise.")


class PhrasebookSource(Section):
    """The built-in English-German corpus: a small grammar, generated, no download."""

    format: Literal["phrasebook"] = required("The built-in corpus.")
    split: Literal["train", "dev", "test"] = required(
        "Which part; no sentence of one part occurs in another, on either side."
    )
    max_pairs: int | None = setting(None, "Take only the first pairs of the part.", unit="pairs", ge=1)


SourceConfig = Annotated[TextSource | TsvSource | HuggingFaceSource | PhrasebookSource, Field(discriminator="format")]

SetName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$")]
"""A name that is safe in the name of a file."""


class DataConfig(Section):
    """Parallel text and what is dropped from the training part."""

    src_lang: str = required("Language translated from, such as `en`.", min_length=1)
    tgt_lang: str = required("Language translated into, such as `de`.", min_length=1)
    train: tuple[SourceConfig, ...] = required("Training text: one source or a list, concatenated.", min_length=1)
    dev: SourceConfig = required("Text for validation; selects the checkpoint.")
    test: dict[SetName, SourceConfig] = setting(
        {}, "Test sets by name (letters, digits, `_`, `.`, `-`); scored once, at the end."
    )
    max_length: int = setting(
        128,
        "Longest side of a training pair, end mark included; longer pairs are dropped.",
        unit="tokens",
        ge=4,
        le=16384,
    )
    max_length_ratio: float = setting(
        3.0,
        "Largest ratio of the sides' token counts (each plus 5, to be lenient with short ones); others are dropped.",
        gt=1.0,
    )
    drop_identical: bool = setting(True, "Drop training pairs whose two sides are the same text of more than 3 words.")
    drop_duplicates: bool = setting(True, "Keep only the first of training pairs that are equal on both sides.")
    subword_alpha: float | None = setting(
        None,
        "Subword regularisation: every epoch cuts each word anew, into a segmentation x drawn in proportion to "
        "P(x)^alpha under a unigram tokenizer; null for off.",
        ge=0.0,
        le=100.0,
    )
    subword_num_best: int = setting(
        8, "Segmentations of a word to draw from, the most probable ones.", unit="segmentations", ge=2, le=512
    )
    max_overlap: float | None = setting(
        None,
        "Largest share of a dev or test set whose sources may also occur in training, compared without case, "
        "punctuation and spacing; with more the run is refused; null only reports it.",
        ge=0.0,
        le=1.0,
    )
    on_invalid_text: Literal["stop", "skip"] = setting(
        "stop", "Invalid UTF-8: `stop` names file, line and byte; `skip` drops the pair and counts it."
    )


class TokenizerConfig(Section):
    """SentencePiece; trained on the training text unless model files are given."""

    algorithm: Literal["unigram", "bpe"] = setting("unigram", "How SentencePiece builds the vocabulary.")
    vocab_size: int = setting(
        8000, "Pieces in the vocabulary (in each, when there are two).", unit="pieces", ge=16, le=1_000_000
    )
    joint: bool = setting(True, "One vocabulary for both languages; else one a side.")
    character_coverage: float = setting(
        1.0, "Share of characters that get pieces of their own; the rest become bytes.", gt=0.9, le=1.0
    )
    byte_fallback: bool = setting(True, "Spell unknown characters as bytes, so that nothing becomes <unk>.")
    max_training_lines: int = setting(
        2_000_000,
        "Lines a side at most that the tokenizer is trained on, evenly sampled; also at most about 100 million "
        "characters, which bounds its memory.",
        unit="lines",
        ge=1,
    )
    model_file: str | None = setting(None, "Use this SentencePiece model (joint) instead of training one.")
    src_model_file: str | None = setting(None, "Use this model for the source side (not joint).")
    tgt_model_file: str | None = setting(None, "Use this model for the target side (not joint).")
