"""How a tokenizer suits a text: pieces a word, bytes, unknown pieces, characters it has never seen."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from mt_trainer.data.checking.findings import Observation, Tally
from mt_trainer.data.encoding import Coverage
from mt_trainer.tokenizer import Tokenizer

NAMED = 8
"""Characters without a piece that are named, the commonest."""


class SideCoverage:
    """Counts the pieces of one side."""

    def __init__(self, side: str, tokenizer: Tokenizer) -> None:
        self._side, self._tokenizer = side, tokenizer
        self._is_byte = np.array([tokenizer.is_byte(index) for index in range(tokenizer.vocab_size)])
        self._counts = np.zeros(tokenizer.vocab_size, dtype=np.int64)
        self._num_words = 0

    def add(self, texts: Sequence[str], ids: Sequence[Sequence[int]]) -> None:
        """Texts and their pieces."""
        self._num_words += sum(len(text.split()) for text in texts)
        flat = np.fromiter((index for each in ids for index in each), dtype=np.int64)
        self._counts += np.bincount(flat, minlength=len(self._counts))

    def coverage(self) -> Coverage:
        """The counts."""
        return Coverage(
            num_words=self._num_words,
            num_pieces=int(self._counts.sum()),
            num_byte_pieces=int(self._counts[self._is_byte].sum()),
            num_unknown=int(self._counts[self._tokenizer.unk_id]),
        )

    def observations(self, characters: Counter[str]) -> list[Observation]:
        """What was counted; `characters` are those of the side, with their counts."""
        counted = self.coverage()
        known = [character for character in characters if not character.isspace()]
        pieces = self._tokenizer.encode(known)
        unseen = {
            character: characters[character]
            for character, ids in zip(known, pieces, strict=True)
            if any(self._is_byte[index] or index == self._tokenizer.unk_id for index in ids)
        }
        named = sorted(unseen, key=lambda character: -unseen[character])[:NAMED]
        shown = (f"{each if each.isprintable() else ''}(U+{ord(each):04X}) {unseen[each]:,}" for each in named)
        detail = f"{len(unseen):,} different: {', '.join(shown)}" if named else ""
        num_characters = sum(characters[character] for character in known)
        rate = f"{counted.num_pieces / max(counted.num_words, 1):.2f} pieces a word"
        return [
            Observation("unknown_pieces", self._side, Tally(counted.num_unknown), counted.num_pieces, "pieces", rate),
            Observation("byte_pieces", self._side, Tally(counted.num_byte_pieces), counted.num_pieces, "pieces", rate),
            Observation(
                "unseen_characters", self._side, Tally(sum(unseen.values())), num_characters, "characters", detail
            ),
        ]
