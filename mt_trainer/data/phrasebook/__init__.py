"""The phrasebook: a small English-German grammar that generates the built-in demonstration corpus.

Nothing is stored and nothing is random: the same sentences come out on every machine, in the same well mixed order.
The first thousand distinct pairs are the test set, the next thousand the dev set, and what follows is for training.
The grammar gives each English sentence exactly one German one, and no two the same.

Read ``german.py`` for the tables, ``clauses.py`` for the word order, ``sentences.py`` and its
neighbours for what is said.
"""

from collections.abc import Iterator
from typing import Literal

from mt_trainer.data.phrasebook import descriptions, embedded, reasons, sentences, situations
from mt_trainer.data.phrasebook.dice import Dice
from mt_trainer.data.phrasebook.phenomena import Example, Phenomenon

__all__ = ["Example", "Phenomenon", "phrasebook_examples", "phrasebook_pairs"]

Split = Literal["train", "dev", "test"]

_SEED = 1
_MAX_WORDS = 13  # of the English side; the few longer ones teach nothing new
_NUM_TEST, _NUM_DEV, _NUM_TRAIN = 1000, 1000, 70_000
_SPANS: dict[Split, tuple[int, int]] = {
    "test": (0, _NUM_TEST),
    "dev": (_NUM_TEST, _NUM_TEST + _NUM_DEV),
    "train": (_NUM_TEST + _NUM_DEV, _NUM_TEST + _NUM_DEV + _NUM_TRAIN),
}

# The types of sentence with their shares in a hundred.
_SHARES = (
    (sentences.statement, 13),
    (sentences.inverted, 7),
    (sentences.negated, 8),
    (sentences.yes_no_question, 8),
    (sentences.who_question, 3),
    (sentences.object_question, 5),
    (sentences.adverb_question, 5),
    (sentences.request, 4),
    (descriptions.state_of_person, 3),
    (descriptions.quality_of_thing, 3),
    (descriptions.comparison, 3),
    (descriptions.profession, 1),
    (descriptions.belonging, 2),
    (descriptions.age, 1),
    (descriptions.price, 1),
    (situations.position, 4),
    (situations.existence, 2),
    (situations.clock_or_calendar, 2),
    (situations.schedule, 2),
    (embedded.that_clause, 4),
    (embedded.indirect_question, 4),
    (embedded.who_relative, 2),
    (embedded.that_relative, 2),
    (embedded.infinitive, 2),
    (reasons.reason_sentence, 5),
    (reasons.if_sentence, 2),
    (reasons.while_sentence, 2),
)
_TYPES = tuple(draw for draw, share in _SHARES for _ in range(share))


def _capitalised(sentence: str) -> str:
    return sentence[0].upper() + sentence[1:]


def _all_examples() -> Iterator[Example]:
    """Distinct examples without end: a sentence that occurred before, on either side, is passed over."""
    dice = Dice(_SEED)
    seen_english: set[str] = set()
    seen_german: set[str] = set()
    while True:
        draft = dice.pick(_TYPES)(dice)
        if draft.english in seen_english or draft.german in seen_german or draft.english.count(" ") >= _MAX_WORDS:
            continue
        seen_english.add(draft.english)
        seen_german.add(draft.german)
        yield Example(
            _capitalised(draft.english) + draft.mark, _capitalised(draft.german) + draft.mark, frozenset(draft.tags)
        )


def phrasebook_examples(split: Split) -> Iterator[Example]:
    """The pairs of a split in their order, each with the phenomena it shows."""
    first, end = _SPANS[split]
    for number, example in enumerate(_all_examples()):
        if number == end:
            return
        if number >= first:
            yield example


def phrasebook_pairs(split: Split) -> Iterator[tuple[str, str]]:
    """The pairs (English, German) of a split: 1,000 test, 1,000 dev, 70,000 train, no sentence in two of them."""
    for example in phrasebook_examples(split):
        yield example.english, example.german
