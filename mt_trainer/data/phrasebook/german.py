"""German word forms: articles, adjective endings, noun cases, verb conjugation.

The tables are the ones of a school grammar. Columns are the three genders of the singular and the common plural;
rows are the four cases; ``-`` is the empty ending.
"""

from dataclasses import dataclass
from typing import Literal

Case = Literal["nominative", "accusative", "dative", "genitive"]
Gender = Literal["m", "f", "n"]
Column = Literal["m", "f", "n", "plural"]
CASES: tuple[Case, ...] = ("nominative", "accusative", "dative", "genitive")
COLUMNS: tuple[Column, ...] = ("m", "f", "n", "plural")

Table = dict[tuple[Case, Column], str]


def _table(text: str) -> Table:
    """Four rows (cases) of four cells (m, f, n, plural) as a mapping from (case, column) to the cell."""
    cells = [["" if cell == "-" else cell for cell in line.split()] for line in text.strip().splitlines()]
    return {(case, column): cells[i][j] for i, case in enumerate(CASES) for j, column in enumerate(COLUMNS)}


#                           m    f    n   plural
DEFINITE_ARTICLE = _table("""
                           der  die  das  die
                           den  die  das  die
                           dem  der  dem  den
                           des  der  des  der   """)

# The relative pronouns of these two cases are the articles: der Mann, den sie besucht.
RELATIVE_PRONOUN = {(case, column): DEFINITE_ARTICLE[case, column] for case in CASES[:2] for column in COLUMNS}

# dieser, jeder, welcher: the endings of the article
DER_WORD_ENDINGS = _table("""
                           er   e    es   e
                           en   e    es   e
                           em   er   em   en
                           es   er   es   er    """)

# ein, kein, mein, dein, sein, ihr, unser: no ending in three places
EIN_WORD_ENDINGS = _table("""
                           -    e    -    e
                           en   e    -    e
                           em   er   em   en
                           es   er   es   er    """)

# The adjective shows the case only where the word before it does not.
# weak: after der, dieser, welcher (das alte Haus)
WEAK_ENDINGS = _table("""
                           e    e    e    en
                           en   e    e    en
                           en   en   en   en
                           en   en   en   en    """)

# mixed: after ein, kein, mein (ein altes Haus)
MIXED_ENDINGS = _table("""
                           er   e    es   en
                           en   e    es   en
                           en   en   en   en
                           en   en   en   en    """)

# strong: after nothing, a number or a measure (kaltes Wasser, zwei alte Häuser)
STRONG_ENDINGS = _table("""
                           er   e    es   e
                           en   e    es   e
                           em   er   em   en
                           en   er   en   er    """)

AdjectiveClass = Literal["weak", "mixed", "strong"]
ADJECTIVE_ENDINGS: dict[AdjectiveClass, Table] = {
    "weak": WEAK_ENDINGS,
    "mixed": MIXED_ENDINGS,
    "strong": STRONG_ENDINGS,
}


def adjective_form(adjective: str, adjective_class: AdjectiveClass, case: Case, column: Column) -> str:
    """The declined adjective; -er after a vowel sound loses its e (teuer, teure)."""
    stem = adjective.removesuffix("er") + "r" if adjective.endswith("euer") else adjective
    return stem + ADJECTIVE_ENDINGS[adjective_class][case, column]


@dataclass(frozen=True, eq=False, slots=True)
class GermanNoun:
    """A noun by its three dictionary forms; ``plural`` is empty where none is used."""

    gender: Gender
    singular: str
    genitive: str
    plural: str

    @property
    def is_weak(self) -> bool:
        """Whether it follows the n-declension: masculine with -n or -en in every case but the nominative."""
        return self.gender == "m" and self.genitive == self.plural and self.genitive.endswith("n")

    def form(self, case: Case, *, is_plural: bool) -> str:
        """The noun in a case. Plural datives end in -n (den Kindern) unless the plural ends in -n or -s."""
        if is_plural:
            needs_n = case == "dative" and not self.plural.endswith(("n", "s"))
            return self.plural + "n" if needs_n else self.plural
        if case == "genitive":
            return self.genitive
        return self.genitive if self.is_weak and case != "nominative" else self.singular


