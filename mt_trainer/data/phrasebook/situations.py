"""Sentences about where things are, when things happen, and what day and hour it is."""

from mt_trainer.data.phrasebook import times
from mt_trainer.data.phrasebook.adjectives import ADJECTIVES_OF_KIND
from mt_trainer.data.phrasebook.clauses import Draft, english_verb_group, german_verb_group, join, tense_tags
from mt_trainer.data.phrasebook.descriptions import draw_one_known_person
from mt_trainer.data.phrasebook.determiners import FEW, MINE, THE, THIS, A
from mt_trainer.data.phrasebook.dice import Dice
from mt_trainer.data.phrasebook.english import PRESENT_OF_BE, EnglishVerb
from mt_trainer.data.phrasebook.german import GermanVerb, prepositional
from mt_trainer.data.phrasebook.modes import Mode
from mt_trainer.data.phrasebook.nouns import nouns_of
from mt_trainer.data.phrasebook.phenomena import Phenomenon as P
from mt_trainer.data.phrasebook.phrases import Phrase, draw_phrase, draw_subject, noun_phrase
from mt_trainer.data.phrasebook.places import CITIES, draw_place

# What lies and what stands, and where.
_LYING = nouns_of("book, letter, newspaper, key, report")
_STANDING = nouns_of("dishes, bottle, lamp")
_SPOTS_TO_LIE = (
    ("on", "auf", nouns_of("table, chair, sofa")),
    ("next to", "neben", nouns_of("computer, box, sofa")),
    ("under", "unter", nouns_of("table, chair, bed")),
    ("in", "in", nouns_of("box, cupboard")),
    ("behind", "hinter", nouns_of("door, sofa, television")),
)
_SPOTS_TO_STAND = (
    ("on", "auf", nouns_of("table, cupboard")),
    ("next to", "neben", nouns_of("computer, television, radio")),
)
_LIE, _STAND = GermanVerb("liegen", "gelegen"), GermanVerb("stehen", "gestanden")
_LAY, _SET = GermanVerb("legen", "gelegt"), GermanVerb("stellen", "gestellt")
_PUT = EnglishVerb("put", "put")
_LYING_EN, _STANDING_EN = EnglishVerb("lie", "lay"), EnglishVerb("stand", "stood")
_PUTTING_MODES = (Mode.NOW, Mode.PAST, Mode.PAST, Mode.FUTURE, Mode.CAN, Mode.MUST, Mode.SHOULD)


def position(dice: Dice) -> Draft:
    """Like "The key is lying on the table." (auf dem Tisch) and "Anna is putting it on the table." (auf den Tisch)."""
    is_lying = dice.chance(50)
    item = draw_phrase(dice, dice.pick(_LYING if is_lying else _STANDING), "any", adjective_percent=20)
    preposition, german_preposition, nouns = dice.pick(_SPOTS_TO_LIE if is_lying else _SPOTS_TO_STAND)
    noun = dice.pick(nouns)
    adjective = dice.pick(ADJECTIVES_OF_KIND[noun.kind]) if dice.chance(20) else None
    spot = noun_phrase(noun, dice.pick((THE, THE, THE, THIS, dice.pick(MINE))), adjective)
    tags = [*item.tags, *spot.tags, P.TWO_WAY_PREPOSITION]
    if dice.chance(60):
        return _putting(dice, item, f"{preposition} {spot.english}", german_preposition, spot, is_lying, tags)
    be = english_verb_group(_LYING_EN if is_lying else _STANDING_EN, Mode.NOW, item.person, is_state=False)
    liegt = german_verb_group(_LIE if is_lying else _STAND, Mode.NOW, item.person).finite
    where = prepositional(german_preposition, spot.dative)
    if dice.chance(25):
        english = join(be.auxiliary, item.english, be.rest, preposition, spot.english)
        return Draft(english, join(liegt, item.nominative, where), "?", [*tags, P.YES_NO_QUESTION])
    return Draft(
        join(item.english, be.whole, preposition, spot.english), join(item.nominative, liegt, where), ".", tags
    )


def _putting(
    dice: Dice, item: Phrase, goal: str, preposition: str, spot: Phrase, is_lying: bool, tags: list[P]
) -> Draft:
    mode = dice.pick(_PUTTING_MODES)
    is_question = dice.chance(25)
    subject = draw_subject(dice)
    while is_question and subject.pronoun == "I":
        subject = draw_subject(dice)
    put = english_verb_group(_PUT, mode, subject.person, is_state=False)
    legt = german_verb_group(_LAY if is_lying else _SET, mode, subject.person)
    where_to = prepositional(preposition, spot.accusative)
    tags = [*tags, *subject.tags, *tense_tags(_LAY, mode)]
    if is_question:
        english = join(put.auxiliary, subject.english, put.rest, item.english, goal)
        german = join(legt.finite, subject.nominative, item.accusative, where_to, legt.bracket)
        return Draft(english, german, "?", [*tags, P.YES_NO_QUESTION])
    english = join(subject.english, put.whole, item.english, goal)
    return Draft(english, join(subject.nominative, legt.finite, item.accusative, where_to, legt.bracket), ".", tags)


