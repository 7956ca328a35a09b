"""Sentences that describe: qualities, comparisons, professions, age, price, owners."""

from mt_trainer.data.phrasebook.adjectives import ADJECTIVES, ADJECTIVES_OF_KIND, STATES
from mt_trainer.data.phrasebook.clauses import Draft, join
from mt_trainer.data.phrasebook.determiners import MINE, THE, THIS
from mt_trainer.data.phrasebook.dice import Dice
from mt_trainer.data.phrasebook.english import PAST_OF_BE, PRESENT_OF_BE
from mt_trainer.data.phrasebook.german import IRREGULAR_PRESENT, PRETERITE, SIE
from mt_trainer.data.phrasebook.nouns import NOUNS, nouns_of
from mt_trainer.data.phrasebook.phenomena import Phenomenon as P
from mt_trainer.data.phrasebook.phrases import (
    KIN,
    NAMES,
    PEOPLE,
    Phrase,
    draw_other_person,
    draw_person,
    draw_phrase,
    draw_subject,
    noun_phrase,
    possessed,
)
from mt_trainer.data.phrasebook.times import NO_TIME, PAST_DAYS, Time, english_number, german_number

_DESCRIBED = nouns_of(
    "animal, soup, cake, hot drink, cold drink, clothes, dress, bag, box, device, lamp, picture, furniture, flower, "
    "bottle, vehicle, transport, text, newspaper, question, song, dishes, opening, room, building, public building, "
    "open place, event"
)
_OWNED = nouns_of(
    "animal, bag, device, vehicle, clothes, key, picture, lamp, book, letter, poem, house, garden, hotel, restaurant"
)
# What can be "too much"; the rest only "very".
_EXCESSIVE = frozenset(
    "old young small big expensive hot cold long short boring difficult slow heavy quiet sweet".split()
)


def is_one_known(phrase: Phrase) -> bool:
    """Whether the phrase means one particular person or thing."""
    return phrase.person != SIE and phrase.group in ("definite", "demonstrative", "possessive")


def draw_one_known_person(dice: Dice) -> Phrase:
    """A particular person, without an adjective."""
    while not is_one_known(person := draw_person(dice, adjective_percent=0)):
        pass
    return person


def draw_owned(dice: Dice) -> Phrase:
    """A thing with its owner in the genitive: "the old man's car", "Anna's car", "my sister's dog"."""
    noun = dice.pick(_OWNED)
    roll = dice.roll(3)
    if roll == 0:
        return possessed(dice.pick(NAMES), noun)
    owner = dice.pick(KIN if roll == 1 else PEOPLE)
    adjective = dice.pick(ADJECTIVES_OF_KIND[owner.kind]) if dice.chance(30) else None
    return possessed(noun_phrase(owner, dice.pick(MINE if roll == 1 else (THE, THIS)), adjective), noun)


def _predicate(
    subject: Phrase,
    english: str,
    german: str,
    mark: str,
    tags: list[P],
    *,
    is_negated: bool = False,
    time: Time = NO_TIME,
) -> Draft:
    """Subject, be and what is said of it; yesterday's state in the past."""
    is_past = bool(time.english)
    be = (PAST_OF_BE if is_past else PRESENT_OF_BE)[subject.person]
    sein = (PRETERITE if is_past else IRREGULAR_PRESENT)["sein"][subject.person]
    tags = [*subject.tags, *tags]
    if is_past:
        tags.append(P.PRETERITE)
    if is_negated:
        tags.append(P.NEGATION_NICHT)
    not_en, not_de = ("not", "nicht") if is_negated else ("", "")
    if mark == "?":
        tags.append(P.YES_NO_QUESTION)
        return Draft(
            join(be, subject.english, not_en, english, time.english),
            join(sein, subject.nominative, time.german, not_de, german),
            mark,
            tags,
        )
    return Draft(
        join(subject.english, be, not_en, english, time.english),
        join(subject.nominative, sein, time.german, not_de, german),
        mark,
        tags,
    )


