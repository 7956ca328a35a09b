"""Drawing a clause: a subject, a verb that suits it, objects and adverbials that suit the verb."""

from typing import Literal

from mt_trainer.data.phrasebook import times
from mt_trainer.data.phrasebook.clauses import Clause, english_verb_group, german_verb_group, join, mode_tags
from mt_trainer.data.phrasebook.determiners import Takes
from mt_trainer.data.phrasebook.dice import Dice
from mt_trainer.data.phrasebook.phenomena import Phenomenon as P
from mt_trainer.data.phrasebook.phrases import (
    Phrase,
    draw_object_person,
    draw_phrase,
    draw_subject,
    negative_phrase,
)
from mt_trainer.data.phrasebook.places import Place, draw_goal, draw_place
from mt_trainer.data.phrasebook.times import Time
from mt_trainer.data.phrasebook.verbs import VERBS, Mode, Verb

Asked = Literal["nothing", "object", "time", "place", "goal"]

NO_TIME = Time("", "")
NOWHERE = Place("", "")
# Verbs by what they govern, so that no construction is crowded out by the many transitive verbs.
_FAMILIES = (
    *(tuple(verb for verb in VERBS if verb.governs == "acc" and not verb.is_state and not verb.takes_person),) * 5,
    *(tuple(verb for verb in VERBS if verb.governs == "acc" and verb.takes_person and not verb.is_state),) * 2,
    *(tuple(verb for verb in VERBS if verb.is_state),) * 2,
    tuple(verb for verb in VERBS if verb.governs == "dat"),
    tuple(verb for verb in VERBS if verb.governs in ("auf", "an")),
    tuple(verb for verb in VERBS if verb.governs == "dat+acc"),
    *(tuple(verb for verb in VERBS if verb.governs == "none"),) * 2,
    tuple(verb for verb in VERBS if verb.governs == "goal" and not verb.is_state),
)
ACTIONS = tuple(verb for family in _FAMILIES for verb in family if not verb.is_state)
ONGOING = tuple(verb for verb in VERBS if Mode.NOW in verb.modes and not verb.is_state and not verb.is_punctual)


def draw_verb(dice: Dice) -> Verb:
    """A verb; each kind of government has its share."""
    return dice.pick(dice.pick(_FAMILIES))


def draw_mode(dice: Dice, verb: Verb) -> Mode:
    """A mode the verb admits; verbs of habit are often habitual."""
    if verb.habit is not None and dice.chance(20):
        return Mode.HABIT
    return dice.pick(verb.modes)


def _draw_time(dice: Dice, verb: Verb, mode: Mode) -> Time:
    if mode is Mode.HABIT:
        return times.habitual_time(dice, is_punctual=verb.is_punctual)
    if verb.is_state and mode is not Mode.PAST:
        return NO_TIME
    if dice.chance(50):
        return NO_TIME
    match mode:
        case Mode.NOW:
            return dice.pick(times.NOW)
        case Mode.PAST:
            return times.past_time(dice, is_punctual=verb.is_punctual)
        case _:
            return times.coming_time(dice, is_punctual=verb.is_punctual)


def _draw_object(dice: Dice, verb: Verb, takes: Takes, subject: Phrase) -> Phrase:
    if verb.takes_person:
        return draw_object_person(dice, subject)
    return draw_phrase(dice, dice.pick(verb.nouns), takes)


def _needs_nicht(obj: Phrase | None) -> bool:
    """Whether negating a clause with this object takes nicht; an indefinite object takes kein instead."""
    return obj is None or obj.group in ("definite", "demonstrative", "possessive")


