"""Where in the training text a pair of the encoded corpus comes from."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from mt_trainer.data.corpus import Corpus
from mt_trainer.data.encoded_pairs import CHUNK_PAIRS
from mt_trainer.data.reading import ParallelText
from mt_trainer.tokenizer import TokenizerPair


@dataclass(frozen=True)
class Origin:
    """A pair of the training text, as it stands there.

    Attributes:
        places: where the two sides stand, such as `train.en:7` and `train.de:7`.
    """

    places: tuple[str, str]
    src: str
    tgt: str


def origin_of(pair: int, corpus: Corpus, texts: Sequence[ParallelText], tokenizers: TokenizerPair) -> Origin | None:
    """The first pair of the training text that can be the pair of the corpus: it stands no earlier and encodes to it.

    Where duplicates are not dropped it may be an equal one that stands before. None if the text no longer has it.

    Raises:
        DataError: when the text cannot be read.
    """
    wanted = corpus.src(pair).tolist(), corpus.tgt(pair).tolist()
    candidates = islice(_all(texts), pair, None)
    while chunk := list(islice(candidates, CHUNK_PAIRS)):
        src_ids = tokenizers.src.encode([each.src for each in chunk])
        for number in (i for i, ids in enumerate(src_ids) if ids == wanted[0]):
            if tokenizers.tgt.encode([chunk[number].tgt]) == [wanted[1]]:
                return chunk[number]
    return None


def _all(texts: Sequence[ParallelText]) -> Iterator[Origin]:
    for text in texts:
        for row, (src, tgt) in text.located_pairs():
            yield Origin(text.places(row), src, tgt)
