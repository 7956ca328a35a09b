"""Simple sentences: statements, questions, requests. Each function draws one sentence of its type."""

from mt_trainer.data.phrasebook import times
from mt_trainer.data.phrasebook.adjectives import ADJECTIVES_OF_KIND
from mt_trainer.data.phrasebook.clauses import Draft, join
from mt_trainer.data.phrasebook.determiners import HOW_MANY, WHICH
from mt_trainer.data.phrasebook.dice import Dice
from mt_trainer.data.phrasebook.drawing import draw_action, draw_clause, draw_mode, draw_verb, modes_among
from mt_trainer.data.phrasebook.german import ER
from mt_trainer.data.phrasebook.modes import Mode
from mt_trainer.data.phrasebook.phenomena import Phenomenon as P
from mt_trainer.data.phrasebook.phrases import PRONOUNS, Phrase, noun_phrase
from mt_trainer.data.phrasebook.verbs import VERBS, Verb, verbs_named


def statement(dice: Dice) -> Draft:
    """Like: My aunt is reading a book."""
    clause = draw_clause(dice)
    return Draft(clause.english_statement(), clause.verb_second(), ".", clause.tags)


def inverted(dice: Dice) -> Draft:
    """Like "Tomorrow my aunt will read a book.": the time in front, in German the subject behind the verb."""
    verb = draw_action(dice)
    mode = draw_mode(dice, verb)
    while (clause := draw_clause(dice, verb=verb, mode=mode, time_percent=100)).medial:
        pass
    clause.tags.append(P.INVERSION)
    return Draft(clause.english_time_first(), clause.time_first(), ".", clause.tags)


def negated(dice: Dice) -> Draft:
    """Like: My aunt is not reading the book."""
    clause = draw_clause(dice, is_negated=True)
    return Draft(clause.english_statement(), clause.verb_second(), ".", clause.tags)


def yes_no_question(dice: Dice) -> Draft:
    """Like: Is my aunt reading a book?"""
    clause = draw_clause(dice, is_question=True)
    clause.tags.append(P.YES_NO_QUESTION)
    return Draft(clause.english_question(), clause.verb_first(), "?", clause.tags)


def _interrogative(english: str, nominative: str, accusative: str, dative: str) -> Phrase:
    return Phrase(english, english, nominative, accusative, dative, "", ER, "", "question")


WHO = _interrogative("who", "wer", "wen", "wem")
WHAT = _interrogative("what", "was", "was", "")
_ABOUT_THING = {"auf": "worauf", "an": "woran"}


def who_question(dice: Dice) -> Draft:
    """Like "Who is reading a book?": the question word is the subject."""
    clause = draw_clause(dice, subject=WHO)
    clause.tags.append(P.WH_QUESTION)
    return Draft(clause.english_statement(), clause.verb_second(), "?", clause.tags)


def _draw_question_phrase(dice: Dice, verb: Verb) -> Phrase:
    """Who, what, which or how many, as the verb's object."""
    if verb.takes_person:
        return WHO
    noun = dice.pick(verb.nouns)
    if not noun.english_plural or dice.chance(40):
        return WHAT
    is_alike = noun.kind in ("fruit", "vegetable", "cake", "shoe")  # one asks how many, not which
    if is_alike and verb.takes == "liked":
        return WHAT
    is_counted = verb.takes in ("any", "unowned", "generic") and dice.chance(30)
    adjectives = ADJECTIVES_OF_KIND[noun.kind]
    adjective = dice.pick(adjectives) if dice.chance(15) else None
    return noun_phrase(noun, HOW_MANY if is_counted or is_alike else WHICH, adjective)


def object_question(dice: Dice) -> Draft:
    """Like: What is your aunt reading? / Who is she helping? / Which book ...? / How many books ...?"""
    while (verb := draw_verb(dice)).governs in ("none", "goal") or verb.english.base == "speak":
        pass
    mode = dice.pick(verb.modes)
    clause = draw_clause(dice, verb=verb, mode=mode, asked="object", is_question=True, has_circumstances=False)
    asked = _draw_question_phrase(dice, verb)
    tags = [*clause.tags, *asked.oblique_tags, P.WH_QUESTION]
    match verb.governs:
        case "dat":
            word = asked.dative
        case "auf" | "an":
            word = _ABOUT_THING[verb.governs] if asked is WHAT else f"{verb.governs} {asked.accusative}"
        case _:
            word = asked.accusative
    return Draft(f"{asked.english} {clause.english_question()}", f"{word} {clause.verb_first()}", "?", tags)


_PLACED = tuple(verb for verb in VERBS if verb.places and Mode.NOW in verb.modes)
_MOVEMENT = verbs_named("drive, travel, go")


def adverb_question(dice: Dice) -> Draft:
    """Like: When ...? / Where ...? / Why ...?"""
    match dice.pick(("when", "where", "where to", "why", "why")):
        case "when":
            while not (modes := modes_among(verb := draw_action(dice), (Mode.PAST, Mode.FUTURE, Mode.CAN, Mode.MUST))):
                pass
            mode = dice.pick(modes)
            clause = draw_clause(
                dice, verb=verb, mode=mode, asked="time", is_question=True, has_circumstances=verb.governs == "none"
            )
            english, german = "when", "wann"
        case "where":
            mode = dice.pick((Mode.NOW, Mode.PAST))
            clause = draw_clause(dice, verb=dice.pick(_PLACED), mode=mode, asked="place", is_question=True)
            english, german = "where", "wo"
        case "where to":
            mode = dice.pick((Mode.NOW, Mode.PAST, Mode.FUTURE, Mode.WANT))
            clause = draw_clause(dice, verb=dice.pick(_MOVEMENT), mode=mode, asked="goal", is_question=True)
            english, german = "where", "wohin"
        case _:
            while Mode.NOW not in (verb := draw_action(dice)).modes:
                pass  # nobody loses or finds things for a reason
            mode = dice.pick(modes_among(verb, (Mode.PAST, Mode.NOW, Mode.WANT, Mode.MUST)))
            is_negated = mode is not Mode.MUST and dice.chance(30)
            clause = draw_clause(dice, verb=verb, mode=mode, is_negated=is_negated, is_question=True)
            english, german = "why", "warum"
    clause.tags.append(P.WH_QUESTION)
    return Draft(f"{english} {clause.english_question()}", f"{german} {clause.verb_first()}", "?", clause.tags)


_REQUESTED = verbs_named(
    "cook, buy, look for, read, write, wash, clean, repair, open, close, turn on, turn off, bring along, throw away, "
    "draw, feed, visit, call, invite, pick up, help, listen to, answer, wait for, give, show, bring, send, tell, stay"
)
_REQUEST_TIMES = (*times.COMING_DAYS, *times.ON_WEEKDAYS)


def request(dice: Dice) -> Draft:
    """Like "Please read the letter.", "Lies bitte den Brief.": the imperative, without a subject."""
    verb = dice.pick(_REQUESTED)
    time = dice.pick(_REQUEST_TIMES) if dice.chance(40) else times.NO_TIME
    clause = draw_clause(dice, verb=verb, mode=Mode.FUTURE, subject=PRONOUNS["you"], time=time)
    tags = [*(tag for tag in clause.tags if tag is not P.FUTURE), P.IMPERATIVE]
    german = join(
        verb.german.imperative(),
        clause.german_early,
        "bitte",
        clause.german_time,
        clause.german_late,
        verb.german.prefix,
    )
    return Draft(join("please", clause.english_verb.rest, clause.tail, clause.time), german, ".", tags)
