"""What single lines and pairs show: each trait is found where it is, and not where it is not."""

import pytest

from mt_trainer.data.checking.catalogue import CHECKS
from mt_trainer.data.checking.findings import Observation
from mt_trainer.data.checking.languages import LanguagePair, main_script
from mt_trainer.data.checking.part_traits import PartTraits
from mt_trainer.data.checking.words import LOOKED_AT, features_of

GERMAN, ENGLISH = "Der Hund ist nicht auf der Straße.", "The dog is not on the street."


def traits(
    *pairs: tuple[str, str], src_lang: str = "en", tgt_lang: str = "de"
) -> dict[tuple[str, str | None], list[int]]:
    """The rows of everything that was found, by name and side."""
    part = PartTraits(src_lang=src_lang, tgt_lang=tgt_lang, max_characters=1000)
    for row, pair in enumerate(pairs):
        part.add(row, *pair)
    observations: list[Observation] = part.observations()
    assert {each.name for each in observations} <= CHECKS.keys()
    return {(each.name, each.side): each.tally.rows for each in observations if each.tally.count}


def test_ordinary_text_shows_nothing() -> None:
    assert traits((ENGLISH, GERMAN), ("Good day\tto you!", "Guten Tag – 20 °C, „so“!")) == {}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("control", "a\x07b"),
        ("control", "a\x1bb"),
        ("control", "a\x9fb"),
        ("replacement", "Stra\ufffde"),
        *[("line_separator", f"one{each}two") for each in "\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"],
        *[("zero_width", f"one{each}two") for each in "\u200b\u200c\u200d\u2060\ufeff\xad"],
        *[("bidirectional", f"one{each}two") for each in "\u200e\u200f\u202a\u202e\u2066\u2069"],
        ("not_nfc", "Stra\u0308sse"),
        ("tokenised", "He goes ."),
        ("tokenised", "Yes , he goes."),
        ("tokenised", "It 's here."),
        ("tokenised", "They do n't go."),
        ("tokenised", "a well @-@ known man"),
        ("tokenised", "it&apos;s here"),
        ("tokenised", "un@@ known"),
        ("tokenised", "\u2581the \u2581dog"),
        ("markup", "a <b>bold</b> word"),
        ("markup", "a <br/> word"),
        ("markup", "fish &amp; chips"),
        ("markup", "a &#8211; b"),
        ("lower_cased", "the dog is here."),
        ("long", "Word " * 201),
    ],
)
def test_a_trait_of_a_line_is_found_on_its_side(name: str, text: str) -> None:
    plain = ("A house", "Ein Haus")
    found = traits(plain, (text, "Etwas anderes"), plain, ("Something else", text))
    assert found[name, "src"] == [1]
    assert found[name, "tgt"] == [3]


@pytest.mark.parametrize("text", ["a < b and c > d", "I'd say 'tis so.", "AT&T & Co.", "1 , 2"])
def test_what_only_resembles_a_trait(text: str) -> None:
    assert ("markup", "src") not in traits((text, "X"))


def test_case_is_counted_among_lines_that_have_any() -> None:
    part = PartTraits(src_lang="en", tgt_lang="zh", max_characters=1000)
    for row, pair in enumerate([("the dog", "狗"), ("The dog", "狗"), ("123", "123")]):
        part.add(row, *pair)
    [src, tgt] = [each for each in part.observations() if each.name == "lower_cased"]
    assert (src.tally.count, src.total, tgt.tally.count, tgt.total) == (1, 2, 0, 0)


def test_blank_sides() -> None:
    part = PartTraits(src_lang="en", tgt_lang="de", max_characters=1000)
    for row, pair in enumerate([("a", ""), (" ", "\u3000"), ("\u2028", "x"), ("a", "x")]):
        part.add(row, *pair)
    [blank] = [each for each in part.observations() if each.name == "blank"]
    assert (blank.tally.rows, blank.detail) == ([0, 1, 2], "2 on one side only")


def test_identical_and_nearly_identical_sides() -> None:
    near = "Visit the big new house at http example org today"
    found = traits((ENGLISH, ENGLISH), ("OK", "OK"), (near, f"{near} please"), (ENGLISH, GERMAN))
    assert found["identical", None] == [0]
    assert found["near_copy", None] == [2]


def test_swapped_and_wrong_languages() -> None:
    found = traits(
        (ENGLISH, GERMAN), (GERMAN, ENGLISH), (ENGLISH, "The dog was on the street."), (GERMAN, f"{GERMAN} Ja")
    )
    assert found["swapped", None] == [1]
    assert found["wrong_language", "tgt"] == [2]
    assert ("wrong_language", "src") not in found


def test_languages_are_told_only_by_words_that_one_of_them_has() -> None:
    pair = LanguagePair("en_GB", "de-AT")
    assert pair.is_known
    assert pair.side_of(features_of(ENGLISH).words) == "src"
    assert pair.side_of(features_of(GERMAN).words) == "tgt"
    assert pair.side_of(features_of("Berlin in 1990, was?").words) is None
    assert not LanguagePair("en", "xx").is_known
    assert not LanguagePair("en", "en").is_known


def test_scripts() -> None:
    texts = ["dog 12", "12 !", "собака", "собака dog", "狗在街上", "いぬ犬は", "كلب", "σκύλος", "कुत्ता", "개", "ＤＯＧ"]
    wanted = ["Latin", "", "Cyrillic", "Cyrillic", "Han", "Kana", "Arabic", "Greek", "Devanagari", "Hangul", "Latin"]
    assert [main_script(text) for text in texts] == wanted


def test_an_unexpected_script_and_sides_swapped_by_script() -> None:
    russian = "Собака на улице."
    found = traits((ENGLISH, russian), (russian, ENGLISH), (ENGLISH, "Sobaka na ulitse."), tgt_lang="ru")
    assert found["swapped", None] == [1]
    assert found["script", "tgt"] == [2]
    # Without knowing the languages the commonest script is the expected one.
    found = traits((ENGLISH, russian), (ENGLISH, russian), (russian, russian[:-1]), src_lang="x", tgt_lang="y")
    assert found["script", "src"] == [2]


def test_lopsided_pairs_are_those_beyond_the_typical_ratio() -> None:
    ordinary = [("x" * 40, "y" * 80)] * 20
    found = traits(*ordinary, ("x" * 40, "y" * 10), ("x" * 5, "y" * 10), ("x" * 40, "y" * 400))
    assert found["length_ratio", None] == [20, 22]


def test_of_a_very_long_line_only_the_beginning_is_looked_at() -> None:
    assert ("control", "src") not in traits(("x" * LOOKED_AT + "\x07", "y"))
    assert len(features_of("a b " * LOOKED_AT).words) == 2
