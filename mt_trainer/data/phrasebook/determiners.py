"""What stands before adjective and noun: articles, possessives, numbers, measures, and which of them a noun takes."""

from dataclasses import dataclass
from functools import cache
from typing import Literal

from mt_trainer.data.phrasebook import german as de
from mt_trainer.data.phrasebook.german import Case
from mt_trainer.data.phrasebook.nouns import Noun
from mt_trainer.data.phrasebook.times import english_number, german_number

Group = Literal[
    "definite", "demonstrative", "possessive", "indefinite", "bare", "number", "measure", "negative", "question"
]


@dataclass(frozen=True, eq=False, slots=True)
class Determiner:
    """What stands before adjective and noun.

    ``german`` is a stem that takes the endings of ``pattern``; for "fixed" it is a whole word or nothing, for
    "measure" the nominative of its own little noun phrase (eine Tasse) and ``german_dative`` the dative.
    """

    english: str
    german: str
    pattern: Literal["article", "der-word", "ein-word", "fixed", "measure"]
    group: Group
    is_plural: bool = False
    german_dative: str = ""

    def german_form(self, case: Case, column: de.Column) -> str:
        """The declined word, or "" for no word."""
        match self.pattern:
            case "article":
                return de.DEFINITE_ARTICLE[case, column]
            case "der-word":
                return self.german + de.DER_WORD_ENDINGS[case, column]
            case "ein-word":
                return self.german + de.EIN_WORD_ENDINGS[case, column]
            case "fixed":
                return self.german
            case "measure":
                return self.german_dative if case == "dative" else self.german

    @property
    def adjective_class(self) -> de.AdjectiveClass:
        """Which endings the adjective after it takes."""
        match self.pattern:
            case "article" | "der-word":
                return "weak"
            case "ein-word":
                return "mixed"
            case "fixed" | "measure":
                return "strong"


_POSSESSIVES = (("my", "mein"), ("your", "dein"), ("his", "sein"), ("her", "ihr"), ("our", "unser"))

THE = Determiner("the", "", "article", "definite")
THE_PLURAL = Determiner("the", "", "article", "definite", is_plural=True)
THIS = Determiner("this", "dies", "der-word", "demonstrative")
THESE = Determiner("these", "dies", "der-word", "demonstrative", is_plural=True)
WHICH = Determiner("which", "welch", "der-word", "question")
A = Determiner("a", "ein", "ein-word", "indefinite")
NOT_A = Determiner("a", "kein", "ein-word", "negative")
NOT_ANY = Determiner("any", "kein", "ein-word", "negative", is_plural=True)
NOT_ANY_MASS = Determiner("any", "kein", "ein-word", "negative")
NOT_BARE = Determiner("", "kein", "ein-word", "negative")
NOT_BARE_PLURAL = Determiner("", "kein", "ein-word", "negative", is_plural=True)
BARE = Determiner("", "", "fixed", "bare")
BARE_PLURAL = Determiner("", "", "fixed", "bare", is_plural=True)
HOW_MANY = Determiner("how many", "wie viele", "fixed", "question", is_plural=True)
MINE = tuple(Determiner(english, german, "ein-word", "possessive") for english, german in _POSSESSIVES)
MINE_PLURAL = tuple(Determiner(english, german, "ein-word", "possessive", True) for english, german in _POSSESSIVES)
NUMBERS = tuple(Determiner(english_number(n), german_number(n), "fixed", "number", True) for n in range(2, 7))
FEW = NUMBERS[:3]
CUP_OF = Determiner("a cup of", "eine Tasse", "measure", "measure", german_dative="einer Tasse")
GLASS_OF = Determiner("a glass of", "ein Glas", "measure", "measure", german_dative="einem Glas")

KINSHIP = frozenset({"parent", "sibling"})
_NOT_OWNED = frozenset(
    {"adult", "young", "child", "question", "public building", "open place", "transport", "event", "language", "time"}
    | {"fruit", "vegetable", "soup", "cake", "food", "hot drink", "cold drink"}
)

# What a verb takes: "single" one thing (or a pair of shoes), "pointed" what one can point at, "specific" also what is
# owned, "liked" that or a whole kind, "unowned" anything not owned, "generic" nothing in particular.
Takes = Literal["single", "pointed", "specific", "liked", "unowned", "generic", "any"]
_TAKEN: dict[Takes, frozenset[Group]] = {
    "single": frozenset({"definite", "demonstrative", "possessive", "indefinite", "bare"}),
    "pointed": frozenset({"definite", "demonstrative"}),
    "specific": frozenset({"definite", "demonstrative", "possessive"}),
    "liked": frozenset({"definite", "demonstrative", "possessive", "bare"}),
    "unowned": frozenset({"definite", "demonstrative", "indefinite", "bare", "number", "measure"}),
    "generic": frozenset({"indefinite", "bare", "number", "measure"}),
    "any": frozenset({"definite", "demonstrative", "possessive", "indefinite", "bare", "number", "measure"}),
}


@cache
def determiners(noun: Noun, takes: Takes) -> tuple[tuple[Determiner, ...], ...]:
    """The determiners that go with the noun, in groups that are equally frequent."""
    if noun.kind in KINSHIP and takes == "generic":
        groups = [(A,), FEW]
    elif noun.kind in KINSHIP:
        groups = [MINE, MINE, MINE_PLURAL] if noun.english_plural else [MINE]
    elif noun.kind == "language":
        groups = [(BARE,)]
    elif noun.is_mass:
        measures = {"hot drink": (CUP_OF,), "cold drink": (GLASS_OF,)}.get(noun.kind, ())
        groups = [(THE,), (THIS,), MINE, (BARE,), (BARE,), *(measures,) * 4]
    elif not noun.english_plural:
        groups = [(THE,), (THIS,), MINE, (A,)]
    elif noun.kind == "shoe":
        groups = [(THE_PLURAL,), (THESE,), MINE_PLURAL, (BARE_PLURAL,)]
    else:
        groups = [(THE,), (THE,), (THIS,), MINE, (A,), (A,), (A,), (THE_PLURAL,)]
        groups += [(THESE,), MINE_PLURAL, (BARE_PLURAL,), NUMBERS]
    accepted = _TAKEN[takes]
    if noun.kind in _NOT_OWNED:
        accepted = accepted - {"possessive"}
    if takes == "single" and noun.kind != "shoe":
        groups = [group for group in groups if group and not group[0].is_plural]
    return tuple(group for group in groups if group and group[0].group in accepted)
