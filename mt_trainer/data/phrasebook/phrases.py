"""Noun phrases in both languages at once: pronouns, names, and determiner + adjective + noun."""

from dataclasses import dataclass
from functools import cache
from typing import Literal

from mt_trainer.data.phrasebook import german as de
from mt_trainer.data.phrasebook.adjectives import ADJECTIVES_OF_KIND, Adjective
from mt_trainer.data.phrasebook.determiners import (
    BARE,
    KINSHIP,
    NOT_A,
    NOT_ANY,
    NOT_ANY_MASS,
    NOT_BARE,
    NOT_BARE_PLURAL,
    THE,
    Determiner,
    Group,
    Takes,
    determiners,
)
from mt_trainer.data.phrasebook.dice import Dice
from mt_trainer.data.phrasebook.english import indefinite_article
from mt_trainer.data.phrasebook.german import DU, ER, ICH, SIE, WIR, Case
from mt_trainer.data.phrasebook.nouns import NOUNS, Noun
from mt_trainer.data.phrasebook.phenomena import Phenomenon as P


@dataclass(frozen=True, eq=False, slots=True)
class Phrase:
    """A noun phrase: one English form (and another as object for pronouns), four German cases.

    ``person`` decides verb agreement (see ``german.Person``). ``pronoun`` is the one that can refer back to it, or ""
    where grammatical and natural gender disagree (das Mädchen) and no choice would please everybody.
    """

    english: str
    english_object: str
    nominative: str
    accusative: str
    dative: str
    genitive: str
    person: int
    pronoun: Literal["I", "you", "he", "she", "we", "they", ""]
    group: Group
    tags: tuple[P, ...] = ()
    noun: Noun | None = None
    is_pronoun: bool = False

    @property
    def oblique_tags(self) -> tuple[P, ...]:
        """Its phenomena outside the nominative."""
        if self.noun is not None and self.noun.german.is_weak and self.person == ER:
            return (*self.tags, P.N_DECLENSION)
        return self.tags


def _pronoun(english: Literal["I", "you", "he", "she", "we", "they"], forms: str, person: int) -> Phrase:
    english_object, nominative, accusative, dative = forms.split()
    return Phrase(
        english, english_object, nominative, accusative, dative, "", person, english, "definite", (), None, True
    )


PRONOUNS = {
    "I": _pronoun("I", "me ich mich mir", ICH),
    "you": _pronoun("you", "you du dich dir", DU),
    "he": _pronoun("he", "him er ihn ihm", ER),
    "she": _pronoun("she", "her sie sie ihr", ER),
    "we": _pronoun("we", "us wir uns uns", WIR),
    "they": _pronoun("they", "them sie sie ihnen", SIE),
}


def _name(name: str, pronoun: Literal["he", "she"]) -> Phrase:
    return Phrase(name, name, name, name, name, name + "s", ER, pronoun, "definite")


NAMES = (
    *(_name(name, "he") for name in ("Peter", "Paul", "Martin", "Daniel")),
    *(_name(name, "she") for name in ("Anna", "Maria", "Julia", "Laura")),
)
COUPLES = tuple(
    Phrase(
        f"{one.english} and {two.english}",
        f"{one.english} and {two.english}",
        *(f"{one.nominative} und {two.nominative}",) * 3,
        "",
        SIE,
        "they",
        "definite",
    )
    for one in NAMES
    for two in NAMES
    if one.pronoun != two.pronoun
)


_CLASS_TAGS: dict[de.AdjectiveClass, P] = {
    "weak": P.ADJECTIVE_WEAK,
    "mixed": P.ADJECTIVE_MIXED,
    "strong": P.ADJECTIVE_STRONG,
}


def _join(*words: str) -> str:
    return " ".join(word for word in words if word)


@cache
def noun_phrase(noun: Noun, determiner: Determiner, adjective: Adjective | None = None) -> Phrase:
    """The phrase of determiner, adjective and noun, inflected for all four cases.

    Raises:
        ValueError: a plural is wanted of a noun that has none here.
    """
    if determiner.is_plural and not noun.english_plural:
        raise ValueError(f"{noun.english} has no plural")
    head = noun.english_plural if determiner.is_plural else noun.english
    described = f"{adjective.english} {head}" if adjective else head
    article = indefinite_article(described) if determiner.english == "a" else determiner.english
    column: de.Column = "plural" if determiner.is_plural else noun.german.gender

    def german_form(case: Case) -> str:
        ending = de.adjective_form(adjective.german, determiner.adjective_class, case, column) if adjective else ""
        form = noun.german.form(case, is_plural=determiner.is_plural)
        return _join(determiner.german_form(case, column), ending, form)

    tags = [_CLASS_TAGS[determiner.adjective_class]] if adjective else []
    tags += [P.PLURAL] if determiner.is_plural else []
    if determiner.group == "possessive":
        tags.append(P.POSSESSIVE)
    elif determiner.group == "number":
        tags.append(P.NUMBER)
    elif determiner.group == "measure":
        tags.append(P.MEASURE)
    english = _join(article, described)
    return Phrase(
        english,
        english,
        german_form("nominative"),
        german_form("accusative"),
        german_form("dative"),
        german_form("genitive"),
        SIE if determiner.is_plural else ER,
        "they" if determiner.is_plural else noun.pronoun,
        determiner.group,
        tuple(tags),
        noun,
    )


