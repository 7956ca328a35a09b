"""The phrasebook's word forms in both languages against hand-written tables."""

import pytest

from mt_trainer.data.phrasebook import determiners as det
from mt_trainer.data.phrasebook import times
from mt_trainer.data.phrasebook.adjectives import ADJECTIVES
from mt_trainer.data.phrasebook.clauses import german_verb_group
from mt_trainer.data.phrasebook.determiners import Determiner
from mt_trainer.data.phrasebook.english import indefinite_article, ing_form, third_person
from mt_trainer.data.phrasebook.german import CASES, GermanVerb, prepositional
from mt_trainer.data.phrasebook.modes import Mode
from mt_trainer.data.phrasebook.nouns import NOUNS
from mt_trainer.data.phrasebook.phrases import NAMES, noun_phrase, possessed
from mt_trainer.data.phrasebook.verbs import VERBS

MY, _, _, _, OUR = det.MINE
MY_PLURAL = det.MINE_PLURAL[0]
TWO = det.NUMBERS[0]

# noun, determiner, adjective: nominative, accusative, dative, genitive
DECLENSIONS: list[tuple[str, Determiner, str, str]] = [
    ("man", det.THE, "old", "der alte Mann, den alten Mann, dem alten Mann, des alten Mannes"),
    ("woman", det.THE, "old", "die alte Frau, die alte Frau, der alten Frau, der alten Frau"),
    ("house", det.THE, "old", "das alte Haus, das alte Haus, dem alten Haus, des alten Hauses"),
    ("man", det.THE_PLURAL, "old", "die alten Männer, die alten Männer, den alten Männern, der alten Männer"),
    ("dog", det.A, "black", "ein schwarzer Hund, einen schwarzen Hund, einem schwarzen Hund, eines schwarzen Hundes"),
    ("cat", det.A, "black", "eine schwarze Katze, eine schwarze Katze, einer schwarzen Katze, einer schwarzen Katze"),
    ("horse", det.A, "young", "ein junges Pferd, ein junges Pferd, einem jungen Pferd, eines jungen Pferdes"),
    ("boy", det.THIS, "", "dieser Junge, diesen Jungen, diesem Jungen, dieses Jungen"),
    ("student", det.A, "", "ein Student, einen Studenten, einem Studenten, eines Studenten"),
    ("neighbour", det.THESE, "", "diese Nachbarn, diese Nachbarn, diesen Nachbarn, dieser Nachbarn"),
    ("aunt", MY, "clever", "meine kluge Tante, meine kluge Tante, meiner klugen Tante, meiner klugen Tante"),
    ("uncle", OUR, "clever", "unser kluger Onkel, unseren klugen Onkel, unserem klugen Onkel, unseres klugen Onkels"),
    ("shoe", MY_PLURAL, "new", "meine neuen Schuhe, meine neuen Schuhe, meinen neuen Schuhen, meiner neuen Schuhe"),
    ("car", det.NOT_A, "expensive", "kein teures Auto, kein teures Auto, keinem teuren Auto, keines teuren Autos"),
    ("apple", det.NOT_ANY, "sweet", "keine süßen Äpfel, keine süßen Äpfel, keinen süßen Äpfeln, keiner süßen Äpfel"),
    ("coffee", det.BARE, "hot", "heißer Kaffee, heißen Kaffee, heißem Kaffee, heißen Kaffees"),
    ("milk", det.BARE, "cold", "kalte Milch, kalte Milch, kalter Milch, kalter Milch"),
    ("water", det.BARE, "cold", "kaltes Wasser, kaltes Wasser, kaltem Wasser, kalten Wassers"),
    ("car", TWO, "expensive", "zwei teure Autos, zwei teure Autos, zwei teuren Autos, zwei teurer Autos"),
    ("tree", det.WHICH, "", "welcher Baum, welchen Baum, welchem Baum, welches Baumes"),
]  # fmt: skip


@pytest.mark.parametrize(("noun", "determiner", "adjective", "forms"), DECLENSIONS)
def test_determiner_adjective_and_noun_agree(noun: str, determiner: Determiner, adjective: str, forms: str) -> None:
    phrase = noun_phrase(NOUNS[noun], determiner, ADJECTIVES[adjective] if adjective else None)
    assert ", ".join((phrase.nominative, phrase.accusative, phrase.dative, phrase.genitive)) == forms


def test_every_noun_declines_in_every_case_without_gaps() -> None:
    for noun in NOUNS.values():
        for case in CASES:
            assert noun.german.form(case, is_plural=False)
            assert bool(noun.german.form(case, is_plural=True).strip("n")) == bool(noun.english_plural)


def test_a_measure_takes_the_case_and_the_substance_after_it_too() -> None:
    tea = noun_phrase(NOUNS["tea"], det.CUP_OF, ADJECTIVES["hot"])
    assert (tea.english, tea.nominative) == ("a cup of hot tea", "eine Tasse heißer Tee")
    assert (tea.accusative, tea.dative) == ("eine Tasse heißen Tee", "einer Tasse heißem Tee")


def test_owners_stand_in_the_genitive_and_names_in_front() -> None:
    boy = noun_phrase(NOUNS["boy"], det.THIS, ADJECTIVES["little"])
    his = possessed(boy, NOUNS["dog"])
    assert (his.english, his.accusative) == ("this little boy's dog", "den Hund dieses kleinen Jungen")
    anna = next(name for name in NAMES if name.english == "Anna")
    hers = possessed(anna, NOUNS["coat"], ADJECTIVES["red"])
    assert (hers.english, hers.accusative) == ("Anna's red coat", "Annas roten Mantel")


