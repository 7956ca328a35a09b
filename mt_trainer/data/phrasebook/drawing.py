"""Drawing a clause: a subject, a verb that suits it, objects and adverbials that suit the verb."""

from dataclasses import dataclass, field
from functools import cache
from typing import Literal

from mt_trainer.data.phrasebook import times
from mt_trainer.data.phrasebook.clauses import Clause, english_verb_group, german_verb_group, tense_tags
from mt_trainer.data.phrasebook.determiners import Takes, determiners
from mt_trainer.data.phrasebook.dice import Dice
from mt_trainer.data.phrasebook.german import SIE, WIR
from mt_trainer.data.phrasebook.modes import Mode
from mt_trainer.data.phrasebook.phenomena import Phenomenon as P
from mt_trainer.data.phrasebook.phrases import (
    PRONOUNS,
    Phrase,
    draw_other_person,
    draw_phrase,
    draw_subject,
    negative_phrase,
)
from mt_trainer.data.phrasebook.places import draw_goal, draw_place
from mt_trainer.data.phrasebook.times import NO_TIME, Time
from mt_trainer.data.phrasebook.verbs import VERBS, Verb, verbs_named

Asked = Literal["nothing", "object", "time", "place", "goal"]

# Verbs by what they govern, with shares, so that no construction is crowded out by the many transitive verbs.
_FAMILIES = (
    *(tuple(verb for verb in VERBS if verb.governs == "acc" and not verb.is_state and not verb.takes_person),) * 5,
    *(tuple(verb for verb in VERBS if verb.governs == "acc" and not verb.is_state and verb.takes_person),) * 2,
    verbs_named("eat, drink"),
    *(tuple(verb for verb in VERBS if verb.is_state),) * 2,
    tuple(verb for verb in VERBS if verb.governs == "dat"),
    tuple(verb for verb in VERBS if verb.governs in ("auf", "an")),
    tuple(verb for verb in VERBS if verb.governs == "dat+acc"),
    *(tuple(verb for verb in VERBS if verb.governs == "none"),) * 2,
    tuple(verb for verb in VERBS if verb.governs == "goal" and not verb.is_state),
)
_ADJECTIVE_PERCENT = 35
# What one may ask about oneself: "Should I call?", but hardly "Did I call?".
_SPEAKERS = (PRONOUNS["I"], PRONOUNS["we"])
_OPEN_MODES = (Mode.CAN, Mode.MUST, Mode.SHOULD, Mode.MAY)


def draw_verb(dice: Dice) -> Verb:
    """A verb; each kind of government has its share."""
    return dice.pick(dice.pick(_FAMILIES))


def draw_action(dice: Dice) -> Verb:
    """A verb that is not a state."""
    while (verb := draw_verb(dice)).is_state:
        pass
    return verb


def draw_mode(dice: Dice, verb: Verb) -> Mode:
    """A mode the verb admits; what can be a habit often is one."""
    if verb.habit is not None and dice.chance(20):
        return Mode.HABIT
    return dice.pick(verb.modes)


@cache
def modes_among(verb: Verb, wanted: tuple[Mode, ...]) -> tuple[Mode, ...]:
    """The wanted modes that the verb admits."""
    return tuple(mode for mode in verb.modes if mode in wanted)


def _draw_time(dice: Dice, verb: Verb, mode: Mode) -> Time:
    match mode:
        case Mode.HABIT:
            return times.habitual_time(dice, is_punctual=verb.is_punctual, is_daily=verb.is_daily)
        case Mode.NOW:
            return dice.pick(times.NOW)
        case Mode.PAST:
            return times.past_time(dice, is_punctual=verb.is_punctual, is_daily=verb.is_daily)
        case _:
            return times.coming_time(dice, is_punctual=verb.is_punctual, is_daily=verb.is_daily)


def _draw_object(dice: Dice, verb: Verb, takes: Takes, subject: Phrase, *, is_negated: bool) -> Phrase:
    """The object. Under negation either one that takes kein, or one that is definite and takes nicht."""
    if verb.takes_person:
        return draw_other_person(dice, subject, pronoun_percent=0 if verb.has_particle else 15)
    noun = dice.pick(verb.nouns)
    while verb.is_for_one and subject.person in (WIR, SIE) and noun.kind != "shoe":
        noun = dice.pick(verb.nouns)
    percent = _ADJECTIVE_PERCENT if verb.has_adjective else 0
    if not is_negated:
        return draw_phrase(dice, noun, takes, adjective_percent=percent, excluded=verb.excludes)
    definite: Takes = "specific" if takes in ("specific", "liked", "any") else "pointed"
    if takes == "generic" or not determiners(noun, definite) or (takes != "specific" and dice.chance(50)):
        return negative_phrase(dice, noun, takes, adjective_percent=percent, excluded=verb.excludes)
    return draw_phrase(dice, noun, definite, adjective_percent=percent, excluded=verb.excludes)


@dataclass(slots=True)
class _Parts:
    """What follows the verb, as it accumulates. German parts are ``early`` or ``late``: before or after the time."""

    english: list[str] = field(default_factory=list)
    early: list[str] = field(default_factory=list)
    late: list[str] = field(default_factory=list)
    tags: list[P] = field(default_factory=list)

    def add_object(self, phrase: Phrase, german: str, *, is_negated: bool) -> None:
        """An object without preposition. Pronouns and names come early, as does what nicht follows."""
        self.english.append(phrase.english_object)
        is_early = phrase.noun is None or (is_negated and takes_nicht(phrase))
        (self.early if is_early else self.late).append(german)
        self.tags += phrase.oblique_tags

    def add_adverbial(self, english: str, german: str, tags: tuple[P, ...]) -> None:
        """Something after the objects in English, after the time in German."""
        self.english.append(english)
        self.late.append(german)
        self.tags += tags


