"""Sentences with be: qualities, comparisons, professions, places, possession; age, price, clock and calendar."""

from mt_trainer.data.phrasebook import times
from mt_trainer.data.phrasebook.clauses import Draft
from mt_trainer.data.phrasebook.determiners import (
    MINE,
    NUMBERS,
    THE,
    THIS,
    A,
    Determiner,
)
from mt_trainer.data.phrasebook.dice import Dice
from mt_trainer.data.phrasebook.english import PAST_OF_BE, PRESENT_OF_BE
from mt_trainer.data.phrasebook.german import IRREGULAR_PRESENT, PRETERITE, SIE, prepositional
from mt_trainer.data.phrasebook.nouns import ADJECTIVES, ADJECTIVES_OF_KIND, NOUNS, STATES
from mt_trainer.data.phrasebook.phenomena import Phenomenon as P
from mt_trainer.data.phrasebook.phrases import (
    KIN,
    NAMES,
    PEOPLE,
    PRONOUNS,
    Phrase,
    draw_object_person,
    draw_person,
    draw_phrase,
    draw_subject,
    noun_phrase,
    possessed,
)
from mt_trainer.data.phrasebook.times import english_number, german_number
from mt_trainer.data.phrasebook.verbs import Mode

_THINGS = tuple(
    noun
    for noun in NOUNS.values()
    if noun.kind
    in (
        "animal soup cake clothes dress shoe bag box device lamp flower picture furniture vehicle transport text newspaper question "
        "song bottle room building open place event dishes"
    ).split()
    or noun.kind in ("open place", "hot drink", "cold drink")
)
_OWNABLE = tuple(
    noun
    for noun in NOUNS.values()
    if noun.kind in ("animal", "bag", "device", "vehicle", "clothes", "key", "picture", "lamp", "text", "building")
    and noun.english not in ("church", "station", "school", "museum", "library", "story", "theatre")
)


def draw_owned(dice: Dice, *, has_adjective: bool = False) -> Phrase:
    """Something with its owner in the genitive: "the old man's car", "Anna's new coat", "my sister's dog"."""
    noun = dice.pick(_OWNABLE)
    adjective = dice.pick(ADJECTIVES_OF_KIND[noun.kind]) if has_adjective and dice.chance(30) else None
    roll = dice.roll(3)
    if roll == 0:
        return possessed(dice.pick(NAMES), noun, adjective)
    people = KIN if roll == 1 else PEOPLE
    owner = dice.pick(people)
    determiner = dice.pick(MINE) if roll == 1 else dice.pick((THE, THIS))
    owner_adjective = dice.pick(ADJECTIVES_OF_KIND[owner.kind]) if dice.chance(30) else None
    return possessed(noun_phrase(owner, determiner, owner_adjective), noun, adjective)


def _draw_thing(dice: Dice) -> Phrase:
    if dice.chance(35):
        return draw_owned(dice)
    noun = dice.pick(_THINGS)
    return draw_phrase(dice, noun, "specific", adjective_percent=15)


