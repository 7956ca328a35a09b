"""English word forms: the article a/an, -s and -ing, and do-support."""

from dataclasses import dataclass

from mt_trainer.data.phrasebook.german import ER

PRESENT_OF_BE = ("am", "are", "is", "are", "are")  # I, you, he, we, they
PAST_OF_BE = ("was", "were", "was", "were", "were")

DOUBLED_CONSONANT = frozenset({"swim", "get", "put", "travel"})


def indefinite_article(word: str) -> str:
    """Return "an" before a vowel sound, else "a". No word of the lexicon has a silent h or begins like "uniform"."""
    return "an" if word[0] in "aeiou" else "a"


def third_person(verb: str) -> str:
    """The verb after he, she, it. In a verb of several words only the first one is inflected (get up, gets up)."""
    head, space, particle = verb.partition(" ")
    if head == "have":
        head = "has"
    elif head.endswith(("s", "sh", "ch", "x", "o")):
        head += "es"
    elif head.endswith("y") and head[-2] not in "aeiou":
        head = head[:-1] + "ies"
    else:
        head += "s"
    return head + space + particle


def ing_form(verb: str) -> str:
    """The -ing form of the first word: final e is dropped (writing), ie becomes y (lying), some consonants double."""
    head, space, particle = verb.partition(" ")
    if head.endswith("ie"):
        head = head[:-2] + "y"
    elif head.endswith("e") and not head.endswith("ee"):
        head = head[:-1]
    elif head in DOUBLED_CONSONANT:
        head += head[-1]
    return head + "ing" + space + particle


@dataclass(frozen=True, eq=False, slots=True)
class EnglishVerb:
    """A verb by its base and past form, particles and prepositions included ("call", "look for")."""

    base: str
    past: str

    def present(self, person: int) -> str:
        """The simple present."""
        return third_person(self.base) if person == ER else self.base


@dataclass(frozen=True, slots=True)
class EnglishVerbGroup:
    """The verb forms of a clause: ``whole`` in an affirmative statement ("reads"), and ``auxiliary`` with ``rest``
    ("does", "read") where questions and negation separate the two.
    """

    whole: str
    auxiliary: str
    rest: str


def with_auxiliary(auxiliary: str, rest: str) -> EnglishVerbGroup:
    """A group that has an auxiliary in every kind of clause: "is reading", "can read"."""
    return EnglishVerbGroup(f"{auxiliary} {rest}", auxiliary, rest)


def simple_present(verb: EnglishVerb, person: int) -> EnglishVerbGroup:
    """Like "reads", and with do-support "does ... read"."""
    return EnglishVerbGroup(verb.present(person), "does" if person == ER else "do", verb.base)


def simple_past(verb: EnglishVerb) -> EnglishVerbGroup:
    """Like "wrote", and with do-support "did ... write"."""
    return EnglishVerbGroup(verb.past, "did", verb.base)


def progressive(verb: EnglishVerb, person: int) -> EnglishVerbGroup:
    """Like "is reading"."""
    return with_auxiliary(PRESENT_OF_BE[person], ing_form(verb.base))


def have_to(verb: EnglishVerb, person: int) -> EnglishVerbGroup:
    """Like "has to read", and with do-support "does ... have to read"."""
    has = "has" if person == ER else "have"
    return EnglishVerbGroup(f"{has} to {verb.base}", "does" if person == ER else "do", f"have to {verb.base}")


def want_to(verb: EnglishVerb, person: int) -> EnglishVerbGroup:
    """Like "wants to read", and with do-support "does ... want to read"."""
    wants = "wants" if person == ER else "want"
    return EnglishVerbGroup(f"{wants} to {verb.base}", "does" if person == ER else "do", f"want to {verb.base}")
