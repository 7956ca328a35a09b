"""What a sentence pair can show, and the pair that knows it."""

from enum import StrEnum
from typing import NamedTuple


class Phenomenon(StrEnum):
    """A point of grammar; the value says it in words, with an example."""

    ADJECTIVE_WEAK = "adjective after der or dieser: das alte Haus"
    ADJECTIVE_MIXED = "adjective after ein, kein or mein: ein altes Haus"
    ADJECTIVE_STRONG = "adjective without an article: kaltes Wasser"
    PLURAL = "plural noun: die Bücher"
    POSSESSIVE = "possessive determiner: unser Lehrer"
    NUMBER = "number in words: zweiundvierzig"
    MEASURE = "measure and substance: eine Tasse heißen Tee"
    N_DECLENSION = "masculine noun with -n outside the nominative: den Jungen"
    GENITIVE = "possessor in the genitive: das Auto meiner Tante"
    DATIVE_OBJECT = "verb with a dative: Sie hilft ihm."
    TWO_OBJECTS = "dative and accusative: Er gibt dem Kind einen Ball."
    PREPOSITIONAL_OBJECT = "verb with a preposition: Sie wartet auf den Bus."
    TWO_WAY_PREPOSITION = "auf dem Tisch (where), auf den Tisch (where to)"
    CONTRACTION = "preposition fused with the article: im Garten, zum Bahnhof"
    INVERSION = "something else before the verb, the subject after it: Heute liest Anna."
    SEPARABLE_VERB = "verb with a separable prefix: Er ruft an."
    MODAL_VERB = "modal verb, infinitive at the end: Sie muss arbeiten."
    PERFECT_WITH_HABEN = "Er hat gelesen."
    PERFECT_WITH_SEIN = "Sie ist gekommen."
    PRETERITE = "past of sein and haben: Er war krank."
    FUTURE = "Sie wird lesen."
    NEGATION_NICHT = "Sie liest das Buch nicht."
    NEGATION_KEIN = "Sie liest kein Buch."
    YES_NO_QUESTION = "verb first: Liest sie?"
    WH_QUESTION = "question word first: Was liest sie?"
    BECAUSE = "weil, verb last"
    THAT = "dass, verb last"
    WHETHER = "ob, verb last"
    IF = "wenn, verb last, main verb after the comma"
    ALTHOUGH = "obwohl, verb last"
    WHILE = "während, verb last"
    INDIRECT_QUESTION = "Ich weiß, wo sie wohnt."
    RELATIVE_CLAUSE = "das Buch, das sie liest"
    INFINITIVE_WITH_ZU = "Er hat vergessen, sie anzurufen."
    IMPERATIVE = "Lies bitte den Brief."
    COMPARISON = "größer als, so groß wie"
    PROFESSION = "no article: Sie ist Ärztin."
    EXISTENCE = "es gibt"
    CLOCK_TIME = "halb acht, Viertel vor neun"
    DATE = "am dritten Mai"


class Example(NamedTuple):
    """A sentence in both languages and the phenomena its German side shows."""

    english: str
    german: str
    phenomena: frozenset[Phenomenon]