def quality(dice: Dice) -> Draft:
    """ "This coat is very expensive.", "Is my uncle's car new?", "The film was not interesting." """
    if dice.chance(40):
        subject = draw_subject(dice, adjective_percent=15)
        while subject.group in ("number", "indefinite"):
            subject = draw_subject(dice, adjective_percent=15)
        options = STATES
    else:
        subject = _draw_thing(dice)
        assert subject.noun is not None
        options = ADJECTIVES_OF_KIND[subject.noun.kind]
    adjective = dice.pick(options)
    while f" {adjective.english} " in subject.english or ("old" in subject.english and adjective.english in ("new", "young")):
        adjective = dice.pick(options)
    is_gradable = bool(adjective.german_comparative) or adjective in STATES
    degree_en, degree_de = dice.pick((("", ""), ("very", "sehr"), ("too", "zu"))) if is_gradable else ("", "")
    if degree_en == "too" and adjective in STATES:
        degree_en, degree_de = "very", "sehr"
    is_past = dice.chance(25) and adjective in STATES
    verb_en = (PAST_OF_BE if is_past else PRESENT_OF_BE)[subject.person]
    verb_de = (PRETERITE if is_past else IRREGULAR_PRESENT)["sein"][subject.person]
    tags = [*subject.tags, *([P.PRETERITE] if is_past else [])]
    time_en, time_de = dice.pick((("yesterday", "gestern"), ("last week", "letzte Woche"))) if is_past else ("", "")
    predicate_en = " ".join(word for word in (degree_en, adjective.english, time_en) if word)
    predicate_de = " ".join(word for word in (time_de, degree_de, adjective.german) if word)
    negated_de = " ".join(word for word in (time_de, "nicht", degree_de, adjective.german) if word)
    roll = dice.roll(10)
    if roll < 5:
        return Draft(
            f"{subject.english} {verb_en} {predicate_en}", f"{subject.nominative} {verb_de} {predicate_de}", ".", tags
        )
    if roll < 7:
        tags.append(P.YES_NO_QUESTION)
        return Draft(
            f"{verb_en} {subject.english} {predicate_en}", f"{verb_de} {subject.nominative} {predicate_de}", "?", tags
        )
    tags.append(P.NEGATION_NICHT)
    return Draft(
        f"{subject.english} {verb_en} not {predicate_en}", f"{subject.nominative} {verb_de} {negated_de}", ".", tags
    )


# Kinds whose members one compares, and in what.
_COMPARED: tuple[tuple[str, str], ...] = (
    ("adult acquaintance parent sibling young child", "old young friendly clever"),
    ("clothes dress bag device furniture vehicle lamp", "new old expensive cheap beautiful"),
    ("text film concert newspaper", "long short interesting boring good"),
    ("animal furniture building box lamp bag", "big small old"),
    ("transport vehicle", "fast slow modern"),
)


def _is_singular_specific(phrase: Phrase) -> bool:
    return phrase.person != SIE and phrase.group in ("definite", "demonstrative", "possessive")


def comparison(dice: Dice) -> Draft:
    """ "The train is faster than the bus.", "My brother is as old as your sister." """
    kinds, names = dice.pick(_COMPARED)
    adjective = ADJECTIVES[dice.pick(names.split())]
    nouns = [noun for noun in NOUNS.values() if ((noun.kind in kinds.split() or noun.english in kinds.split()) and noun.english_plural) or (noun.kind == "parent" and "parent" in kinds)]
    one, two = dice.pick(nouns), dice.pick(nouns)
    while one.kind != two.kind and not kinds.startswith("adult"):
        two = dice.pick(nouns)
    first = draw_phrase(dice, one, "specific", adjective_percent=0)
    second = draw_phrase(dice, two, "specific", adjective_percent=0)
    while one is two or first.person != second.person:
        two = dice.pick(nouns)
        if one.kind == two.kind or kinds.startswith("adult"):
            second = draw_phrase(dice, two, "specific", adjective_percent=0)
        if one.english == "shoe" or len({n for n in nouns if n.kind == one.kind}) < 2:
            one = two = dice.pick(nouns)
            first = draw_phrase(dice, one, "specific", adjective_percent=0)
    verb_en, verb_de = PRESENT_OF_BE[first.person], IRREGULAR_PRESENT["sein"][first.person]
    tags = [*first.tags, *second.tags, P.COMPARISON]
    if dice.chance(60):
        comparative = adjective.english_comparative
        english, german = f"{comparative} than {second.english}", f"{adjective.german_comparative} als {second.nominative}"
    else:
        english = f"as {adjective.english} as {second.english}"
        german = f"so {adjective.german} wie {second.nominative}"
    if dice.chance(25):
        tags.append(P.YES_NO_QUESTION)
        return Draft(f"{verb_en} {first.english} {english}", f"{verb_de} {first.nominative} {german}", "?", tags)
    if dice.chance(30):
        tags.append(P.NEGATION_NICHT)
        return Draft(
            f"{first.english} {verb_en} not {english}", f"{first.nominative} {verb_de} nicht {german}", ".", tags
        )
    return Draft(f"{first.english} {verb_en} {english}", f"{first.nominative} {verb_de} {german}", ".", tags)


