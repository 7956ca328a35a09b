"""What pairs give away: blank, identical, lopsided, in the wrong language or script. A byte or two a pair is kept."""

from array import array
from collections import Counter

import numpy as np
from numpy.typing import NDArray

from mt_trainer.data.checking.findings import Observation, Tally
from mt_trainer.data.checking.languages import SCRIPT_OF_LANGUAGE, LanguagePair, base_language, main_script
from mt_trainer.data.checking.words import LOOKED_AT, Features
from mt_trainer.data.cleaning import IDENTICAL_MIN_WORDS

NEAR_COPY = 0.8
"""Share of words that both sides of a near copy have, of all their words."""

LOPSIDED = 3.0
"""Characters of the longer side over those of the shorter, each plus `LENIENCE_CHARACTERS`, once the typical ratio of
the two languages is taken out."""

LENIENCE_CHARACTERS = 15

NO_LANGUAGE, SRC, TGT = 0, 1, 2
_CODES = {None: NO_LANGUAGE, "src": SRC, "tgt": TGT}


class PairTraits:
    """Counts what pairs show, one after the other.

    Args:
        src_lang, tgt_lang: languages that the sides should be in.
    """

    def __init__(self, src_lang: str, tgt_lang: str) -> None:
        self._languages = (src_lang, tgt_lang)
        self._pair = LanguagePair(src_lang, tgt_lang)
        self._tallies = {name: Tally() for name in ("blank", "identical", "near_copy")}
        self._one_sided = 0
        self._rows = array("q")  # of the pairs with text on both sides
        self._lengths = (array("i"), array("i"))
        self._scripts = (bytearray(), bytearray())
        self._script_names: dict[str, int] = {"": 0}
        self._language_codes = (bytearray(), bytearray())
        self._num_pairs = 0

    def add(self, row: int, src: str, tgt: str, features: tuple[Features, Features]) -> bool:
        """The pair of this row; returns whether both sides have text."""
        self._num_pairs += 1
        stripped = src.strip(), tgt.strip()
        if not all(stripped):
            self._one_sided += any(stripped)
            self._tallies["blank"].add(row)
            return False
        self._rows.append(row)
        is_copy = self._is_copy(row, *stripped, features)
        for side, text in enumerate((src, tgt)):
            self._lengths[side].append(min(len(text), 1 << 30))
            name = main_script(text[:LOOKED_AT])
            self._scripts[side].append(self._script_names.setdefault(name, min(len(self._script_names), 255)))
            self._language_codes[side].append(
                NO_LANGUAGE if is_copy else _CODES[self._pair.side_of(features[side].words)]
            )
        return True

    def _is_copy(self, row: int, src: str, tgt: str, features: tuple[Features, Features]) -> bool:
        if src == tgt:
            if len(src.split()) >= IDENTICAL_MIN_WORDS:
                self._tallies["identical"].add(row)
            return True
        words, others = features[0].words, features[1].words
        if min(len(words), len(others)) >= IDENTICAL_MIN_WORDS:
            shared = len(words & others)
            if shared >= NEAR_COPY * (len(words) + len(others) - shared):
                self._tallies["near_copy"].add(row)
                return True
        return False

    def observations(self) -> list[Observation]:
        """What was counted."""
        one_sided = f"{self._one_sided:,} on one side only" if self._one_sided else ""
        found = [
            Observation(name, None, tally, self._num_pairs, detail=one_sided if name == "blank" else "")
            for name, tally in self._tallies.items()
        ]
        return [*found, self._lopsided(), *self._language_and_script()]

    def _lopsided(self) -> Observation:
        lengths = [np.frombuffer(side, dtype=np.int32).astype(np.float64) for side in self._lengths]
        if not len(self._rows):
            return Observation("length_ratio", None, Tally(), self._num_pairs)
        typical = float(np.median(lengths[1] / lengths[0]))
        src, tgt = lengths[0] * typical + LENIENCE_CHARACTERS, lengths[1] + LENIENCE_CHARACTERS
        is_lopsided = np.maximum(src, tgt) > LOPSIDED * np.minimum(src, tgt)
        detail = f"typically {typical:.2f} target characters for one of the source"
        tally = Tally.at(np.flatnonzero(is_lopsided), self._rows)
        return Observation("length_ratio", None, tally, self._num_pairs, detail=detail)

    def _language_and_script(self) -> list[Observation]:
        def tally(is_found: NDArray[np.bool_]) -> Tally:
            return Tally.at(np.flatnonzero(is_found), self._rows)

        codes = [np.frombuffer(side, dtype=np.uint8) for side in self._language_codes]
        scripts = [np.frombuffer(side, dtype=np.uint8) for side in self._scripts]
        expected = [self._expected_scripts(side) for side in (0, 1)]
        fits = [
            [(scripts[side] == 0) | np.isin(scripts[side], expected[of]) for of in (0, 1)] for side in (0, 1)
        ]  # fits[side][of]: whether the script is one of the language of `of`; what has no letters fits any
        swapped = (codes[0] == TGT) & (codes[1] == SRC)
        if not set(expected[0].tolist()) & set(expected[1].tolist()):
            swapped |= ~fits[0][0] & fits[0][1] & ~fits[1][1] & fits[1][0]
        wrong = [(codes[0] == TGT) & ~swapped, (codes[1] == SRC) & ~swapped]
        unknown = "" if self._pair.is_known else "judged by script only: no word lists for these languages"
        found = [Observation("swapped", None, tally(swapped), self._num_pairs, detail=unknown)]
        for side, name in enumerate(("src", "tgt")):
            other = self._languages[1 - side]
            detail = unknown or f"the words are of {other}"
            found.append(Observation("wrong_language", name, tally(wrong[side]), self._num_pairs, "lines", detail))
            is_other = ~fits[side][side] & ~swapped
            detail = self._histogram(scripts[side])
            found.append(Observation("script", name, tally(is_other), self._num_pairs, "lines", detail))
        return found

    def _expected_scripts(self, side: int) -> NDArray[np.uint8]:
        """Numbers of the scripts that the language is written in; where that is not known, the commonest one."""
        names = SCRIPT_OF_LANGUAGE.get(base_language(self._languages[side]))
        if names is None:
            counts = Counter(self._scripts[side])
            del counts[0]
            return np.array([number for number, _ in counts.most_common(1)], dtype=np.uint8)
        return np.array([self._script_names[name] for name in names if name in self._script_names], dtype=np.uint8)

    def _histogram(self, numbers: NDArray[np.uint8]) -> str:
        names = {number: name or "no letters" for name, number in self._script_names.items()}
        counts = Counter(numbers.tolist()).most_common(4)
        return ", ".join(f"{names[number]} {count / len(numbers):.1%}" for number, count in counts)