@pytest.mark.parametrize(
    ("verb", "forms"),
    [
        (GermanVerb("spielen", "gespielt"), "spiele spielst spielt spielen spielen"),
        (GermanVerb("arbeiten", "gearbeitet"), "arbeite arbeitest arbeitet arbeiten arbeiten"),
        (GermanVerb("zeichnen", "gezeichnet"), "zeichne zeichnest zeichnet zeichnen zeichnen"),
        (GermanVerb("lernen", "gelernt"), "lerne lernst lernt lernen lernen"),
        (GermanVerb("tanzen", "getanzt"), "tanze tanzt tanzt tanzen tanzen"),
        (GermanVerb("füttern", "gefüttert"), "füttere fütterst füttert füttern füttern"),
        (GermanVerb("lesen", "gelesen", "lies"), "lese liest liest lesen lesen"),
        (GermanVerb("essen", "gegessen", "iss"), "esse isst isst essen essen"),
        (GermanVerb("waschen", "gewaschen", "wäsch"), "wasche wäschst wäscht waschen waschen"),
        (GermanVerb("laden", "eingeladen", "läd", "ein"), "lade lädst lädt laden laden"),
        (GermanVerb("haben", "gehabt"), "habe hast hat haben haben"),
    ],
)
def test_verbs_are_conjugated(verb: GermanVerb, forms: str) -> None:
    assert [verb.present(person) for person in range(5)] == forms.split()


IMPERATIVES = {
    "read": "lies",
    "eat": "iss",
    "give": "gib",
    "help": "hilf",
    "throw away": "wirf",
    "wash": "wasch",
    "sleep": "schlaf",
    "bring": "bring",
    "repair": "repariere",
    "wait for": "warte",
    "draw": "zeichne",
    "feed": "füttere",
    "invite": "lade",
}


@pytest.mark.parametrize(("english", "german"), IMPERATIVES.items())
def test_imperatives(english: str, german: str) -> None:
    assert {verb.german.imperative() for verb in VERBS if verb.english.base == english} == {german}


def test_a_separable_prefix_leaves_the_verb_and_comes_back() -> None:
    call = GermanVerb("rufen", "angerufen", prefix="an")
    assert german_verb_group(call, Mode.NOW, 2) == ("ruft", "an", "anruft")
    assert german_verb_group(call, Mode.PAST, 2) == ("hat", "angerufen", "angerufen hat")
    assert german_verb_group(call, Mode.MUST, 2) == ("muss", "anrufen", "anrufen muss")
    assert call.infinitive_with_zu == "anzurufen"


@pytest.mark.parametrize(
    ("number", "english", "german", "english_ordinal", "german_ordinal"),
    [
        (1, "one", "eins", "first", "erste"),
        (3, "three", "drei", "third", "dritte"),
        (7, "seven", "sieben", "seventh", "siebte"),
        (8, "eight", "acht", "eighth", "achte"),
        (12, "twelve", "zwölf", "twelfth", "zwölfte"),
        (16, "sixteen", "sechzehn", "sixteenth", "sechzehnte"),
        (20, "twenty", "zwanzig", "twentieth", "zwanzigste"),
        (21, "twenty-one", "einundzwanzig", "twenty-first", "einundzwanzigste"),
        (30, "thirty", "dreißig", "thirtieth", "dreißigste"),
        (77, "seventy-seven", "siebenundsiebzig", "seventy-seventh", "siebenundsiebzigste"),
    ],
)
def test_numbers(number: int, english: str, german: str, english_ordinal: str, german_ordinal: str) -> None:
    assert (times.english_number(number), times.german_number(number)) == (english, german)
    assert (times.english_ordinal(number), times.german_ordinal(number)) == (english_ordinal, german_ordinal)


def test_clock_times_and_dates() -> None:
    clock = {time.english: time.german for time in times.CLOCK_TIMES}
    assert len(clock) == 12 * 10 == len(set(clock.values()))
    assert clock["one o'clock"] == "ein Uhr"
    assert clock["quarter past one"] == "Viertel nach eins"
    assert clock["half past seven"] == "halb acht"
    assert clock["half past twelve"] == "halb eins"
    assert clock["twenty to one"] == "zwanzig vor eins"
    assert len(times.DATES) == 365
    assert [(time.english, time.german) for time in times.ON_DATES if "sixteenth of May" in time.english] == [
        ("on the sixteenth of May", "am sechzehnten Mai")
    ]


def test_prepositions_fuse_with_the_article_only() -> None:
    assert prepositional("in", "dem kleinen Garten") == "im kleinen Garten"
    assert prepositional("zu", "der Schule") == "zur Schule"
    assert prepositional("in", "diesem Garten") == "in diesem Garten"
    assert prepositional("auf", "den Tisch") == "auf den Tisch"


def test_english_forms() -> None:
    assert [third_person(verb) for verb in ("read", "go", "wash", "get up", "buy", "cry", "have")] == [
        "reads", "goes", "washes", "gets up", "buys", "cries", "has"
    ]  # fmt: skip
    assert [ing_form(verb) for verb in ("read", "write", "get up", "swim", "lie", "travel", "see")] == [
        "reading", "writing", "getting up", "swimming", "lying", "travelling", "seeing"
    ]  # fmt: skip
    assert [indefinite_article(word) for word in ("egg", "old", "big", "umbrella")] == ["an", "an", "a", "an"]
