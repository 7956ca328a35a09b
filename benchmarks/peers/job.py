"""What a runner is told: one JSON file. Standard library only, because runners read it in environments of their own."""

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Text:
    """The text that all candidates read, and its one tokenizer; every field is the path of a file.

    Attributes:
        src, tgt: raw sentences, one a line.
        src_pieces, tgt_pieces: the same cut into pieces, separated by spaces.
        src_ids, tgt_ids: the same as ids of pieces, without special ids.
        tokenizer: the SentencePiece model, joint; its ids are pad 0, unk 1, bos 2, eos 3.
        vocabulary: its pieces in the order of their ids.
    """

    src: str
    tgt: str
    src_pieces: str
    tgt_pieces: str
    src_ids: str
    tgt_ids: str
    tokenizer: str
    vocabulary: str


@dataclass(frozen=True)
class Sizes:
    """The Transformer of a comparison."""

    num_layers: int
    """Of the encoder, and of the decoder."""
    d_model: int
    ffn_dim: int
    num_heads: int
    vocab_size: int


@dataclass(frozen=True)
class TrainingJob:
    """One candidate's training.

    Attributes:
        folder: its own, to write in.
        batch_tokens: about so many target tokens a step, as the candidate counts them.
        longest: tokens of the longest side of a pair, end mark included.
        precision: of the matmuls: fp32 or bf16.
        is_compiled: whether the model is compiled by torch.
        compile_backend: what compiles it.
    """

    folder: str
    text: Text
    sizes: Sizes
    dropout: float
    label_smoothing: float
    batch_tokens: int
    longest: int
    threads: int
    device: str
    precision: str
    is_compiled: bool
    compile_backend: str
    seed: int


@dataclass(frozen=True)
class DecodingJob:
    """One candidate's translation of a test set with weights that are given.

    Attributes:
        folder: its own, to write in.
        run_folder: the trained run of mt_trainer.
        weights: the same weights as NumPy arrays (`peers.weights`).
        batch_size: sentences decoded together, where the candidate is told.
        longest: tokens of an output at most.
        compute_type: float32, float16 or int8, for CTranslate2.
        settings: of the section `decoding`, for mt_trainer.
        most_sentences: of the test set, from its beginning: fewer for a slow candidate.
        outputs: file for the translations as ids, one sentence a line, written after every pass.
    """

    folder: str
    text: Text
    sizes: Sizes
    run_folder: str
    weights: str
    beam_size: int
    batch_size: int
    longest: int
    threads: int
    device: str
    compute_type: str
    settings: dict[str, Any]
    most_sentences: int
    outputs: str


def write_job(job: TrainingJob | DecodingJob, path: Path) -> None:
    """As JSON."""
    path.write_text(json.dumps(asdict(job), indent=1), encoding="utf-8")


def training_job() -> TrainingJob:
    """The one that the command line names."""
    fields = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    fields.update(text=Text(**fields["text"]), sizes=Sizes(**fields["sizes"]))
    return TrainingJob(**fields)


def decoding_job() -> DecodingJob:
    """The one that the command line names."""
    fields = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    fields.update(text=Text(**fields["text"]), sizes=Sizes(**fields["sizes"]))
    return DecodingJob(**fields)


def read_ids(path: str) -> list[list[int]]:
    """Lines of ids."""
    with open(path, encoding="ascii") as lines:
        return [list(map(int, line.split())) for line in lines]
