"""One clause in both languages, and the orders it can stand in.

A German clause is a sentence bracket: the finite verb opens it, infinitive, participle or separable prefix closes it,
and the middle field lies between. In a main clause the finite verb is second, in a yes/no question first, and in a
subordinate clause it goes to the very end: three methods of ``Clause``, three arrangements of the same parts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from mt_trainer.data.phrasebook import english as en
from mt_trainer.data.phrasebook.english import EnglishVerb, EnglishVerbGroup
from mt_trainer.data.phrasebook.german import IRREGULAR_PRESENT, PRETERITE, GermanVerb
from mt_trainer.data.phrasebook.modes import Mode
from mt_trainer.data.phrasebook.phenomena import Phenomenon as P

_GERMAN_MODALS = {
    Mode.FUTURE: "werden",
    Mode.CAN: "können",
    Mode.MUST: "müssen",
    Mode.WANT: "wollen",
    Mode.SHOULD: "sollten",
    Mode.MAY: "dürfen",
    Mode.WISH: "möchten",
}


class GermanVerbGroup(NamedTuple):
    """The verb forms of a clause: ``finite`` and what closes the ``bracket``; ``last`` is both at the end of a
    subordinate clause, where a prefix joins its verb again ("anruft") and an auxiliary follows ("gelesen hat").
    """

    finite: str
    bracket: str
    last: str


@cache
def english_verb_group(verb: EnglishVerb, mode: Mode, person: int, is_state: bool) -> EnglishVerbGroup:
    """The English forms of a verb in a mode."""
    match mode:
        case Mode.HABIT:
            return en.simple_present(verb, person)
        case Mode.NOW:
            return en.simple_present(verb, person) if is_state else en.progressive(verb, person)
        case Mode.PAST:
            return en.simple_past(verb)
        case Mode.FUTURE:
            return en.with_auxiliary("will", verb.base)
        case Mode.CAN:
            return en.with_auxiliary("can", verb.base)
        case Mode.MUST:
            return en.have_to(verb, person)
        case Mode.WANT:
            return en.want_to(verb, person)
        case Mode.SHOULD:
            return en.with_auxiliary("should", verb.base)
        case Mode.MAY:
            return en.with_auxiliary(en.PRESENT_OF_BE[person], f"allowed to {verb.base}")
        case Mode.WISH:
            return en.with_auxiliary("would", f"like to {verb.base}")


@cache
def german_verb_group(verb: GermanVerb, mode: Mode, person: int) -> GermanVerbGroup:
    """The German forms: present, perfect (preterite for haben and sein), or a modal with the infinitive."""
    if mode in (Mode.NOW, Mode.HABIT):
        finite = verb.present(person)
        return GermanVerbGroup(finite, verb.prefix, verb.prefix + finite)
    if mode is Mode.PAST and verb.infinitive in PRETERITE:
        finite = PRETERITE[verb.infinitive][person]
        return GermanVerbGroup(finite, "", finite)
    if mode is Mode.PAST:
        finite, bracket = IRREGULAR_PRESENT[verb.auxiliary][person], verb.participle
    else:
        finite, bracket = IRREGULAR_PRESENT[_GERMAN_MODALS[mode]][person], verb.full_infinitive
    return GermanVerbGroup(finite, bracket, f"{bracket} {finite}")


def tense_tags(verb: GermanVerb, mode: Mode) -> list[P]:
    """Which phenomenon the tense or modality is."""
    if mode is Mode.PAST:
        if verb.infinitive in PRETERITE:
            return [P.PRETERITE]
        return [P.PERFECT_WITH_SEIN if verb.auxiliary == "sein" else P.PERFECT_WITH_HABEN]
    if mode is Mode.FUTURE:
        return [P.FUTURE]
    return [P.MODAL_VERB] if mode in _GERMAN_MODALS else []


def join(*words: str) -> str:
    """The words that are not empty, with spaces."""
    return " ".join([word for word in words if word])


@dataclass(slots=True)
class Clause:
    """The parts of a clause, empty strings where there is none.

    English: ``subject`` + verb group + ``tail`` (objects, place), then ``time``; ``medial`` is an adverb before the
    main verb. German: ``german_early`` comes before the time (pronouns; definite objects under nicht), ``german_late``
    after it (other objects, companions, place, nicht, direction).
    """

    subject: str
    english_verb: EnglishVerbGroup
    is_negated: bool
    medial: str
    tail: str
    time: str
    german_subject: str
    german_verb: GermanVerbGroup
    german_early: str
    german_time: str
    german_late: str
    tags: list[P]

    @property
    def _negated_auxiliary(self) -> str:
        return "cannot" if self.english_verb.auxiliary == "can" else f"{self.english_verb.auxiliary} not"

    def _english_core(self) -> str:
        verb = self.english_verb
        if self.is_negated:
            return join(self.subject, self._negated_auxiliary, verb.rest, self.tail)
        return join(self.subject, self.medial, verb.whole, self.tail)

    def english_statement(self) -> str:
        """Subject first; also the order of English subordinate clauses."""
        return join(self._english_core(), self.time)

    def english_time_first(self) -> str:
        """The time first, then the order of a statement: English does not invert."""
        return join(self.time, self._english_core())

    def english_question(self) -> str:
        """The auxiliary before the subject."""
        verb = self.english_verb
        negation = "not" if self.is_negated else ""
        return join(verb.auxiliary, self.subject, negation, self.medial, verb.rest, self.tail, self.time)

    def _middle(self) -> str:
        return join(self.german_early, self.german_time, self.german_late)

    def verb_second(self) -> str:
        """Subject, finite verb, middle field, bracket."""
        return join(self.german_subject, self.german_verb.finite, self._middle(), self.german_verb.bracket)

    def time_first(self) -> str:
        """Time, finite verb, subject: the verb stays second."""
        verb = self.german_verb
        return join(
            self.german_time, verb.finite, self.german_subject, self.german_early, self.german_late, verb.bracket
        )

    def verb_first(self) -> str:
        """Finite verb, subject: questions, and main clauses after a subordinate clause or a question word."""
        return join(self.german_verb.finite, self.german_subject, self._middle(), self.german_verb.bracket)

    def verb_last(self) -> str:
        """Subject, middle field, bracket and finite verb: subordinate clauses."""
        return join(self.german_subject, self._middle(), self.german_verb.last)


class Draft(NamedTuple):
    """A sentence before its capital letter and with its final mark apart."""

    english: str
    german: str
    mark: str
    tags: Sequence[P]