def draw_clause(
    dice: Dice,
    *,
    verb: Verb | None = None,
    mode: Mode | None = None,
    subject: Phrase | None = None,
    is_negated: bool = False,
    asked: Asked = "nothing",
    has_time: bool | None = None,
    time: Time | None = None,
    obj: Phrase | None = None,
    has_extras: bool = True,
) -> Clause:
    """A clause in which what is given is fixed, what is ``asked`` for is left out, and the rest is drawn.

    ``has_time`` forces or forbids an adverbial of time, ``has_extras`` allows place, companion and beneficiary.
    """
    verb = verb or draw_verb(dice)
    subject = subject or draw_subject(dice)
    mode = mode or draw_mode(dice, verb)
    if is_negated and mode in (Mode.HABIT, Mode.WISH):
        mode = verb.modes[0]
    tags = [*subject.tags, *mode_tags(verb, mode)]

    if time is None:
        time = NO_TIME if has_time is False or asked == "time" else _draw_time(dice, verb, mode)
        while has_time and not time.english and not verb.is_state:
            time = _draw_time(dice, verb, mode)
    tags += time.tags

    english_objects, early, late = [], [], []
    takes: Takes = (verb.habit if mode is Mode.HABIT else verb.takes) or verb.takes
    is_transitive = verb.governs not in ("none", "goal")
    if is_transitive and asked != "object":
        if obj is None and is_negated and not verb.takes_person and takes != "specific" and dice.chance(60):
            obj = negative_phrase(dice, dice.pick(verb.nouns))
        while obj is None or (is_negated and obj.group in ("number", "measure", "indefinite")):
            obj = _draw_object(dice, verb, takes, subject)
    if not is_transitive:
        obj = None

    if verb.governs == "dat+acc":
        recipient = draw_object_person(dice, subject)
        english_objects.append(recipient.english_object)
        (early if recipient.is_pronoun or (is_negated and _needs_nicht(obj)) else late).append(recipient.dative)
        tags += [P.TWO_OBJECTS, *recipient.oblique_tags]

    place = NOWHERE
    if has_extras and verb.places and asked not in ("place", "goal") and not is_negated and dice.chance(35):
        place = draw_place(dice, dice.pick(verb.places))
    companion = None
    if has_extras and verb.has_companion and not is_negated and dice.chance(25):
        companion = draw_object_person(dice, subject)
        if companion.is_pronoun and subject.pronoun == "we":
            companion = None
    if companion is not None:
        late.append(f"mit {companion.dative}")
        tags += companion.oblique_tags
    if place.german:
        late.append(place.german)
        tags += place.tags

    if obj is not None:
        english_objects.append(obj.english_object)
        goes_early = obj.is_pronoun or (is_negated and _needs_nicht(obj))
        match verb.governs:
            case "dat":
                form = obj.dative
                tags.append(P.DATIVE_OBJECT)
            case "auf" | "an":
                form, goes_early = f"{verb.governs} {obj.accusative}", False
                tags.append(P.PREPOSITIONAL_OBJECT)
            case _:
                form = obj.accusative
        tags += obj.oblique_tags
        if verb.governs in ("auf", "an") and is_negated:
            form = f"nicht {form}"
        (early if goes_early else late).append(form)

    beneficiary = None
    if has_extras and verb.has_beneficiary and obj is not None and not is_negated and dice.chance(25):
        beneficiary = draw_object_person(dice, subject)
        late.append(f"für {beneficiary.accusative}")
        tags += beneficiary.oblique_tags

    if is_negated:
        tags.append(P.NEGATION_KEIN if not _needs_nicht(obj) else P.NEGATION_NICHT)
        if _needs_nicht(obj) and verb.governs not in ("auf", "an"):
            late.append("nicht")
    goal = NOWHERE
    if verb.governs == "goal" and asked != "goal":
        goal = draw_goal(dice, verb.things)
        late.append(goal.german)
        tags += goal.tags

    person = subject.person
    return Clause(
        subject=subject.english,
        english_verb=english_verb_group(verb.english, mode, person, verb.is_state),
        is_negated=is_negated,
        medial=time.english if time.is_medial else "",
        tail=join(
            *english_objects,
            f"for {beneficiary.english_object}" if beneficiary else "",
            f"with {companion.english_object}" if companion else "",
            goal.english,
            place.english,
        ),
        time="" if time.is_medial else time.english,
        german_subject=subject.nominative,
        german_verb=german_verb_group(verb.german, mode, person),
        german_early=" ".join(early),
        german_time=time.german,
        german_late=" ".join(late),
        tags=tags,
    )