_FOUND_IN = tuple(
    (place, nouns_of(nouns))
    for place, nouns in (
        ("kitchen", "table, chair, cupboard, window, lamp"),
        ("garden", "tree, flower, bird, chair, table"),
        ("room", "bed, chair, lamp, sofa, computer, television, table"),
        ("city", "museum, theatre, library, park, church, hotel, restaurant, station, school"),
        ("village", "church, school, restaurant, hotel, lake"),
        ("park", "lake, tree, flower, restaurant"),
        ("office", "computer, table, chair, lamp, cupboard"),
        ("library", "computer, chair, table, lamp"),
    )
)


def existence(dice: Dice) -> Draft:
    """Like: In the kitchen there are two chairs. / In der Küche gibt es zwei Stühle."""
    name, nouns = dice.pick(_FOUND_IN)
    place = draw_place(dice, name)
    noun = dice.pick(nouns)
    adjective = dice.pick(ADJECTIVES_OF_KIND[noun.kind]) if dice.chance(40) else None
    determiner = dice.pick(FEW) if noun.english_plural and dice.chance(40) else A
    thing = noun_phrase(noun, determiner, adjective)
    be = PRESENT_OF_BE[thing.person]
    tags = [*place.tags, *thing.tags, P.EXISTENCE]
    if dice.chance(25):
        english = f"{be} there {thing.english} {place.english}"
        return Draft(english, f"gibt es {place.german} {thing.accusative}", "?", [*tags, P.YES_NO_QUESTION])
    english = f"{place.english} there {be} {thing.english}"
    return Draft(english, f"{place.german} gibt es {thing.accusative}", ".", [*tags, P.INVERSION])


_IT_IS = (("it is", "es ist"), ("it is already", "es ist schon"), ("now it is", "jetzt ist es"))


def clock_or_calendar(dice: Dice) -> Draft:
    """Like: It is half past seven. / Today is the third of May. / Anna's birthday is on the third of May."""
    roll = dice.roll(10)
    if roll < 2:
        time = dice.pick(times.CLOCK_TIMES)
        english, german = dice.pick(_IT_IS)
        return Draft(f"{english} {time.english}", f"{german} {time.german}", ".", time.tags)
    if roll < 4:
        date = dice.pick(times.DATES)
        english, german = dice.pick((("today", "heute"), ("tomorrow", "morgen")))
        return Draft(f"{english} is {date.english}", f"{german} ist {date.german}", ".", date.tags)
    person = draw_one_known_person(dice)
    is_name = person.noun is None
    birthday = f"{person.genitive} Geburtstag" if is_name else f"der Geburtstag {person.genitive}"
    date = dice.pick(times.ON_DATES)
    tags = [*person.oblique_tags, P.GENITIVE, *date.tags]
    return Draft(f"{person.english}'s birthday is {date.english}", f"{birthday} ist {date.german}", ".", tags)


_EVENTS = nouns_of("event")
_TRANSPORT = nouns_of("bus, train")
_LEAVE, _ARRIVE = EnglishVerb("leave", "left"), EnglishVerb("arrive", "arrived")
_START = EnglishVerb("start", "started")
_SCHEDULED = (
    (_LEAVE, GermanVerb("fahren", "abgefahren", "fähr", "ab", "sein")),
    (_ARRIVE, GermanVerb("kommen", "angekommen", "", "an", "sein")),
    (_START, GermanVerb("fangen", "angefangen", "fäng", "an")),
)
_SCHEDULE_DAYS = (times.NO_TIME, times.Time("today", "heute"), times.Time("tomorrow", "morgen"))


def schedule(dice: Dice) -> Draft:
    """Like: The train to Berlin leaves at half past seven. / When does the film start?"""
    verb, german_verb = dice.pick(_SCHEDULED)
    if verb is _START:
        thing = noun_phrase(dice.pick(_EVENTS), dice.pick((THE, THIS)))
        subject, german_subject = thing.english, thing.nominative
    else:
        thing = noun_phrase(dice.pick(_TRANSPORT), THE)
        city, german_city = dice.pick(CITIES)
        direction, german_direction = ("to", "nach") if verb is _LEAVE else ("from", "aus")
        subject, german_subject = (
            f"{thing.english} {direction} {city}",
            f"{thing.nominative} {german_direction} {german_city}",
        )
    mode = dice.pick((Mode.HABIT, Mode.PAST))  # a timetable is in the simple present, like a habit
    forms = english_verb_group(verb, mode, thing.person, is_state=True)
    german = german_verb_group(german_verb, mode, thing.person)
    tags = [*thing.tags, P.SEPARABLE_VERB, *tense_tags(german_verb, mode)]
    day = dice.pick(_SCHEDULE_DAYS) if mode is Mode.HABIT else dice.pick((times.NO_TIME, times.PAST_DAYS[0]))
    roll = dice.roll(10)
    if roll < 2:
        english = join("when", forms.auxiliary, subject, forms.rest, day.english)
        german_question = join("wann", german.finite, german_subject, day.german, german.bracket)
        return Draft(english, german_question, "?", [*tags, P.WH_QUESTION])
    clock = dice.pick(times.AT_CLOCK_TIMES)
    tags += clock.tags
    if roll < 4:
        english = join(forms.auxiliary, subject, forms.rest, day.english, clock.english)
        german_question = join(german.finite, german_subject, day.german, clock.german, german.bracket)
        return Draft(english, german_question, "?", [*tags, P.YES_NO_QUESTION])
    english = join(subject, forms.whole, day.english, clock.english)
    return Draft(english, join(german_subject, german.finite, day.german, clock.german, german.bracket), ".", tags)
