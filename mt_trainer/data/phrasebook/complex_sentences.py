"""Sentences of two clauses: dass, ob, wenn, weil, obwohl, während, relative clauses, infinitives with zu."""

from typing import NamedTuple

from mt_trainer.data.phrasebook.clauses import Draft
from mt_trainer.data.phrasebook.determiners import MINE, THE
from mt_trainer.data.phrasebook.dice import Dice
from mt_trainer.data.phrasebook.drawing import ACTIONS, ONGOING, draw_clause
from mt_trainer.data.phrasebook.english import PRESENT_OF_BE
from mt_trainer.data.phrasebook.german import IRREGULAR_PRESENT
from mt_trainer.data.phrasebook.nouns import ADJECTIVES_OF_KIND, NOUNS, STATES
from mt_trainer.data.phrasebook.phenomena import Phenomenon as P
from mt_trainer.data.phrasebook.phrases import PRONOUNS, Phrase, draw_subject, noun_phrase
from mt_trainer.data.phrasebook.sentences import WHO
from mt_trainer.data.phrasebook.verbs import VERBS, Mode, Verb, verbs_named

# english, german for the persons I, you, he, we, they
_THOUGHTS: tuple[tuple[str, str, str, str], ...] = (
    ("think", "thinks", "glauben", "THAT"),
    ("hope", "hopes", "hoffen", "THAT"),
    ("know", "knows", "wissen", "THAT"),
    ("say", "says", "sagen", "THAT"),
)
_THINKING = {
    "glauben": ("glaube", "glaubst", "glaubt", "glauben", "glauben"),
    "hoffen": ("hoffe", "hoffst", "hofft", "hoffen", "hoffen"),
    "wissen": IRREGULAR_PRESENT["wissen"],
    "sagen": ("sage", "sagst", "sagt", "sagen", "sagen"),
}


def that_clause(dice: Dice) -> Draft:
    """ "I think that my aunt is reading the book." """
    english, third, german, _ = dice.pick(_THOUGHTS)
    thinker = draw_subject(dice, adjective_percent=10)
    clause = draw_clause(dice, is_negated=dice.chance(20), mode=None)
    verb_en = third if thinker.person == 2 else english
    verb_de = _THINKING[german][thinker.person]
    return Draft(
        f"{thinker.english} {verb_en} that {clause.english_statement()}",
        f"{thinker.nominative} {verb_de}, dass {clause.verb_last()}",
        ".",
        [*thinker.tags, *clause.tags, P.THAT],
    )


_ASKING = (
    ("I do not know", "ich weiß nicht", "."),
    ("do you know", "weißt du", "?"),
    ("we want to know", "wir wollen wissen", "."),
    ("can you tell me", "kannst du mir sagen", "?"),
)


def indirect_question(dice: Dice) -> Draft:
    """ "Do you know whether Anna is reading?", "I do not know where he lives." """
    frame_en, frame_de, mark = dice.pick(_ASKING)
    kind = dice.pick(("whether", "whether", "whether", "where", "when", "why", "what", "who"))
    tags = [P.INDIRECT_QUESTION]
    word_en, word_de = kind, {"whether": "ob", "where": "wo", "when": "wann", "why": "warum", "what": "was"}.get(kind, "")
    match kind:
        case "whether":
            clause = draw_clause(dice)
            tags = [P.WHETHER]
        case "where":
            verb = dice.pick([verb for verb in VERBS if (verb.places and Mode.PAST in verb.modes) or verb.things == "residence"])
            asked = "goal" if verb.governs == "goal" else "place"
            clause = draw_clause(dice, verb=verb, mode=Mode.NOW if verb.governs == "goal" else Mode.PAST, asked=asked)
        case "when":
            verb = dice.pick(ACTIONS)
            modes = [mode for mode in verb.modes if mode in (Mode.PAST, Mode.FUTURE)]
            clause = draw_clause(dice, verb=verb, mode=dice.pick(modes), asked="time", has_extras=False)
        case "why":
            verb = dice.pick(ACTIONS)
            modes = [mode for mode in verb.modes if mode in (Mode.PAST, Mode.NOW, Mode.WANT)]
            clause = draw_clause(dice, verb=verb, mode=dice.pick(modes), is_negated=dice.chance(30))
        case "what":
            verb = dice.pick([verb for verb in VERBS if verb.governs == "acc" and not verb.takes_person and not verb.is_state])
            clause = draw_clause(dice, verb=verb, mode=dice.pick(verb.modes), asked="object", has_extras=False)
        case _:
            clause = draw_clause(dice, subject=WHO)
            word_en = word_de = ""
    english = " ".join(part for part in (frame_en, word_en, clause.english_statement()) if part)
    german = " ".join(part for part in (word_de, clause.verb_last()) if part)
    return Draft(english, f"{frame_de}, {german}", mark, [*clause.tags, *tags])


