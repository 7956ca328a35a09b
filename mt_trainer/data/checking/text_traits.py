"""What single lines give away: characters that do not belong there, traces of tokenisation, markup, case."""

import re
import unicodedata
from collections import Counter

from mt_trainer.data.checking.findings import Observation, Tally
from mt_trainer.data.checking.words import LOOKED_AT

CHARACTERS = {
    "control": re.compile(r"[\x00-\x08\x0e-\x1b\x1f\x7f-\x84\x86-\x9f]"),
    "replacement": re.compile(r"\ufffd"),
    "line_separator": re.compile(r"[\r\v\f\x1c-\x1e\x85\u2028\u2029]"),
    "zero_width": re.compile(r"[\xad\u200b-\u200d\u2060\ufeff]"),
    "bidirectional": re.compile(r"[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]"),
}
"""Each kind of character that a line of text should not need. A tab is none of them."""

_ANY_CHARACTER = re.compile("|".join(pattern.pattern for pattern in CHARACTERS.values()))

TRACES_OF_TOKENISATION = re.compile(
    r"\S [.,!?]$| , |&(?:apos|quot|amp|#91|#93|#124);|@-@|@@ |\u2581| (?:'s|n't|'re|'ll|'ve) "
)
"""A mark that stands alone, an escape of the Moses tokeniser, joiners of Moses, subword-nmt and SentencePiece."""

MARKUP = re.compile(r"</?[A-Za-z][^<>]{0,200}>|&(?:[A-Za-z]{2,8}|#\d{1,6}|#x[0-9A-Fa-f]{1,6});")
"""Tags and entities of HTML and its kin."""


class SideTraits:
    """Counts what the lines of one side show, one line after the other.

    Attributes:
        characters: how often each character occurs.
    """

    def __init__(self, side: str, *, max_characters: int) -> None:
        self.characters: Counter[str] = Counter()
        self._side = side
        self._max_characters = max_characters
        self._tallies = {
            name: Tally() for name in (*CHARACTERS, "not_nfc", "tokenised", "lower_cased", "markup", "long")
        }
        self._num_lines = 0
        self._num_cased = 0

    def add(self, row: int, text: str) -> None:
        """The line of this row; of a very long one the first `LOOKED_AT` characters."""
        tallies = self._tallies
        self._num_lines += 1
        if len(text) > self._max_characters:
            tallies["long"].add(row, f"{len(text):,} characters")
        text = text[:LOOKED_AT]
        self.characters.update(text)
        if _ANY_CHARACTER.search(text):
            for name, pattern in CHARACTERS.items():
                if found := pattern.search(text):
                    tallies[name].add(row, f"U+{ord(found[0]):04X} at character {found.start() + 1}")
        if not unicodedata.is_normalized("NFC", text):
            tallies["not_nfc"].add(row)
        for name, pattern in (("tokenised", TRACES_OF_TOKENISATION), ("markup", MARKUP)):
            if found := pattern.search(text):
                tallies[name].add(row, f"`{found[0][:20]}` at character {found.start() + 1}")
        lower = text.lower()
        if lower != text:
            self._num_cased += 1
        elif lower != text.upper():
            self._num_cased += 1
            tallies["lower_cased"].add(row)

    def observations(self) -> list[Observation]:
        """What was counted; shares are of the lines, for case of the lines that have any."""
        return [
            Observation(
                name, self._side, tally, self._num_cased if name == "lower_cased" else self._num_lines, unit="lines"
            )
            for name, tally in self._tallies.items()
        ]
