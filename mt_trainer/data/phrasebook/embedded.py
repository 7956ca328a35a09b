"""A clause inside another: dass, ob, indirect questions, relative clauses, infinitives with zu."""

from mt_trainer.data.phrasebook.adjectives import ADJECTIVES, ADJECTIVES_OF_KIND
from mt_trainer.data.phrasebook.clauses import Draft, english_verb_group, german_verb_group, join
from mt_trainer.data.phrasebook.determiners import MINE, THE, THE_PLURAL
from mt_trainer.data.phrasebook.dice import Dice
from mt_trainer.data.phrasebook.drawing import draw_action, draw_clause, draw_verb, modes_among
from mt_trainer.data.phrasebook.english import PRESENT_OF_BE, EnglishVerb
from mt_trainer.data.phrasebook.german import ER, IRREGULAR_PRESENT, RELATIVE_PRONOUN, Column, GermanVerb
from mt_trainer.data.phrasebook.modes import Mode
from mt_trainer.data.phrasebook.nouns import nouns_of
from mt_trainer.data.phrasebook.phenomena import Phenomenon as P
from mt_trainer.data.phrasebook.phrases import Phrase, draw_subject, noun_phrase
from mt_trainer.data.phrasebook.sentences import WHO
from mt_trainer.data.phrasebook.verbs import VERBS, verbs_named

_THOUGHTS = (
    (EnglishVerb("think", "thought"), GermanVerb("glauben", "geglaubt")),
    (EnglishVerb("hope", "hoped"), GermanVerb("hoffen", "gehofft")),
    (EnglishVerb("know", "knew"), GermanVerb("wissen", "gewusst")),
    (EnglishVerb("say", "said"), GermanVerb("sagen", "gesagt")),
)


_HOPED = (Mode.NOW, Mode.PAST, Mode.FUTURE, Mode.CAN)  # one does not hope that somebody should do something


def that_clause(dice: Dice) -> Draft:
    """Like: I think that my aunt is reading the book."""
    english, german = dice.pick(_THOUGHTS)
    thinker = draw_subject(dice, adjective_percent=10)
    subject = draw_subject(dice, adjective_percent=10)
    while thinker.english in subject.english or {subject.pronoun, thinker.pronoun} <= {"I", "we"}:
        subject = draw_subject(dice, adjective_percent=10)
    verb = draw_verb(dice)
    while not (modes := modes_among(verb, _HOPED) if english.base == "hope" else verb.modes):
        verb = draw_verb(dice)
    clause = draw_clause(
        dice,
        verb=verb,
        mode=dice.pick(modes),
        subject=subject,
        is_negated=dice.chance(20),
        has_circumstances=dice.chance(30),
        time_percent=35,
    )
    thinks = english_verb_group(english, Mode.NOW, thinker.person, is_state=True).whole
    glaubt = german_verb_group(german, Mode.NOW, thinker.person).finite
    return Draft(
        f"{thinker.english} {thinks} that {clause.english_statement()}",
        f"{thinker.nominative} {glaubt}, dass {clause.verb_last()}",
        ".",
        [*thinker.tags, *clause.tags, P.THAT],
    )


_ASKING = (
    ("I do not know", "ich weiß nicht", "."),
    ("do you know", "weißt du", "?"),
    ("we want to know", "wir wollen wissen", "."),
    ("can you tell me", "kannst du mir sagen", "?"),
)
_PLACED = tuple(verb for verb in VERBS if verb.places and Mode.PAST in verb.modes)
_WITH_THING = tuple(verb for verb in VERBS if verb.governs == "acc" and not verb.takes_person and not verb.is_state)
_LIVE = verbs_named("live")[0]


def indirect_question(dice: Dice) -> Draft:
    """Like: Do you know whether Anna is reading? / I do not know where he lives."""
    english, german = dice.pick(
        (
            ("whether", "ob"),
            ("whether", "ob"),
            ("where", "wo"),
            ("when", "wann"),
            ("why", "warum"),
            ("what", "was"),
            ("who", "wer"),
        )
    )
    match english:
        case "whether":
            clause = draw_clause(dice, is_question=True, has_circumstances=False)
        case "where" if dice.chance(40):
            clause = draw_clause(dice, verb=_LIVE, asked="goal", is_question=True)
        case "where":
            verb = dice.pick(_PLACED)
            clause = draw_clause(dice, verb=verb, mode=Mode.PAST, asked="place", is_question=True, time_percent=30)
        case "when":
            while not (modes := modes_among(verb := draw_action(dice), (Mode.PAST, Mode.FUTURE))):
                pass
            mode = dice.pick(modes)
            clause = draw_clause(dice, verb=verb, mode=mode, asked="time", is_question=True, has_circumstances=False)
        case "why":
            while Mode.NOW not in (verb := draw_action(dice)).modes:
                pass
            mode, is_negated = dice.pick(modes_among(verb, (Mode.PAST, Mode.NOW, Mode.WANT))), dice.chance(30)
            clause = draw_clause(
                dice,
                verb=verb,
                mode=mode,
                is_negated=is_negated,
                is_question=True,
                time_percent=30,
                has_circumstances=False,
            )
        case "what":
            verb = dice.pick(_WITH_THING)
            clause = draw_clause(dice, verb=verb, asked="object", is_question=True, has_circumstances=False)
        case _:
            clause = draw_clause(dice, subject=WHO, has_circumstances=False)
            english = german = ""  # the question word is the subject of its clause
    frame_en, frame_de, mark = dice.pick(_ASKING)
    while clause.subject == "you" and frame_en == "do you know":
        frame_en, frame_de, mark = dice.pick(_ASKING)
    return Draft(
        join(frame_en, english, clause.english_statement()),
        f"{frame_de}, {join(german, clause.verb_last())}",
        mark,
        [*clause.tags, P.WHETHER if english == "whether" else P.INDIRECT_QUESTION],
    )


