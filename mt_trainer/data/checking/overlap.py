"""What of the evaluation sets also stands in the training text: by source, by target, as they are and normalised.

Two texts count as the same when they agree without case, punctuation and spacing, as `evaluation_sets.normalised` has
it and as every score is annotated. Memory: the evaluation sets.
"""

from collections.abc import Callable, Mapping, Sequence

from mt_trainer.data.checking.findings import Observation, Tally
from mt_trainer.data.evaluation_sets import normalised


class Overlap:
    """Takes the training pairs one after the other; knows the evaluation sets.

    Args:
        sets: name -> pairs of texts by their rows; None for a row that is no text.
    """

    def __init__(self, sets: Mapping[str, Sequence[tuple[str, str] | None]]) -> None:
        self._sets = sets
        self._known: tuple[dict[str, list[tuple[str, int]]], ...] = ({}, {})
        self._loose: dict[str, tuple[dict[int, int], ...]] = {name: ({}, {}) for name in sets}
        self._exact: dict[str, tuple[set[int], ...]] = {name: (set(), set()) for name in sets}
        self._as_pairs: dict[str, set[int]] = {name: set() for name in sets}
        for name, pairs in sets.items():
            for number, pair in enumerate(pairs):
                for side in (0, 1):
                    if pair is not None and pair[side].strip():
                        self._known[side].setdefault(_key(pair[side]), []).append((name, number))

    def add(self, row: int, src: str, tgt: str) -> None:
        """The training pair of this row, with text on both sides."""
        if not self._sets:
            return
        found = [self._known[side].get(_key(text), ()) for side, text in enumerate((src, tgt))]
        for side, text in enumerate((src, tgt)):
            for name, number in found[side]:
                self._loose[name][side].setdefault(number, row)
                pair = self._sets[name][number]
                if pair is not None and pair[side].strip() == text.strip():
                    self._exact[name][side].add(number)
        for name, number in set(found[0]) & set(found[1]):
            self._as_pairs[name].add(number)

    def observations(self, name: str, place: Callable[[int], tuple[str, str]]) -> list[Observation]:
        """Of one set; the rows are those of the training text, `place` says where a row of the set stands."""
        found = []
        for side, (check, side_name) in enumerate((("overlap", "src"), ("target_overlap", "tgt"))):
            tally = Tally()
            for number, row in sorted(self._loose[name][side].items()):
                tally.add(row, f"as {place(number)[side]}")
            detail = f"{len(self._exact[name][side]):,} letter for letter, {len(self._as_pairs[name]):,} as whole pairs"
            total = len(self._sets[name])
            found.append(
                Observation(check, side_name, tally, total, "sentences", detail if tally.count else "", rows_of="train")
            )
        return found


def _key(text: str) -> str:
    return normalised(text) or text.strip()
