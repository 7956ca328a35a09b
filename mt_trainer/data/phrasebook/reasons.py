"""Two clauses that give each other sense: weil, obwohl, wenn, während."""

from typing import NamedTuple

from mt_trainer.data.phrasebook.clauses import Draft
from mt_trainer.data.phrasebook.dice import Dice
from mt_trainer.data.phrasebook.drawing import draw_clause
from mt_trainer.data.phrasebook.english import PRESENT_OF_BE
from mt_trainer.data.phrasebook.german import ER, IRREGULAR_PRESENT
from mt_trainer.data.phrasebook.modes import Mode
from mt_trainer.data.phrasebook.phenomena import Phenomenon as P
from mt_trainer.data.phrasebook.phrases import PRONOUNS, Phrase, draw_subject
from mt_trainer.data.phrasebook.verbs import Verb, verbs_named


class Reason(NamedTuple):
    """A state of the subject, and what follows from it.

    ``english`` and ``german`` follow the subject's form of be, have or have to; in German they precede it, at the end
    of the clause. ``verbs`` in ``modes`` are what one does for this reason (``is_negated``: does not do).
    """

    english: str
    german: str
    verb: str
    verbs: tuple[Verb, ...]
    modes: tuple[Mode, ...]
    is_negated: bool = False

    def english_clause(self, subject: Phrase) -> str:
        """Like "she has no time"."""
        has = "has" if subject.person == ER else "have"
        be_or_have = PRESENT_OF_BE[subject.person] if self.verb == "sein" else has
        return f"{subject.english} {be_or_have} {self.english}"

    def verb_last(self, subject: Phrase) -> str:
        """Like "sie keine Zeit hat"."""
        return f"{subject.nominative} {self.german} {IRREGULAR_PRESENT[self.verb][subject.person]}"


_LIVELY = verbs_named(
    "cook, wash, clean, repair, visit, invite, pick up, help, work, swim, dance, play, go shopping, walk, write, read, "
    "draw"
)
_FREE = verbs_named(
    "visit, call, help, pick up, invite, meet, cook, read, write, swim, dance, play, go shopping, walk, repair, wash, "
    "watch television, listen to, clean, draw"
)
_PLAN = (Mode.NOW, Mode.WANT, Mode.WISH)
_HARD = verbs_named("cook, wash, clean, repair, help, work, write")
_BECAUSE = (
    Reason("tired", "müde", "sein", verbs_named("sleep, stay"), _PLAN),
    Reason("tired", "müde", "sein", _LIVELY, (Mode.WANT,), is_negated=True),
    Reason("ill", "krank", "sein", verbs_named("stay"), (Mode.NOW, Mode.MUST)),
    Reason("ill", "krank", "sein", _LIVELY, (Mode.CAN,), is_negated=True),
    Reason("hungry", "hungrig", "sein", verbs_named("eat"), _PLAN),
    Reason("thirsty", "durstig", "sein", verbs_named("drink"), _PLAN),
    Reason("sad", "traurig", "sein", verbs_named("cry"), (Mode.NOW,)),
    Reason("happy", "glücklich", "sein", verbs_named("laugh, dance, sing"), (Mode.NOW,)),
    Reason("no time", "keine Zeit", "haben", _FREE, (Mode.CAN,), is_negated=True),
    Reason("time", "Zeit", "haben", _FREE, (Mode.CAN,)),
    Reason("to work", "arbeiten", "müssen", _FREE, (Mode.CAN,), is_negated=True),
)
_ALTHOUGH = (
    Reason("tired", "müde", "sein", _LIVELY, (Mode.NOW, Mode.WANT)),
    Reason("ill", "krank", "sein", _LIVELY, (Mode.NOW, Mode.WANT)),
    Reason("tired", "müde", "sein", _HARD, (Mode.MUST,)),
    Reason("ill", "krank", "sein", _HARD, (Mode.MUST,)),
    Reason("no time", "keine Zeit", "haben", _FREE, (Mode.NOW, Mode.WANT)),
    Reason("not hungry", "nicht hungrig", "sein", verbs_named("eat"), (Mode.NOW,)),
    Reason("not thirsty", "nicht durstig", "sein", verbs_named("drink"), (Mode.NOW,)),
)