def state_of_person(dice: Dice) -> Draft:
    """Like: Anna is very tired. / Was your uncle ill yesterday?"""
    subject = draw_subject(dice)
    adjective = dice.pick(STATES)
    degree = dice.pick((("", ""), ("", ""), ("very ", "sehr ")))
    time = dice.pick((PAST_DAYS[0], *PAST_DAYS[2:4])) if dice.chance(45) else NO_TIME
    roll = dice.roll(10)
    is_question = roll < 3 and subject.pronoun not in ("I", "we")
    english, german = degree[0] + adjective.english, degree[1] + adjective.german
    return _predicate(subject, english, german, "?" if is_question else ".", [], is_negated=roll > 6, time=time)


def quality_of_thing(dice: Dice) -> Draft:
    """Like: This coat is too expensive. / Is my uncle's car new?"""
    if dice.chance(40):
        subject = draw_owned(dice)
    else:
        subject = draw_phrase(dice, dice.pick(_DESCRIBED), "specific", adjective_percent=0)
    assert subject.noun is not None
    adjective = dice.pick(ADJECTIVES_OF_KIND[subject.noun.kind])
    english, german = adjective.english, adjective.german
    roll = dice.roll(3)
    if roll == 0 and adjective.german_comparative:
        english, german = f"very {english}", f"sehr {german}"
    elif roll == 1 and adjective.english in _EXCESSIVE:
        english, german = f"too {english}", f"zu {german}"
    roll = dice.roll(10)
    return _predicate(subject, english, german, "?" if roll < 2 else ".", [], is_negated=roll > 6)


# Things and people that one compares with each other, and in what.
_COMPARED = tuple(
    (nouns_of(nouns), tuple(ADJECTIVES[name] for name in adjectives.split()))
    for nouns, adjectives in (
        ("man, woman, neighbour, teacher, student, child, parent, sibling", "young friendly clever"),
        ("man, woman, neighbour, teacher, doctor, parent, sibling", "old friendly clever famous"),
        ("clothes, dress", "expensive cheap beautiful new old"),
        ("device, lamp", "expensive cheap new old modern"),
        ("furniture", "expensive cheap heavy big small old"),
        ("text", "long short interesting boring good"),
        ("film, concert, course", "long short interesting boring"),
        ("dog, cat, horse, cow", "big small old young"),
        ("house, hotel, museum, church, school", "big small old new beautiful modern"),
        ("vehicle", "fast slow new old expensive cheap"),
        ("transport", "fast slow modern old"),
        ("box, bag", "big small"),
        ("lake, park, garden", "big small beautiful quiet"),
        ("city, village", "big small beautiful quiet old"),
    )
)


def comparison(dice: Dice) -> Draft:
    """Like: The train is faster than the bus. / My brother is as old as your sister."""
    nouns, adjectives = dice.pick(_COMPARED)
    first = draw_phrase(dice, dice.pick(nouns), "specific", adjective_percent=0)
    while first.person == SIE and NOUNS["man"] in nouns:  # people are compared one by one
        first = draw_phrase(dice, dice.pick(nouns), "specific", adjective_percent=0)
    while True:
        second = draw_phrase(dice, dice.pick(nouns), "specific", adjective_percent=0)
        if second.noun is not first.noun and second.person == first.person:
            break
    adjective = dice.pick(adjectives)
    if dice.chance(60):
        english = f"{adjective.english_comparative} than {second.english}"
        german = f"{adjective.german_comparative} als {second.nominative}"
    else:
        english = f"as {adjective.english} as {second.english}"
        german = f"so {adjective.german} wie {second.nominative}"
    roll = dice.roll(10)
    tags = [*second.tags, P.COMPARISON]
    return _predicate(first, english, german, "?" if roll < 3 else ".", tags, is_negated=roll > 7)


# english, masculine, feminine
_PROFESSIONS = (
    ("a doctor", "Arzt", "Ärztin"),
    ("a teacher", "Lehrer", "Lehrerin"),
    ("a baker", "Bäcker", "Bäckerin"),
    ("a pilot", "Pilot", "Pilotin"),
    ("an engineer", "Ingenieur", "Ingenieurin"),
    ("a farmer", "Landwirt", "Landwirtin"),
)
_WITH_PROFESSION = frozenset({"adult", "parent", "sibling"})