# english, masculine, feminine
_PROFESSIONS = (
    ("a doctor", "Arzt", "Ärztin"),
    ("a teacher", "Lehrer", "Lehrerin"),
    ("a baker", "Bäcker", "Bäckerin"),
    ("a pilot", "Pilot", "Pilotin"),
    ("an engineer", "Ingenieur", "Ingenieurin"),
    ("a farmer", "Landwirt", "Landwirtin"),
)


def profession(dice: Dice) -> Draft:
    """ "My sister is a doctor.", "Meine Schwester ist Ärztin.": no article, and a form for women."""
    subject = draw_person(dice, adjective_percent=20)
    while subject.pronoun not in ("he", "she") or (subject.noun and subject.noun.kind in ("acquaintance", "young")) or subject.group == "indefinite":
        subject = dice.pick((PRONOUNS["he"], PRONOUNS["she"])) if dice.chance(15) else draw_person(dice, adjective_percent=20)
    english, masculine, feminine = dice.pick(_PROFESSIONS)
    german = masculine if subject.pronoun == "he" else feminine
    tags = [*subject.tags, P.PROFESSION]
    roll = dice.roll(10)
    if roll < 5:
        return Draft(f"{subject.english} is {english}", f"{subject.nominative} ist {german}", ".", tags)
    if roll < 7:
        tags.append(P.YES_NO_QUESTION)
        return Draft(f"is {subject.english} {english}", f"ist {subject.nominative} {german}", "?", tags)
    if roll < 9:
        tags += [P.MODAL_VERB]
        return Draft(f"{subject.english} wants to become {english}", f"{subject.nominative} will {german} werden", ".", tags)
    tags.append(P.NEGATION_KEIN)
    kein = "kein" if subject.pronoun == "he" else "keine"
    return Draft(f"{subject.english} is not {english}", f"{subject.nominative} ist {kein} {german}", ".", tags)


# What lies and what stands, and where: preposition in both languages and the nouns after it.
_LYING = tuple(NOUNS[name] for name in "book letter newspaper key knife report picture".split())
_STANDING = tuple(NOUNS[name] for name in "cup bottle glass lamp plate".split())
_SPOTS: tuple[tuple[str, str, str], ...] = (
    ("on", "auf", "table chair cupboard"),
    ("under", "unter", "table bed chair sofa"),
    ("next to", "neben", "lamp bed door sofa computer box"),
    ("behind", "hinter", "door sofa television box"),
    ("in", "in", "box cupboard"),
)
_SPOT_DETERMINERS: tuple[Determiner, ...] = (THE, THE, THE, THIS, *MINE)


