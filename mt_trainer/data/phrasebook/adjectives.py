"""The adjectives of the phrasebook in both languages, and which of them may be said of which kind of noun."""

from dataclasses import dataclass


@dataclass(frozen=True, eq=False, slots=True)
class Adjective:
    """An adjective with its comparatives; ``english_comparative`` is empty for those that take "more"."""

    english: str
    german: str
    english_comparative: str = ""
    german_comparative: str = ""


# english german | comparatives in both languages; "more" for English comparatives of two words
_ADJECTIVES = """
    old alt | older älter                               young jung | younger jünger
    little klein | -                                    friendly freundlich | friendlier freundlicher
    clever klug | cleverer klüger                           famous berühmt | more berühmter
    small klein | smaller kleiner                       big groß | bigger größer
    new neu | newer neuer                               beautiful schön | more schöner
    expensive teuer | more teurer                       cheap billig | cheaper billiger
    red rot | -                                         blue blau | -
    green grün | -                                      black schwarz | -
    white weiß | -                                      brown braun | -
    hot heiß | hotter heißer                            cold kalt | colder kälter
    fresh frisch | fresher frischer                     sweet süß | sweeter süßer
    good gut | better besser                            long lang | longer länger
    short kurz | shorter kürzer                         interesting interessant | more interessanter
    boring langweilig | more langweiliger               difficult schwierig | more schwieriger
    clean sauber | cleaner sauberer                     dirty schmutzig | -
    fast schnell | faster schneller                     slow langsam | slower langsamer
    heavy schwer | heavier schwerer                     quiet ruhig | quieter ruhiger
    modern modern | more moderner                       empty leer | -
    tired müde | -                                      hungry hungrig | -
    thirsty durstig | -                                 ill krank | -
    happy glücklich | happier glücklicher               sad traurig | -
"""


def _read_adjectives() -> dict[str, Adjective]:
    """The table above by English form."""
    adjectives = {}
    cells = (cell for line in _ADJECTIVES.strip().splitlines() for cell in line.replace(" | ", "|").split("  ") if cell)
    for cell in cells:
        pair, comparatives = cell.strip().split("|")
        english, german = pair.split()
        english_comparative, _, german_comparative = comparatives.strip("-").partition(" ")
        if english_comparative == "more":
            english_comparative = f"more {english}"
        adjectives[english] = Adjective(english, german, english_comparative, german_comparative)
    return adjectives


ADJECTIVES = _read_adjectives()


def _adjectives(names: str) -> tuple[Adjective, ...]:
    return tuple(ADJECTIVES[name] for name in names.split())


# What may be said of a thing of each kind, before the noun and after "is".
ADJECTIVES_OF_KIND: dict[str, tuple[Adjective, ...]] = {
    "adult": _adjectives("old young friendly famous"),
    "acquaintance": _adjectives("old young friendly famous"),
    "young": _adjectives("young friendly clever"),
    "child": _adjectives("little friendly clever"),
    "parent": _adjectives("friendly clever"),
    "sibling": _adjectives("little friendly clever"),
    "animal": _adjectives("big small old young black brown white"),
    "fruit": _adjectives("sweet fresh good"),
    "vegetable": _adjectives("fresh good"),
    "soup": _adjectives("hot good fresh"),
    "cake": _adjectives("sweet good fresh"),
    "food": _adjectives("fresh good cheap expensive"),
    "hot drink": _adjectives("hot good"),
    "cold drink": _adjectives("cold fresh"),
    "clothes": _adjectives("new old red blue green black white brown beautiful expensive cheap"),
    "dress": _adjectives("new old red blue green black white beautiful expensive cheap"),
    "shoe": _adjectives("new old red blue black white brown beautiful expensive cheap"),
    "bag": _adjectives("new old red blue green black big small"),
    "key": _adjectives("new old small big"),
    "toy": _adjectives("new old red blue"),
    "box": _adjectives("big small heavy empty"),
    "device": _adjectives("new old expensive cheap modern"),
    "lamp": _adjectives("new old big small white green"),
    "plant": _adjectives("beautiful big small"),
    "picture": _adjectives("beautiful big small old new"),
    "furniture": _adjectives("new old big small brown white heavy"),
    "vehicle": _adjectives("new old red blue black fast expensive cheap"),
    "transport": _adjectives("fast slow big old modern"),
    "text": _adjectives("long short interesting boring good"),
    "newspaper": _adjectives("old new interesting boring good"),
    "question": _adjectives("difficult long short interesting"),
    "song": _adjectives("beautiful old new short"),
    "dishes": _adjectives("clean dirty small big white"),
    "bottle": _adjectives("small big empty green"),
    "opening": _adjectives("big small old new"),
    "room": _adjectives("big small clean quiet"),
    "building": _adjectives("big small old new modern beautiful"),
    "public building": _adjectives("big small old new modern beautiful"),
    "open place": _adjectives("big small beautiful quiet"),
    "event": _adjectives("long short interesting boring"),
    "language": (),
    "time": (),
}

# Passing states of people: only after "is", and the reasons given in because-clauses.
STATES = _adjectives("tired hungry thirsty ill happy sad")
