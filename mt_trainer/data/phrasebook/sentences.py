"""Simple sentences: statements, questions, requests. Each function draws one sentence of its type."""

from mt_trainer.data.phrasebook import times
from mt_trainer.data.phrasebook.clauses import Draft, join
from mt_trainer.data.phrasebook.determiners import HOW_MANY, WHICH
from mt_trainer.data.phrasebook.dice import Dice
from mt_trainer.data.phrasebook.drawing import ACTIONS, draw_clause, draw_mode, draw_verb
from mt_trainer.data.phrasebook.german import ER
from mt_trainer.data.phrasebook.nouns import ADJECTIVES_OF_KIND
from mt_trainer.data.phrasebook.phenomena import Phenomenon as P
from mt_trainer.data.phrasebook.phrases import PRONOUNS, Phrase, noun_phrase
from mt_trainer.data.phrasebook.verbs import VERBS, Mode


def statement(dice: Dice) -> Draft:
    """ "My aunt is reading a book." """
    clause = draw_clause(dice)
    return Draft(clause.english_statement(), clause.verb_second(), ".", clause.tags)


def inverted(dice: Dice) -> Draft:
    """ "Tomorrow my aunt will read a book.": the time in front, in German the subject behind the verb."""
    verb = dice.pick(ACTIONS)
    mode = draw_mode(dice, verb)
    while True:
        clause = draw_clause(dice, verb=verb, mode=mode, has_time=True)
        if not clause.medial:
            break
    clause.tags.append(P.INVERSION)
    return Draft(clause.english_time_first(), clause.time_first(), ".", clause.tags)


def negated(dice: Dice) -> Draft:
    """ "My aunt is not reading the book." """
    clause = draw_clause(dice, is_negated=True)
    return Draft(clause.english_statement(), clause.verb_second(), ".", clause.tags)


def yes_no_question(dice: Dice) -> Draft:
    """ "Is my aunt reading a book?" """
    clause = draw_clause(dice)
    clause.tags.append(P.YES_NO_QUESTION)
    return Draft(clause.english_question(), clause.verb_first(), "?", clause.tags)


def _interrogative(english: str, nominative: str, accusative: str, dative: str) -> Phrase:
    return Phrase(english, english, nominative, accusative, dative, "", ER, "", "question")


WHO = _interrogative("who", "wer", "wen", "wem")
WHAT = _interrogative("what", "was", "was", "")


def who_question(dice: Dice) -> Draft:
    """ "Who is reading a book?": the question word is the subject."""
    clause = draw_clause(dice, subject=WHO)
    clause.tags.append(P.WH_QUESTION)
    return Draft(clause.english_statement(), clause.verb_second(), "?", clause.tags)


def object_question(dice: Dice) -> Draft:
    """ "What is your aunt reading?", "Who is she helping?", "Which book ...?", "How many books ...?" """
    verb = draw_verb(dice)
    while verb.governs in ("none", "goal"):
        verb = draw_verb(dice)
    # A question about what is true in general or has happened; "which ... is allowed to" would be odd.
    mode = dice.pick(verb.modes)
    clause = draw_clause(dice, verb=verb, mode=mode, asked="object", has_extras=False)
    asked = WHO if verb.takes_person else WHAT
    roll = dice.roll(100)
    if not verb.takes_person and roll < 60:
        noun = dice.pick(verb.nouns)
        if noun.english_plural:
            determiner = HOW_MANY if roll < 20 else WHICH
            adjectives = ADJECTIVES_OF_KIND[noun.kind]
            asked = noun_phrase(noun, determiner, dice.pick(adjectives) if dice.chance(30) else None)
    tags = [*clause.tags, *asked.oblique_tags, P.WH_QUESTION]
    match verb.governs:
        case "dat":
            word = asked.dative
            tags.append(P.DATIVE_OBJECT)
        case "auf" | "an":
            if asked is WHAT:
                word = "worauf" if verb.governs == "auf" else "woran"
            else:
                word = f"{verb.governs} {asked.accusative}"
            tags.append(P.PREPOSITIONAL_OBJECT)
        case _:
            word = asked.accusative
    return Draft(f"{asked.english} {clause.english_question()}", f"{word} {clause.verb_first()}", "?", tags)


def adverb_question(dice: Dice) -> Draft:
    """ "When ...?", "Where ...?", "Why ...?" """
    kind = dice.pick(("when", "where", "where to", "why", "why"))
    match kind:
        case "when":
            verb = dice.pick(ACTIONS)
            modes = [mode for mode in verb.modes if mode in (Mode.PAST, Mode.FUTURE, Mode.CAN, Mode.MUST)]
            clause = draw_clause(dice, verb=verb, mode=dice.pick(modes), asked="time", has_extras=False)
            words = ("when", "wann")
        case "where":
            verb = dice.pick([verb for verb in VERBS if verb.places and verb.modes[0] is Mode.NOW])
            clause = draw_clause(dice, verb=verb, mode=dice.pick((Mode.NOW, Mode.PAST)), asked="place")
            words = ("where", "wo")
        case "where to":
            verb = dice.pick([verb for verb in VERBS if verb.english.base in ("drive", "travel", "walk", "go")])
            clause = draw_clause(dice, verb=verb, mode=dice.pick((Mode.NOW, Mode.PAST)), asked="goal")
            words = ("where", "wohin")
        case _:
            verb = dice.pick(ACTIONS)
            modes = [mode for mode in verb.modes if mode in (Mode.NOW, Mode.PAST, Mode.WANT, Mode.MUST)]
            mode = dice.pick(modes)
            clause = draw_clause(dice, verb=verb, mode=mode, is_negated=mode is not Mode.MUST and dice.chance(30))
            words = ("why", "warum")
    clause.tags.append(P.WH_QUESTION)
    return Draft(f"{words[0]} {clause.english_question()}", f"{words[1]} {clause.verb_first()}", "?", clause.tags)


_REQUESTED = tuple(
    verb
    for verb in VERBS
    if verb.german.imperative() and verb.governs in ("acc", "dat", "dat+acc", "goal", "auf") and verb.english.base
    not in ("lose", "find", "wear", "need", "have", "see", "like", "know", "understand", "speak", "live", "learn",
            "drink", "eat", "meet", "congratulate")
)
_COMING = (*times.COMING_DAYS, *times.ON_WEEKDAYS)


def request(dice: Dice) -> Draft:
    """ "Please read the letter.", "Lies bitte den Brief.": the imperative without a subject."""
    verb = dice.pick(_REQUESTED)
    time = dice.pick(_COMING) if dice.chance(40) else times.Time("", "")
    clause = draw_clause(dice, verb=verb, mode=Mode.FUTURE, subject=PRONOUNS["you"], time=time)
    tags = [tag for tag in clause.tags if tag is not P.FUTURE] + [P.IMPERATIVE]
    english = join("please", clause.english_verb.rest, clause.tail, clause.time)
    german = join(
        verb.german.imperative(),
        clause.german_early,
        "bitte",
        clause.german_time,
        clause.german_late,
        verb.german.prefix,
    )
    return Draft(english, german, ".", tags)