def position(dice: Dice) -> Draft:
    """ "The key is lying on the table." (dative) and "Anna is putting the key on the table." (accusative)."""
    is_lying = dice.chance(50)
    item = draw_phrase(dice, dice.pick(_LYING if is_lying else _STANDING), "any", adjective_percent=25)
    english_preposition, german_preposition, names = dice.pick(_SPOTS)
    noun = NOUNS[dice.pick(names.split())]
    while noun is item.noun:
        noun = NOUNS[dice.pick(names.split())]
    adjective = dice.pick(ADJECTIVES_OF_KIND[noun.kind]) if dice.chance(25) else None
    spot = noun_phrase(noun, dice.pick(_SPOT_DETERMINERS), adjective)
    spot_en = f"{english_preposition} {spot.english}"
    tags = [*item.tags, *spot.tags, P.TWO_WAY_PREPOSITION]
    if dice.chance(55):
        subject = draw_subject(dice)
        mode = dice.pick((Mode.NOW, Mode.PAST, Mode.PAST, Mode.FUTURE, Mode.CAN, Mode.MUST, Mode.SHOULD))
        from mt_trainer.data.phrasebook.clauses import english_verb_group, german_verb_group, join
        from mt_trainer.data.phrasebook.english import EnglishVerb
        from mt_trainer.data.phrasebook.german import GermanVerb
        legen, stellen, put = GermanVerb("legen", "gelegt"), GermanVerb("stellen", "gestellt"), EnglishVerb("put", "put")
        en = english_verb_group(put, mode, subject.person, False)
        de = german_verb_group(legen if is_lying else stellen, mode, subject.person)
        spot_de = prepositional(german_preposition, spot.accusative)
        tags += subject.tags
        if mode in (Mode.CAN, Mode.MUST, Mode.SHOULD): tags.append(P.MODAL_VERB)
        elif mode is Mode.PAST: tags.append(P.PERFECT_WITH_HABEN)
        elif mode is Mode.FUTURE: tags.append(P.FUTURE)
        if dice.chance(25):
            tags.append(P.YES_NO_QUESTION)
            return Draft(join(en.auxiliary, subject.english, en.rest, item.english, spot_en), join(de.finite, subject.nominative, item.accusative, spot_de, de.bracket), "?", tags)
        return Draft(join(subject.english, en.whole, item.english, spot_en), join(subject.nominative, de.finite, item.accusative, spot_de, de.bracket), ".", tags)
    spot_de = prepositional(german_preposition, spot.dative)
    be = PRESENT_OF_BE[item.person]
    verb_en = "lying" if is_lying else "standing"
    verb_de = (("liegt", "liegen") if is_lying else ("steht", "stehen"))[item.person == SIE]
    if dice.chance(25):
        tags.append(P.YES_NO_QUESTION)
        return Draft(f"{be} {item.english} {verb_en} {spot_en}", f"{verb_de} {item.nominative} {spot_de}", "?", tags)
    return Draft(f"{item.english} {be} {verb_en} {spot_en}", f"{item.nominative} {verb_de} {spot_de}", ".", tags)


def belonging(dice: Dice) -> Draft:
    """ "This car belongs to my uncle.", "Who does this car belong to?" """
    noun = dice.pick(_OWNABLE)
    thing = draw_phrase(dice, noun, "specific", adjective_percent=50)
    while thing.group == "possessive":
        thing = draw_phrase(dice, noun, "specific", adjective_percent=50)
    is_plural = thing.person == SIE
    german = "gehören" if is_plural else "gehört"
    does = "do" if is_plural else "does"
    tags = [*thing.tags, P.DATIVE_OBJECT]
    if dice.chance(20):
        tags.append(P.WH_QUESTION)
        return Draft(f"who {does} {thing.english} belong to", f"wem {german} {thing.nominative}", "?", tags)
    owner = draw_object_person(dice, thing)
    tags += owner.oblique_tags
    if dice.chance(30):
        tags.append(P.YES_NO_QUESTION)
        if owner.is_pronoun:
            german_text = f"{german} {thing.nominative} {owner.dative}"
        else:
            german_text = f"{german} {thing.nominative} {owner.dative}"
        return Draft(f"{does} {thing.english} belong to {owner.english_object}", german_text, "?", tags)
    if dice.chance(30):
        tags.append(P.NEGATION_NICHT)
        return Draft(f"{thing.english} {does} not belong to {owner.english_object}", f"{thing.nominative} {german} {owner.dative} nicht", ".", tags)
    belongs = "belong" if is_plural else "belongs"
    return Draft(f"{thing.english} {belongs} to {owner.english_object}", f"{thing.nominative} {german} {owner.dative}", ".", tags)