# The fused forms that are the rule: "in dem Garten" becomes "im Garten".
CONTRACTIONS = {
    ("in", "dem"): "im",
    ("in", "das"): "ins",
    ("an", "dem"): "am",
    ("zu", "dem"): "zum",
    ("zu", "der"): "zur",
    ("von", "dem"): "vom",
}


def prepositional(preposition: str, noun_phrase: str) -> str:
    """Preposition and noun phrase, fused with the article where German does so."""
    first, _, rest = noun_phrase.partition(" ")
    fused = CONTRACTIONS.get((preposition, first))
    return f"{fused} {rest}" if fused else f"{preposition} {noun_phrase}"


# Persons are numbered in the order ich, du, er (sie, es), wir, sie. The plural "ihr" does not occur in the corpus.
Person = Literal[0, 1, 2, 3, 4]
ICH, DU, ER, WIR, SIE = 0, 1, 2, 3, 4

IRREGULAR_PRESENT = {
    "sein": ("bin", "bist", "ist", "sind", "sind"),
    "haben": ("habe", "hast", "hat", "haben", "haben"),
    "werden": ("werde", "wirst", "wird", "werden", "werden"),
    "wissen": ("weiß", "weißt", "weiß", "wissen", "wissen"),
    "mögen": ("mag", "magst", "mag", "mögen", "mögen"),
    "können": ("kann", "kannst", "kann", "können", "können"),
    "müssen": ("muss", "musst", "muss", "müssen", "müssen"),
    "wollen": ("will", "willst", "will", "wollen", "wollen"),
    "dürfen": ("darf", "darfst", "darf", "dürfen", "dürfen"),
    # The subjunctive forms that the present "should" and "would like" have in German.
    "sollten": ("sollte", "solltest", "sollte", "sollten", "sollten"),
    "möchten": ("möchte", "möchtest", "möchte", "möchten", "möchten"),
}
PRETERITE = {
    "sein": ("war", "warst", "war", "waren", "waren"),
    "haben": ("hatte", "hattest", "hatte", "hatten", "hatten"),
}


@dataclass(frozen=True, eq=False, slots=True)
class GermanVerb:
    """A verb by its dictionary forms.

    ``changed`` is the stem of the du- and er-forms where the vowel changes (sehen: "sieh"). A separable prefix stands
    apart in ``prefix`` and is not part of ``infinitive``; ``participle`` is whole ("angerufen").
    """

    infinitive: str
    participle: str
    changed: str = ""
    prefix: str = ""
    auxiliary: Literal["haben", "sein"] = "haben"

    @property
    def full_infinitive(self) -> str:
        """The dictionary form, prefix in front: "anrufen"."""
        return self.prefix + self.infinitive

    @property
    def infinitive_with_zu(self) -> str:
        """The infinitive with zu, which goes between a separable prefix and the verb: "anzurufen", "zu lesen"."""
        return f"{self.prefix}zu{self.infinitive}" if self.prefix else f"zu {self.infinitive}"

    @property
    def stem(self) -> str:
        """The infinitive without -en or -n (fütter-n)."""
        return self.infinitive[:-2] if self.infinitive.endswith("en") else self.infinitive[:-1]

    def present(self, person: int) -> str:
        """The finite present form without the prefix.

        -e, -st, -t, and the infinitive for both plurals; an e goes between a stem in -t, -d or consonant + n and
        -st or -t (arbeitet, öffnet) unless the vowel changes (lädt); after -s, -ß, -z the s of -st is dropped (liest).
        """
        if self.infinitive in IRREGULAR_PRESENT:
            return IRREGULAR_PRESENT[self.infinitive][person]
        if person in (WIR, SIE):
            return self.infinitive
        if person == ICH:
            return self.stem + "e"
        stem = self.changed or self.stem
        if not self.changed and stem.endswith(("t", "d", "chn", "ffn", "gn")):
            stem += "e"
        if person == ER:
            return stem + "t"
        return stem + ("t" if stem.endswith(("s", "ß", "z")) else "st")

    def imperative(self) -> str:
        """The form addressed to one friend: the bare stem, with i for e (lies), with -e after -t, -d, -n, -er."""
        if self.changed and "e" in self.stem and "i" in self.changed:
            return self.changed
        return self.stem + ("e" if self.stem.endswith(("t", "d", "chn", "er")) else "")