class Reason(NamedTuple):
    """A reason, to be said of a subject, and what follows from it.

    ``german`` ends with what stands before the finite verb. ``verbs`` with ``modes`` tell what one does
    (``is_negated``: does not do) for this reason.
    """

    english: str
    german: str
    verb: str
    verbs: tuple[Verb, ...]
    modes: tuple[Mode, ...]
    is_negated: bool = False


_LIVELY = verbs_named(
    "cook, wash, clean, repair, visit, invite, pick up, help, work, swim, dance, play, go shopping, walk, drive, write, "
    "read, draw"
)
_FREE = verbs_named(
    "visit, call, help, pick up, invite, meet, cook, read, write, swim, dance, play, go shopping, walk, repair, wash, "
    "watch television, listen to, wait for, clean, draw"
)
_REST = verbs_named("sleep, stay")
_PLAN = (Mode.NOW, Mode.WANT, Mode.WISH)
_BUY_FOOD = verbs_named("eat, cook")
BECAUSE = (
    Reason("tired", "müde", "be", _REST, (Mode.NOW, Mode.WANT, Mode.WISH)),
    Reason("tired", "müde", "be", _LIVELY, (Mode.WANT, Mode.CAN), is_negated=True),
    Reason("ill", "krank", "be", verbs_named("stay"), (Mode.NOW, Mode.MUST)),
    Reason("ill", "krank", "be", _LIVELY, (Mode.CAN,), is_negated=True),
    Reason("hungry", "hungrig", "be", verbs_named("eat"), _PLAN),
    Reason("thirsty", "durstig", "be", verbs_named("drink"), _PLAN),
    Reason("sad", "traurig", "be", verbs_named("cry"), (Mode.NOW,)),
    Reason("happy", "glücklich", "be", verbs_named("laugh, dance, sing"), (Mode.NOW,)),
    Reason("no time", "keine Zeit", "have", _FREE, (Mode.CAN,), is_negated=True),
    Reason("time", "Zeit", "have", _FREE, (Mode.CAN,)),
    Reason("to work", "arbeiten", "have to", _FREE, (Mode.CAN,), is_negated=True),
)
ALTHOUGH = (
    Reason("tired", "müde", "be", _LIVELY, (Mode.NOW, Mode.MUST, Mode.WANT)),
    Reason("ill", "krank", "be", _LIVELY, (Mode.NOW, Mode.MUST, Mode.WANT)),
    Reason("no time", "keine Zeit", "have", _FREE, (Mode.NOW, Mode.WANT)),
    Reason("not hungry", "nicht hungrig", "be", verbs_named("eat"), (Mode.NOW,)),
    Reason("not thirsty", "nicht durstig", "be", verbs_named("drink"), (Mode.NOW,)),
)


def _reason_clause(reason: Reason, subject: Phrase) -> tuple[str, str]:
    """The reason said of a subject: English statement, German verb-last."""
    person = subject.person
    match reason.verb:
        case "be":
            english, german = PRESENT_OF_BE[person], IRREGULAR_PRESENT["sein"][person]
        case "have":
            english, german = "has" if person == 2 else "have", IRREGULAR_PRESENT["haben"][person]
        case _:
            english, german = "has" if person == 2 else "have", IRREGULAR_PRESENT["müssen"][person]
    return f"{subject.english} {english} {reason.english}", f"{subject.nominative} {reason.german} {german}"


def _draw_referent(dice: Dice) -> Phrase:
    """A subject that a pronoun can take up."""
    subject = draw_subject(dice, adjective_percent=15)
    while not subject.pronoun or subject.group in ("indefinite", "number"):
        subject = draw_subject(dice, adjective_percent=15)
    return subject