_FOUND_IN: dict[str, str] = {
    "kitchen": "table chair cupboard window lamp",
    "garden": "tree flower bird chair table",
    "room": "bed chair lamp sofa computer picture television table",
    "city": "museum theatre library park church hotel restaurant station school",
    "village": "church school restaurant hotel lake library",
    "park": "lake tree flower restaurant",
    "office": "computer table chair lamp picture cupboard",
    "hotel": "restaurant garden",
    "library": "book computer newspaper chair",
}


def existence(dice: Dice) -> Draft:
    """ "In the kitchen there are two chairs.", "In der Küche gibt es zwei Stühle." """
    place_name = dice.pick(tuple(_FOUND_IN))
    from mt_trainer.data.phrasebook.places import draw_place
    place = draw_place(dice, place_name)
    noun = NOUNS[dice.pick(_FOUND_IN[place_name].split())]
    is_question = dice.chance(25)
    adjectives = ADJECTIVES_OF_KIND[noun.kind]
    adjective = dice.pick(adjectives) if dice.chance(40) else None
    determiner = dice.pick((A, A, A, dice.pick(NUMBERS), dice.pick(NUMBERS)))
    thing = noun_phrase(noun, determiner, adjective)
    be = PRESENT_OF_BE[thing.person]
    tags = [*place.tags, *thing.tags, P.EXISTENCE]
    if is_question:
        tags.append(P.YES_NO_QUESTION)
        return Draft(f"{be} there {thing.english} {place.english}", f"gibt es {place.german} {thing.accusative}", "?", tags)
    tags.append(P.INVERSION)
    return Draft(f"{place.english} there {be} {thing.english}", f"{place.german} gibt es {thing.accusative}", ".", tags)


def age(dice: Dice) -> Draft:
    """ "My grandmother is seventy-three years old." """
    subject = draw_person(dice, adjective_percent=0)
    while not _is_singular_specific(subject):
        subject = draw_person(dice, adjective_percent=0)
    low, high = 20, 70
    if subject.noun is not None:
        low, high = {"child": (3, 13), "parent": (55, 96), "sibling": (3, 29), "young": (19, 29)}.get(
            subject.noun.kind, (26, 80)
        )
        if subject.noun.english in ("father", "mother", "uncle", "aunt"):
            low, high = 40, 70
    number = low + dice.roll(high - low)
    tags = [*subject.tags, P.NUMBER]
    english, german = f"{english_number(number)} years old", f"{german_number(number)} Jahre alt"
    if dice.chance(25):
        tags.append(P.YES_NO_QUESTION)
        return Draft(f"is {subject.english} {english}", f"ist {subject.nominative} {german}", "?", tags)
    if dice.chance(10):
        tags.append(P.WH_QUESTION)
        tags.remove(P.NUMBER)
        return Draft(f"how old is {subject.english}", f"wie alt ist {subject.nominative}", "?", tags)
    return Draft(f"{subject.english} is {english}", f"{subject.nominative} ist {german}", ".", tags)


_PRICED = tuple(noun for noun in NOUNS.values() if noun.kind in ("clothes", "dress", "bag", "lamp", "picture", "shoe", "fruit"))


def price(dice: Dice) -> Draft:
    """ "The red coat costs eighty-five euros." """
    noun = dice.pick(_PRICED)
    thing = draw_phrase(dice, noun, "unowned", adjective_percent=60)
    while thing.group not in ("definite", "demonstrative") or (noun.kind == "fruit" and thing.person != SIE):
        thing = draw_phrase(dice, noun, "unowned", adjective_percent=60)
    is_plural = thing.person == SIE
    if dice.chance(20):
        do = "do" if is_plural else "does"
        german = "kosten" if is_plural else "kostet"
        return Draft(
            f"how much {do} {thing.english} cost", f"wie viel {german} {thing.nominative}", "?", [*thing.tags, P.WH_QUESTION]
        )
    number = 2 + dice.roll(12) if noun.kind == "fruit" else 10 + dice.roll(90)
    return Draft(
        f"{thing.english} {'cost' if is_plural else 'costs'} {english_number(number)} euros",
        f"{thing.nominative} {'kosten' if is_plural else 'kostet'} {german_number(number)} Euro",
        ".",
        [*thing.tags, P.NUMBER],
    )