def draw_referent(dice: Dice) -> Phrase:
    """A subject that a pronoun can take up in the other clause."""
    while not (subject := draw_subject(dice, adjective_percent=10)).pronoun:
        pass
    return subject


def reason_sentence(dice: Dice) -> Draft:
    """Like: Anna is staying at home because she is tired. / He is working although he is ill."""
    is_cause = dice.chance(55)
    reason = dice.pick(_BECAUSE if is_cause else _ALTHOUGH)
    subject = draw_referent(dice)
    clause = draw_clause(
        dice,
        verb=dice.pick(reason.verbs),
        mode=dice.pick(reason.modes),
        subject=subject,
        is_negated=reason.is_negated,
        time_percent=0,
        has_circumstances=dice.chance(30),
    )
    again = PRONOUNS[subject.pronoun] if subject.pronoun else subject
    english, german, tag = ("because", "weil", P.BECAUSE) if is_cause else ("although", "obwohl", P.ALTHOUGH)
    return Draft(
        f"{clause.english_statement()} {english} {reason.english_clause(again)}",
        f"{clause.verb_second()}, {german} {reason.verb_last(again)}",
        ".",
        [*clause.tags, tag],
    )


_INDOORS = verbs_named("stay, watch television, read, write, cook, sleep, clean")
_OUTDOORS = verbs_named("swim, walk, feed")
_WEATHER = (
    ("it rains", "es {}regnet", _INDOORS),
    ("the weather is bad", "das Wetter {}schlecht ist", _INDOORS),
    ("the weather is good", "das Wetter {}gut ist", _OUTDOORS),
)
_DAYS = (
    ("", ""),
    (" today", "heute "),
    (" tomorrow", "morgen "),
    (" on Saturday", "am Samstag "),
    (" on Sunday", "am Sonntag "),
)


def if_sentence(dice: Dice) -> Draft:
    """Like "If it rains tomorrow, Anna will stay at home.": the main verb directly after the comma."""
    day_en, day_de = dice.pick(_DAYS)
    if dice.chance(40):
        english, german, verbs = dice.pick(_WEATHER)
        english, german = english + day_en, german.format(day_de)
        subject, mode = draw_subject(dice, adjective_percent=10), Mode.FUTURE
    else:
        person = draw_referent(dice)
        has = "has" if person.person == ER else "have"
        english = f"{person.english} {has} time{day_en}"
        german = f"{person.nominative} {day_de}Zeit {IRREGULAR_PRESENT['haben'][person.person]}"
        subject = PRONOUNS[person.pronoun] if person.pronoun else person
        mode, verbs = dice.pick((Mode.FUTURE, Mode.CAN, Mode.WANT)), _FREE
    clause = draw_clause(
        dice, verb=dice.pick(verbs), mode=mode, subject=subject, time_percent=0, has_circumstances=dice.chance(30)
    )
    return Draft(
        f"if {english}, {clause.english_statement()}",
        f"wenn {german}, {clause.verb_first()}",
        ".",
        [*clause.tags, P.IF, P.INVERSION],
    )


_ONGOING = verbs_named(
    "eat, drink, cook, look for, read, write, wash, clean, repair, draw, feed, sing, learn, help, listen to, wait for, "
    "sleep, work, dance, play, watch television"
)


def while_sentence(dice: Dice) -> Draft:
    """Like "Anna is cooking while Peter is reading the newspaper.": two people, two occupations."""
    one, two = dice.pick(_ONGOING), dice.pick(_ONGOING)
    first, second = draw_subject(dice, adjective_percent=0), draw_subject(dice, adjective_percent=0)
    is_same_person = first.pronoun == second.pronoun and (first.is_pronoun or second.is_pronoun)
    if one is two or is_same_person or first.english == second.english:
        return while_sentence(dice)
    main = draw_clause(dice, verb=one, mode=Mode.NOW, subject=first, time_percent=0, has_circumstances=False)
    side = draw_clause(dice, verb=two, mode=Mode.NOW, subject=second, time_percent=0, has_circumstances=False)
    return Draft(
        f"{main.english_statement()} while {side.english_statement()}",
        f"{main.verb_second()}, während {side.verb_last()}",
        ".",
        [*main.tags, *side.tags, P.WHILE],
    )