def reason_sentence(dice: Dice) -> Draft:
    """ "Anna is staying at home because she is tired.", "He is working although he is ill." """
    is_cause = dice.chance(65)
    reason = dice.pick(BECAUSE if is_cause else ALTHOUGH)
    subject = _draw_referent(dice)
    clause = draw_clause(
        dice,
        verb=dice.pick(reason.verbs),
        mode=dice.pick(reason.modes),
        subject=subject,
        is_negated=reason.is_negated,
        has_time=False,
        has_extras=not reason.is_negated and dice.chance(40),
    )
    tags = [*clause.tags, P.BECAUSE if is_cause else P.ALTHOUGH]
    word_en, word_de = ("because", "weil") if is_cause else ("although", "obwohl")
    english, german = _reason_clause(reason, PRONOUNS[subject.pronoun])
    return Draft(
        f"{clause.english_statement()} {word_en} {english}", f"{clause.verb_second()}, {word_de} {german}", ".", tags
    )


_INDOORS = verbs_named("stay, watch television, read, write, cook, sleep, clean")
_OUTDOORS = verbs_named("swim, walk, feed")
_WEATHER: tuple[tuple[str, str, tuple[Verb, ...]], ...] = (
    ("it rains", "es {day}regnet", _INDOORS),
    ("the weather is bad", "das Wetter {day}schlecht ist", _INDOORS),
    ("the weather is good", "das Wetter {day}gut ist", _OUTDOORS),
)
_DAYS = (("", ""), (" tomorrow", "morgen "), (" today", "heute "), (" on Sunday", "am Sonntag "), (" on Saturday", "am Samstag "))


def if_sentence(dice: Dice) -> Draft:
    """ "If it rains tomorrow, Anna will stay at home.": the main verb directly after the comma."""
    day_en, day_de = dice.pick(_DAYS)
    if dice.chance(40):
        condition_en, condition_de, verbs = dice.pick(_WEATHER)
        english, german = condition_en + day_en, condition_de.format(day=day_de)
        subject, mode = draw_subject(dice), Mode.FUTURE
    else:
        subject = _draw_referent(dice)
        has = "has" if subject.person == 2 else "have"
        haben = IRREGULAR_PRESENT["haben"][subject.person]
        english, german = f"{subject.english} {has} time{day_en}", f"{subject.nominative} {day_de}Zeit {haben}"
        mode, verbs = dice.pick((Mode.FUTURE, Mode.CAN, Mode.SHOULD)), _FREE
        subject = PRONOUNS[subject.pronoun]
    clause = draw_clause(dice, verb=dice.pick(verbs), mode=mode, subject=subject, has_time=False, has_extras=dice.chance(30))
    return Draft(
        f"if {english}, {clause.english_statement()}",
        f"wenn {german}, {clause.verb_first()}",
        ".",
        [*clause.tags, P.IF, P.INVERSION],
    )


def while_sentence(dice: Dice) -> Draft:
    """ "Anna is cooking while Peter is reading the newspaper." """
    first = draw_subject(dice, adjective_percent=10)
    second = draw_subject(dice, adjective_percent=10)
    while first is second or first.pronoun == second.pronoun or (first.noun and first.noun is second.noun):
        second = draw_subject(dice, adjective_percent=10)
    one, two = dice.pick(ONGOING), dice.pick(ONGOING)
    while one is two:
        two = dice.pick(ONGOING)
    main = draw_clause(dice, verb=one, mode=Mode.NOW, subject=first, has_time=False, has_extras=False)
    side = draw_clause(dice, verb=two, mode=Mode.NOW, subject=second, has_time=False, has_extras=False)
    return Draft(
        f"{main.english_statement()} while {side.english_statement()}",
        f"{main.verb_second()}, während {side.verb_last()}",
        ".",
        [*main.tags, *side.tags, P.WHILE],
    )


_RELATIVE = {"m": ("der", "den"), "f": ("die", "die"), "n": ("das", "das"), "plural": ("die", "die")}
_TYPES = tuple(noun for noun in NOUNS.values() if noun.kind in ("adult", "child", "young"))