_DOING = tuple(verb for verb in VERBS if Mode.NOW in verb.modes and not verb.is_state and verb.governs != "goal")
_ANYBODY = nouns_of("man, woman, boy, girl, child, student, tourist")
# Nothing that an occupation could contradict: one who laughs is not sad.
_SAID_OF_ANYBODY = tuple(ADJECTIVES[name] for name in ("tired", "hungry", "thirsty", "friendly", "clever"))
_ROLES = {
    "man": nouns_of("neighbour, uncle, brother, teacher"),
    "woman": nouns_of("aunt, sister, mother"),
    "boy": nouns_of("brother, son"),
    "girl": nouns_of("sister, daughter"),
}


def who_relative(dice: Dice) -> Draft:
    """Like "The man who is reading the newspaper is my uncle.": the relative pronoun is the subject of its clause."""
    noun = dice.pick(_ANYBODY)
    person = noun_phrase(noun, THE)
    gap = Phrase("", "", "", "", "", "", ER, noun.pronoun, "definite", (), noun)
    clause = draw_clause(dice, verb=dice.pick(_DOING), mode=Mode.NOW, subject=gap, time_percent=0)
    roles = _ROLES.get(noun.english, ())
    if roles and dice.chance(60):
        role = noun_phrase(dice.pick(roles), dice.pick(MINE))
        english, german = role.english, role.nominative
    else:
        adjective = dice.pick(_SAID_OF_ANYBODY)
        english, german = adjective.english, adjective.german
    relative = RELATIVE_PRONOUN["nominative", noun.german.gender]
    return Draft(
        f"{person.english} who {clause.english_statement()} is {english}",
        f"{person.nominative}, {relative} {clause.verb_last()}, ist {german}",
        ".",
        [*clause.tags, P.RELATIVE_CLAUSE],
    )


_DESCRIBED = tuple(
    (verb, tuple(noun for noun in verb.nouns if noun.english_plural))
    for verb in verbs_named("buy, look for, read, write, repair, draw, find, sell, need, sing")
)


def that_relative(dice: Dice) -> Draft:
    """Like "The book that Anna is reading is interesting.": the relative pronoun is the object of its clause."""
    verb, nouns = dice.pick(_DESCRIBED)
    noun = dice.pick(nouns)
    modes = modes_among(verb, (Mode.NOW, Mode.PAST, Mode.WANT))
    clause = draw_clause(
        dice, verb=verb, mode=dice.pick(modes), asked="object", has_circumstances=False, time_percent=30
    )
    is_plural = noun.kind == "shoe"
    thing = noun_phrase(noun, THE_PLURAL if is_plural else THE)
    column: Column = "plural" if is_plural else noun.german.gender
    adjective = dice.pick(tuple(a for a in ADJECTIVES_OF_KIND[noun.kind] if a.english not in verb.excludes))
    be, sein = PRESENT_OF_BE[thing.person], IRREGULAR_PRESENT["sein"][thing.person]
    return Draft(
        f"{thing.english} that {clause.english_statement()} {be} {adjective.english}",
        f"{thing.nominative}, {RELATIVE_PRONOUN['accusative', column]} {clause.verb_last()}, {sein} {adjective.german}",
        ".",
        [*thing.tags, *clause.tags, P.RELATIVE_CLAUSE],
    )


_FORGETTABLE = verbs_named(
    "cook, buy, read, wash, clean, repair, open, close, turn on, turn off, bring along, throw away, feed, visit, call, "
    "invite, pick up, help, thank, answer, congratulate, give, show, bring, send, go shopping"
)
_INTENTIONS = (
    (EnglishVerb("forget", "forgot"), GermanVerb("vergessen", "vergessen")),
    (EnglishVerb("promise", "promised"), GermanVerb("versprechen", "versprochen")),
)


def infinitive(dice: Dice) -> Draft:
    """Like: Peter forgot to call his aunt. / Peter hat vergessen, seine Tante anzurufen."""
    subject = draw_subject(dice)
    verb = dice.pick(_FORGETTABLE)
    clause = draw_clause(dice, verb=verb, mode=Mode.FUTURE, subject=subject, time_percent=0)
    english, german = dice.pick(_INTENTIONS)
    tags = [tag for tag in clause.tags if tag is not P.FUTURE]
    inner = join(clause.german_early, clause.german_late, verb.german.infinitive_with_zu)
    return Draft(
        f"{subject.english} {english.past} to {join(clause.english_verb.rest, clause.tail)}",
        f"{subject.nominative} {IRREGULAR_PRESENT['haben'][subject.person]} {german.participle}, {inner}",
        ".",
        [*tags, P.INFINITIVE_WITH_ZU, P.PERFECT_WITH_HABEN],
    )