def takes_nicht(obj: Phrase | None) -> bool:
    """Whether a clause with this object is negated by nicht; an indefinite object takes kein instead."""
    return obj is None or obj.group in ("definite", "demonstrative", "possessive")


def _add_objects(
    parts: _Parts, dice: Dice, verb: Verb, takes: Takes, subject: Phrase, *, is_negated: bool, is_asked: bool
) -> Phrase | None:
    """Recipient and object; returns the object, None where there is none or the question is for it."""
    obj = None if is_asked else _draw_object(dice, verb, takes, subject, is_negated=is_negated)
    match verb.governs:
        case "dat+acc":
            recipient = draw_other_person(dice, subject)
            parts.add_object(recipient, recipient.dative, is_negated=is_negated and takes_nicht(obj))
            parts.tags.append(P.TWO_OBJECTS)
        case "dat":
            parts.tags.append(P.DATIVE_OBJECT)
        case "auf" | "an":
            parts.tags.append(P.PREPOSITIONAL_OBJECT)
    if obj is not None:
        match verb.governs:
            case "auf" | "an":
                nicht = "nicht " if is_negated and takes_nicht(obj) else ""
                parts.add_adverbial(obj.english_object, f"{nicht}{verb.governs} {obj.accusative}", obj.oblique_tags)
            case "dat":
                parts.add_object(obj, obj.dative, is_negated=is_negated)
            case _:
                parts.add_object(obj, obj.accusative, is_negated=is_negated)
    return obj


def _add_circumstances(
    parts: _Parts, dice: Dice, verb: Verb, subject: Phrase, obj: Phrase | None, *, has_place: bool
) -> None:
    """Perhaps a companion, perhaps a place. In German they follow a definite object and precede any other."""
    companion = draw_other_person(dice, subject) if verb.has_companion and dice.chance(25) else None
    place = draw_place(dice, dice.pick(verb.places)) if has_place and verb.places and dice.chance(30) else None
    german: list[str] = []
    if companion is not None and not (companion.is_pronoun and subject.pronoun == "we"):
        parts.english.append(f"with {companion.english_object}")
        german.append(f"mit {companion.dative}")
        parts.tags += companion.oblique_tags
    if place is not None:
        parts.english.append(place.english)
        german.append(place.german)
        parts.tags += place.tags
    is_before_object = verb.governs in ("auf", "an") or not takes_nicht(obj)
    parts.late = german + parts.late if is_before_object else parts.late + german


def draw_clause(
    dice: Dice,
    *,
    verb: Verb | None = None,
    mode: Mode | None = None,
    subject: Phrase | None = None,
    is_negated: bool = False,
    is_question: bool = False,
    asked: Asked = "nothing",
    time: Time | None = None,
    time_percent: int = 50,
    has_circumstances: bool = True,
) -> Clause:
    """A clause in which what is given is fixed, what is ``asked`` for is left out, and the rest is drawn.

    ``time_percent`` says in how many of a hundred cases there is an adverbial of time if none is given; habits always
    have one, states never. ``is_question`` avoids asking others about oneself.
    """
    verb = verb or draw_verb(dice)
    mode = mode or draw_mode(dice, verb)
    if is_negated and mode in (Mode.HABIT, Mode.WISH):
        mode = verb.modes[0]  # "not every day" and "would not like to" mean something else
    if subject is None:
        is_episode = mode in (Mode.NOW, Mode.PAST) and not (verb.is_state or is_negated or is_question)
        subject = draw_subject(dice, is_known=not is_episode)
        while is_question and subject in _SPEAKERS and mode not in _OPEN_MODES:
            subject = draw_subject(dice, is_known=not is_episode)
    if time is None:
        is_timeless = asked == "time" or verb.is_state
        has_time = mode is Mode.HABIT or (not is_timeless and dice.chance(time_percent))
        time = _draw_time(dice, verb, mode) if has_time else NO_TIME

    parts = _Parts(tags=[*subject.tags, *tense_tags(verb.german, mode), *time.tags])
    if verb.german.prefix:
        parts.tags.append(P.SEPARABLE_VERB)
    obj = None
    if verb.governs not in ("none", "goal"):
        takes = (verb.habit if mode is Mode.HABIT else None) or verb.takes
        is_asked = asked == "object"
        obj = _add_objects(parts, dice, verb, takes, subject, is_negated=is_negated, is_asked=is_asked)
    if has_circumstances and not is_negated:
        if verb.has_beneficiary and obj is not None and dice.chance(20):
            person = draw_other_person(dice, subject)
            parts.add_adverbial(f"for {person.english_object}", f"für {person.accusative}", person.oblique_tags)
        _add_circumstances(parts, dice, verb, subject, obj, has_place=asked not in ("place", "goal"))
    if is_negated:
        parts.tags.append(P.NEGATION_NICHT if takes_nicht(obj) else P.NEGATION_KEIN)
        if takes_nicht(obj) and verb.governs not in ("auf", "an"):
            parts.late.append("nicht")
    if verb.governs == "goal" and asked != "goal":
        goal = draw_goal(dice, verb.things)
        parts.add_adverbial(goal.english, goal.german, goal.tags)

    return Clause(
        subject=subject.english,
        english_verb=english_verb_group(verb.english, mode, subject.person, verb.is_state),
        is_negated=is_negated,
        medial=time.english if time.is_medial else "",
        tail=" ".join(parts.english),
        time="" if time.is_medial else time.english,
        german_subject=subject.nominative,
        german_verb=german_verb_group(verb.german, mode, subject.person),
        german_early=" ".join(parts.early),
        german_time=time.german,
        german_late=" ".join(parts.late),
        tags=parts.tags,
    )