def relative_clause(dice: Dice) -> Draft:
    """ "The man who is reading the newspaper is my uncle.", "The book that Anna is reading is interesting." """
    if dice.chance(50):
        noun = dice.pick(_TYPES)
        who = noun_phrase(noun, THE, dice.pick(ADJECTIVES_OF_KIND[noun.kind]) if dice.chance(25) else None)
        blank = Phrase("", "", "", "", "", "", 2, noun.pronoun, "definite", (), noun)
        verb = dice.pick(ONGOING)
        clause = draw_clause(dice, verb=verb, mode=Mode.NOW, subject=blank, has_time=False)
        relative = _RELATIVE[noun.german.gender][0]
        predicate = dice.pick(_predicates(noun.english))
        return Draft(
            f"{who.english} who {clause.english_statement()} is {predicate[0]}",
            f"{who.nominative}, {relative} {clause.verb_last()}, ist {predicate[1]}",
            ".",
            [*who.tags, *clause.tags, P.RELATIVE_CLAUSE],
        )
    verb = dice.pick([verb for verb in VERBS if verb.governs == "acc" and not verb.takes_person and verb.english.base in (
        "buy", "look for", "read", "write", "wear", "repair", "draw", "find", "lose", "sell", "need", "throw away", "sing")])
    nouns = [noun for noun in verb.nouns if noun.english_plural and not noun.is_mass]
    noun = dice.pick(nouns)
    is_plural = noun.kind == "shoe"
    from mt_trainer.data.phrasebook.determiners import THE_PLURAL

    thing = noun_phrase(noun, THE_PLURAL if is_plural else THE)
    modes = [mode for mode in verb.modes if mode in (Mode.NOW, Mode.PAST, Mode.WANT)]
    clause = draw_clause(dice, verb=verb, mode=dice.pick(modes), asked="object", has_extras=False)
    adjective = dice.pick(ADJECTIVES_OF_KIND[noun.kind])
    relative = _RELATIVE["plural" if is_plural else noun.german.gender][1]
    return Draft(
        f"{thing.english} that {clause.english_statement()} {'are' if is_plural else 'is'} {adjective.english}",
        f"{thing.nominative}, {relative} {clause.verb_last()}, {'sind' if is_plural else 'ist'} {adjective.german}",
        ".",
        [*thing.tags, *clause.tags, P.RELATIVE_CLAUSE],
    )


def _predicates(name: str) -> tuple[tuple[str, str], ...]:
    """Who or how a person is, after "is"."""
    states = tuple((state.english, state.german) for state in STATES)
    roles = {
        "man": ("neighbour", "uncle", "brother", "teacher", "grandfather"),
        "woman": ("aunt", "sister", "mother", "grandmother"),
        "boy": ("brother", "son"),
        "girl": ("sister", "daughter"),
    }.get(name, ())
    phrases = (noun_phrase(NOUNS[role], determiner) for role in roles for determiner in MINE)
    return states + tuple((phrase.english, phrase.nominative) for phrase in phrases)


def forgotten(dice: Dice) -> Draft:
    """ "Peter forgot to call his aunt.", "Peter hat vergessen, seine Tante anzurufen." """
    subject = draw_subject(dice)
    verbs = [verb for verb in ACTIONS if Mode.SHOULD in verb.modes and verb.english.base not in (
        "sleep", "cry", "laugh", "wear", "swim", "dance", "play", "drink", "eat", "stay", "travel")]
    verb = dice.pick(verbs)
    clause = draw_clause(dice, verb=verb, mode=Mode.FUTURE, subject=subject, has_time=False)
    haben = IRREGULAR_PRESENT["haben"][subject.person]
    tags = [tag for tag in clause.tags if tag is not P.FUTURE] + [P.INFINITIVE_WITH_ZU, P.PERFECT_WITH_HABEN]
    middle = " ".join(part for part in (clause.german_early, clause.german_late, verb.german.infinitive_with_zu) if part)
    english, german = dice.pick((("forgot", "vergessen"), ("forgot", "vergessen"), ("promised", "versprochen")))
    return Draft(
        f"{subject.english} {english} {clause.english_infinitive()}",
        f"{subject.nominative} {haben} {german}, {middle}",
        ".",
        tags,
    )