def clock_or_calendar(dice: Dice) -> Draft:
    """ "It is half past seven.", "Today is the third of May.", "Anna's birthday is on the third of May." """
    roll = dice.roll(10)
    if roll < 2:
        time = dice.pick(times.CLOCK_TIMES)
        frame_en, frame_de = dice.pick((("it is", "es ist"), ("it is already", "es ist schon"), ("now it is", "jetzt ist es")))
        return Draft(f"{frame_en} {time.english}", f"{frame_de} {time.german}", ".", [P.CLOCK_TIME])
    if roll < 4:
        date = dice.pick(times.DATES)
        day_en, day_de = dice.pick((("today", "heute"), ("tomorrow", "morgen")))
        return Draft(f"{day_en} is {date.english}", f"{day_de} ist {date.german}", ".", [P.DATE])
    person = draw_person(dice, adjective_percent=0)
    while not _is_singular_specific(person):
        person = draw_person(dice, adjective_percent=0)
    owner = f"{person.genitive} Geburtstag" if person.noun is None else f"der Geburtstag {person.genitive}"
    date = dice.pick(times.ON_DATES)
    tags = [*person.oblique_tags, P.GENITIVE, P.DATE, P.CONTRACTION]
    return Draft(f"{person.english}'s birthday is {date.english}", f"{owner} ist {date.german}", ".", tags)


_EVENTS = tuple(noun for noun in NOUNS.values() if noun.kind == "event")


def schedule(dice: Dice) -> Draft:
    """ "The train to Berlin leaves at half past seven.", "When does the film start?" """
    from mt_trainer.data.phrasebook.places import CITIES

    clock = dice.pick(times.AT_CLOCK_TIMES)
    day_en, day_de = dice.pick((("", ""), ("today ", "heute "), ("tomorrow ", "morgen ")))
    verb_en, verb_de, prefix = dice.pick((("leave", "fährt", "ab"), ("arrive", "kommt", "an"), ("start", "fängt", "an")))
    if verb_en == "start":
        noun = dice.pick(_EVENTS)
        thing = noun_phrase(noun, dice.pick((THE, THIS)), dice.pick(ADJECTIVES_OF_KIND[noun.kind]) if dice.chance(30) else None)
        thing_en, thing_de = thing.english, thing.nominative
    else:
        noun = NOUNS[dice.pick(("train", "bus", "ship"))]
        thing = noun_phrase(noun, dice.pick((THE, THE, THIS)))
        city_en, city_de = dice.pick(CITIES)
        while noun.english == "ship" and city_en != "Hamburg":
            city_en, city_de = dice.pick(CITIES)
        to_en, to_de = ("to", "nach") if verb_en == "leave" else ("from", "aus")
        thing_en, thing_de = f"{thing.english} {to_en} {city_en}", f"{thing.nominative} {to_de} {city_de}"
    tags = [*thing.tags, P.SEPARABLE_VERB]
    roll = dice.roll(10)
    if roll < 2:
        tags.append(P.WH_QUESTION)
        return Draft(f"when does {thing_en} {verb_en}", f"wann {verb_de} {thing_de} {prefix}", "?", tags)
    tags.append(P.CLOCK_TIME)
    if roll < 4:
        tags.append(P.YES_NO_QUESTION)
        return Draft(f"does {thing_en} {verb_en} {day_en}{clock.english}", f"{verb_de} {thing_de} {day_de}{clock.german} {prefix}", "?", tags)
    return Draft(f"{thing_en} {verb_en}s {day_en}{clock.english}", f"{thing_de} {verb_de} {day_de}{clock.german} {prefix}", ".", tags)