@cache
def possessed(owner: Phrase, noun: Noun, adjective: Adjective | None = None) -> Phrase:
    """A thing and its owner: "the old man's car", "das Auto des alten Mannes"; a name goes first, "Annas Auto"."""
    described = f"{adjective.english} {noun.english}" if adjective else noun.english
    english = f"{owner.english}'s {described}"
    thing = noun_phrase(noun, BARE if owner.noun is None else THE, adjective)

    def german_form(form: str) -> str:
        return f"{owner.genitive} {form}" if owner.noun is None else f"{form} {owner.genitive}"

    tags = (P.GENITIVE, *owner.oblique_tags, *thing.tags)
    return Phrase(
        english,
        english,
        german_form(thing.nominative),
        german_form(thing.accusative),
        german_form(thing.dative),
        "",
        ER,
        noun.pronoun,
        "definite",
        tags,
        noun,
    )


PEOPLE = tuple(noun for noun in NOUNS.values() if noun.kind in {"adult", "acquaintance", "young", "child"})
KIN = tuple(noun for noun in NOUNS.values() if noun.kind in KINSHIP)


@cache
def _fitting_adjectives(noun: Noun, excluded: frozenset[str]) -> tuple[Adjective, ...]:
    return tuple(adjective for adjective in ADJECTIVES_OF_KIND[noun.kind] if adjective.english not in excluded)


def _draw_adjective(dice: Dice, noun: Noun, percent: int, excluded: frozenset[str]) -> Adjective | None:
    adjectives = _fitting_adjectives(noun, excluded)
    return dice.pick(adjectives) if adjectives and dice.chance(percent) else None


def draw_phrase(
    dice: Dice, noun: Noun, takes: Takes, *, adjective_percent: int, excluded: frozenset[str] = frozenset()
) -> Phrase:
    """A phrase with this noun, and in so many of a hundred cases an adjective that is not excluded."""
    determiner = dice.pick(dice.pick(determiners(noun, takes)))
    return noun_phrase(noun, determiner, _draw_adjective(dice, noun, adjective_percent, excluded))


def negative_phrase(
    dice: Dice, noun: Noun, takes: Takes, *, adjective_percent: int, excluded: frozenset[str] = frozenset()
) -> Phrase:
    """The phrase of a negated clause that takes kein: in English "a dog", "any water", or of a whole kind "dogs"."""
    if takes == "liked":
        determiner = NOT_BARE_PLURAL if noun.english_plural else NOT_BARE
    elif noun.is_mass:
        determiner = NOT_ANY_MASS
    elif noun.kind == "shoe" or (noun.english_plural and dice.chance(25)):
        determiner = NOT_ANY
    else:
        determiner = NOT_A
    return noun_phrase(noun, determiner, _draw_adjective(dice, noun, adjective_percent, excluded))


_SUBJECT_PRONOUNS = tuple(PRONOUNS.values())
_OBJECT_PRONOUNS = tuple(PRONOUNS[name] for name in ("I", "you", "he", "we"))


def draw_person(dice: Dice, *, adjective_percent: int, is_known: bool = True) -> Phrase:
    """A name, a relative, or other people; never a pronoun. ``is_known``: nobody like "a doctor" or "two boys"."""
    roll = dice.roll(100)
    if roll < 25:
        return dice.pick(NAMES)
    takes: Takes = "specific" if is_known or roll < 80 else "any"
    noun = dice.pick(KIN if roll < 55 else PEOPLE)
    person = draw_phrase(dice, noun, takes, adjective_percent=adjective_percent)
    while person.group == "bare":
        person = draw_phrase(dice, noun, takes, adjective_percent=adjective_percent)
    return person


def draw_subject(dice: Dice, *, adjective_percent: int = 25, is_known: bool = True) -> Phrase:
    """Who does it: also a pronoun or a couple."""
    roll = dice.roll(100)
    if roll < 25:
        return dice.pick(_SUBJECT_PRONOUNS)
    if roll < 30:
        return dice.pick(COUPLES)
    return draw_person(dice, adjective_percent=adjective_percent, is_known=is_known)


def draw_other_person(dice: Dice, subject: Phrase, *, pronoun_percent: int = 15) -> Phrase:
    """A person other than the subject, as an object: also a pronoun.

    Not "her" and not "them": German has one word, "sie", for both, and a translation could not be told from the other.
    """
    if dice.chance(pronoun_percent):
        pronoun = dice.pick(_OBJECT_PRONOUNS)
        is_reflexive = pronoun is subject or {pronoun.pronoun, subject.pronoun} == {"I", "we"}
        if not is_reflexive and subject.pronoun != pronoun.pronoun:
            return pronoun
    while True:
        person = draw_person(dice, adjective_percent=20)
        is_other = person.english not in subject.english if person.noun is None else person.noun is not subject.noun
        if is_other:
            return person
