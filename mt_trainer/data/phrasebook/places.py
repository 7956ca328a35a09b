"""Where and where to: prepositions with the dative for a place, with zu, nach or the accusative for a direction."""

from typing import NamedTuple

from mt_trainer.data.phrasebook.adjectives import ADJECTIVES_OF_KIND
from mt_trainer.data.phrasebook.determiners import MINE, THE, THIS, A, Determiner
from mt_trainer.data.phrasebook.dice import Dice
from mt_trainer.data.phrasebook.german import CONTRACTIONS, prepositional
from mt_trainer.data.phrasebook.nouns import NOUNS
from mt_trainer.data.phrasebook.phenomena import Phenomenon as P
from mt_trainer.data.phrasebook.phrases import noun_phrase


class Place(NamedTuple):
    """An adverbial of place or direction."""

    english: str
    german: str
    tags: tuple[P, ...] = ()


_PREPOSITIONS = {"station": ("at", "an"), "lake": ("in", "in"), "house": ("in front of", "vor")}
_OURS = tuple(determiner for determiner in MINE if determiner.english in ("my", "our"))
_DETERMINERS: dict[str, tuple[Determiner, ...]] = {
    "kitchen": (THE, THE, *_OURS),
    "garden": (THE, THE, *_OURS),
    "room": (THE, *_OURS),
    "office": (THE, *_OURS),
    "house": (THE, *_OURS),
    "park": (THE, THE, THIS),
    "library": (THE, THE, THIS),
    "station": (THE,),
    "city": (THE, THIS),
    "village": (THE, THIS),
    "hotel": (THE, THIS, A),
    "theatre": (THE, THIS),
    "lake": (THE, THIS, A),
    "church": (THE, THIS),
}
_WALKS = ("station", "park", "lake", "library", "school", "museum", "church", "hotel")
_OUTINGS = (
    Place("to the cinema", "ins Kino", (P.CONTRACTION,)),
    Place("to the theatre", "ins Theater", (P.CONTRACTION,)),
    Place("to school", "in die Schule"),
    Place("to bed", "ins Bett", (P.CONTRACTION,)),
    Place("to church", "in die Kirche"),
)
CITIES = (
    ("Berlin", "Berlin"),
    ("Hamburg", "Hamburg"),
    ("Paris", "Paris"),
    ("Munich", "München"),
    ("Vienna", "Wien"),
    ("Rome", "Rom"),
    ("Cologne", "Köln"),
)
_COUNTRIES = (("Italy", "Italien"), ("France", "Frankreich"), ("Spain", "Spanien"), ("Austria", "Österreich"))


def _tags(german: str, own: tuple[P, ...]) -> tuple[P, ...]:
    return (*own, P.CONTRACTION) if german.split()[0] in CONTRACTIONS.values() else own


def draw_place(dice: Dice, name: str) -> Place:
    """Where something happens, in the dative: "in the small garden", "im kleinen Garten"."""
    english_preposition, german_preposition = _PREPOSITIONS.get(name, ("in", "in"))
    noun = NOUNS[name]
    adjective = dice.pick(ADJECTIVES_OF_KIND[noun.kind]) if dice.chance(20) else None
    phrase = noun_phrase(noun, dice.pick(_DETERMINERS[name]), adjective)
    german = prepositional(german_preposition, phrase.dative)
    return Place(f"{english_preposition} {phrase.english}", german, _tags(german, phrase.oblique_tags))


def draw_goal(dice: Dice, kind: str) -> Place:
    """The complement of a verb of movement or residence."""
    match kind:
        case "walk":
            noun = NOUNS[dice.pick(_WALKS)]
            adjective = dice.pick(ADJECTIVES_OF_KIND[noun.kind]) if dice.chance(25) else None
            phrase = noun_phrase(noun, THE, adjective)
            german = prepositional("zu", phrase.dative)
            return Place(f"to {phrase.english}", german, _tags(german, phrase.oblique_tags))
        case "outing":
            return dice.pick(_OUTINGS)
        case "home":
            return Place("at home", "zu Hause")
        case "residence":
            english, german = dice.pick(CITIES)
            return Place(f"in {english}", f"in {german}")
        case "city":
            english, german = dice.pick(CITIES)
        case _:
            english, german = dice.pick(CITIES + _COUNTRIES)
    return Place(f"to {english}", f"nach {german}")
