"""What one reading of a part finds, row by row: the traits of its pairs and of its lines."""

from mt_trainer.data.checking.findings import Observation
from mt_trainer.data.checking.pair_traits import PairTraits
from mt_trainer.data.checking.text_traits import SideTraits
from mt_trainer.data.checking.words import Features, features_of

SIDES = ("src", "tgt")


def alignable(src: str, tgt: str) -> tuple[Features, Features] | None:
    """What alignment goes by; None where a side has no word."""
    features = features_of(src), features_of(tgt)
    return features if features[0].words and features[1].words else None


class PartTraits:
    """The traits of a part, fed with its pairs in order.

    Attributes:
        sides: the traits of the lines of both sides.
    """

    def __init__(self, *, src_lang: str, tgt_lang: str, max_characters: int) -> None:
        self._pairs = PairTraits(src_lang, tgt_lang)
        self.sides = [SideTraits(side, max_characters=max_characters) for side in SIDES]

    def add(self, row: int, src: str, tgt: str) -> tuple[Features, Features] | None:
        """The pair of this row; returns its features, or None when a side is blank."""
        features = features_of(src), features_of(tgt)
        has_text = self._pairs.add(row, src, tgt, features)
        for side, text in zip(self.sides, (src, tgt), strict=True):
            side.add(row, text)
        return features if has_text else None

    def observations(self) -> list[Observation]:
        """What was counted."""
        return [*self._pairs.observations(), *(each for side in self.sides for each in side.observations())]