def profession(dice: Dice) -> Draft:
    """Like "My sister is a doctor.", "Meine Schwester ist Ärztin.": no article, and a form for women."""
    while True:
        subject = draw_subject(dice, adjective_percent=20)
        has_gender = subject.pronoun in ("he", "she")
        if has_gender and (subject.noun is None or subject.noun.kind in _WITH_PROFESSION):
            break
    english, masculine, feminine = dice.pick(_PROFESSIONS)
    german, kein = (masculine, "kein") if subject.pronoun == "he" else (feminine, "keine")
    roll = dice.roll(10)
    if roll < 3 and (subject.noun is None or subject.noun.kind == "sibling"):
        will, werden = f"{subject.english} wants to become {english}", f"{subject.nominative} will {german} werden"
        return Draft(will, werden, ".", [*subject.tags, P.PROFESSION, P.MODAL_VERB])
    if roll < 4:
        tags = [P.PROFESSION, P.NEGATION_KEIN]
        return _predicate(subject, f"not {english}", f"{kein} {german}", ".", tags)
    return _predicate(subject, english, german, "?" if roll < 6 else ".", [P.PROFESSION])


def belonging(dice: Dice) -> Draft:
    """Like: This car belongs to my uncle. / Who does this car belong to?"""
    thing = draw_phrase(dice, dice.pick(_OWNED), "pointed", adjective_percent=40)
    is_plural = thing.person == SIE
    does, gehört = ("do", "gehören") if is_plural else ("does", "gehört")
    tags = [*thing.tags, P.DATIVE_OBJECT]
    roll = dice.roll(10)
    if roll < 2:
        tags.append(P.WH_QUESTION)
        return Draft(f"who {does} {thing.english} belong to", f"wem {gehört} {thing.nominative}", "?", tags)
    owner = draw_other_person(dice, thing)
    tags += owner.oblique_tags
    if roll < 4:
        tags.append(P.YES_NO_QUESTION)
        english = f"{does} {thing.english} belong to {owner.english_object}"
        return Draft(english, f"{gehört} {thing.nominative} {owner.dative}", "?", tags)
    if roll < 6:
        tags.append(P.NEGATION_NICHT)
        english = f"{thing.english} {does} not belong to {owner.english_object}"
        return Draft(english, f"{thing.nominative} {gehört} {owner.dative} nicht", ".", tags)
    english = f"{thing.english} {'belong' if is_plural else 'belongs'} to {owner.english_object}"
    return Draft(english, f"{thing.nominative} {gehört} {owner.dative}", ".", tags)


# The age of people of a kind, from and up to.
_AGES = {"child": (3, 13), "parent": (40, 65), "sibling": (3, 30), "young": (19, 30)}


def age(dice: Dice) -> Draft:
    """Like: My grandmother is seventy-three years old. / How old is Anna?"""
    subject = draw_one_known_person(dice)
    kind = subject.noun.kind if subject.noun else ""
    low, high = (66, 99) if subject.noun in (NOUNS["grandfather"], NOUNS["grandmother"]) else _AGES.get(kind, (26, 80))
    number = low + dice.roll(high - low)
    is_own = subject.english.startswith(("my ", "our "))  # nobody asks the age of their own father
    if dice.chance(10) and not is_own:
        return Draft(
            f"how old is {subject.english}", f"wie alt ist {subject.nominative}", "?", [*subject.tags, P.WH_QUESTION]
        )
    english, german = f"{english_number(number)} years old", f"{german_number(number)} Jahre alt"
    is_asked = dice.chance(25) and not is_own
    return _predicate(subject, english, german, "?" if is_asked else ".", [P.NUMBER])


_PRICED = nouns_of("clothes, dress, bag, lamp, picture, shoe, chair, book")


def price(dice: Dice) -> Draft:
    """Like: The red coat costs eighty-five euros. / How much does this lamp cost?"""
    noun = dice.pick(_PRICED)
    thing = draw_phrase(dice, noun, "pointed", adjective_percent=60, excluded=frozenset({"cheap", "expensive"}))
    is_plural = thing.person == SIE
    kostet = "kosten" if is_plural else "kostet"
    if dice.chance(20):
        english = f"how much {'do' if is_plural else 'does'} {thing.english} cost"
        return Draft(english, f"wie viel {kostet} {thing.nominative}", "?", [*thing.tags, P.WH_QUESTION])
    number = 10 + dice.roll(90)
    return Draft(
        f"{thing.english} {'cost' if is_plural else 'costs'} {english_number(number)} euros",
        f"{thing.nominative} {kostet} {german_number(number)} Euro",
        ".",
        [*thing.tags, P.NUMBER],
    )
