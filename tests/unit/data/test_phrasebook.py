"""The phrasebook corpus: sentences worked by hand, word order, splits and coverage as properties of all examples."""

import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import get_args

import pytest

from mt_trainer.data.phrasebook import Example, Phenomenon, Split, phrasebook_examples, phrasebook_pairs, times
from mt_trainer.data.phrasebook.clauses import german_verb_group
from mt_trainer.data.phrasebook.german import IRREGULAR_PRESENT, PRETERITE
from mt_trainer.data.phrasebook.modes import Mode
from mt_trainer.data.phrasebook.verbs import VERBS

P = Phenomenon
SPLITS: tuple[Split, ...] = get_args(Split)
SIZES = {"test": 1000, "dev": 1000, "train": 70_000}


@pytest.fixture(scope="module")
def corpus() -> dict[Split, list[Example]]:
    return {split: list(phrasebook_examples(split)) for split in SPLITS}


@pytest.fixture(scope="module")
def everything(corpus: dict[Split, list[Example]]) -> list[Example]:
    return [example for split in SPLITS for example in corpus[split]]


# Sentences of the corpus, translated by hand; each shows its phenomenon.
GOLD: list[tuple[Phenomenon, str, str]] = [
    (P.ADJECTIVE_WEAK, "You are turning on the old radio.", "Du schaltest das alte Radio ein."),
    (P.ADJECTIVE_WEAK, "Last year they found the white dog.", "Letztes Jahr haben sie den weißen Hund gefunden."),
    (P.ADJECTIVE_MIXED, "Peter drew a black bird.", "Peter hat einen schwarzen Vogel gezeichnet."),
    (P.ADJECTIVE_MIXED, "What does his friendly grandmother need?", "Was braucht seine freundliche Großmutter?"),
    (P.ADJECTIVE_STRONG, "She sometimes eats fresh eggs.", "Sie isst manchmal frische Eier."),
    (P.ADJECTIVE_STRONG, "They are drawing white birds in the garden.", "Sie zeichnen im Garten weiße Vögel."),
    (P.PLURAL, "These hotels belong to me.", "Diese Hotels gehören mir."),
    (P.PLURAL, "The man is visiting these teachers now.", "Der Mann besucht jetzt diese Lehrer."),
    (P.POSSESSIVE, "Our father is waiting for the letter.", "Unser Vater wartet auf den Brief."),
    (P.POSSESSIVE, "The big key belongs to my sister.", "Der große Schlüssel gehört meiner Schwester."),
    (P.NUMBER, "Julia is fifty-four years old.", "Julia ist vierundfünfzig Jahre alt."),
    (P.NUMBER, "The big lamp costs ninety-six euros.", "Die große Lampe kostet sechsundneunzig Euro."),
    (P.MEASURE, "Your mother is drinking a glass of juice.", "Deine Mutter trinkt ein Glas Saft."),
    (P.MEASURE, "Every Monday Martin drinks a cup of coffee.", "Jeden Montag trinkt Martin eine Tasse Kaffee."),
    (P.N_DECLENSION, "Laura would like to visit the neighbour.", "Laura möchte den Nachbarn besuchen."),
    (P.N_DECLENSION, "This student's television is very modern.", "Der Fernseher dieses Studenten ist sehr modern."),
    (P.GENITIVE, "My grandfather's dog is too young.", "Der Hund meines Großvaters ist zu jung."),
    (P.GENITIVE, "Maria's bird is not black.", "Marias Vogel ist nicht schwarz."),
    (P.DATIVE_OBJECT, "Does the television belong to Anna?", "Gehört der Fernseher Anna?"),
    (P.DATIVE_OBJECT, "The big key belongs to my sister.", "Der große Schlüssel gehört meiner Schwester."),
    (P.TWO_OBJECTS, "Please send the teachers the report.", "Schick bitte den Lehrern den Bericht."),
    (P.TWO_OBJECTS, "Is my father showing Peter a car?", "Zeigt mein Vater Peter ein Auto?"),
    (P.PREPOSITIONAL_OBJECT, "Who is he thinking of?", "An wen denkt er?"),
    (P.PREPOSITIONAL_OBJECT, "My brother is not thinking of Anna today.", "Mein Bruder denkt heute nicht an Anna."),
    (P.TWO_WAY_PREPOSITION, "This bottle is standing next to the radio.", "Diese Flasche steht neben dem Radio."),
    (P.TWO_WAY_PREPOSITION, "Julia is putting our cup on your table.", "Julia stellt unsere Tasse auf deinen Tisch."),
    (P.CONTRACTION, "In the village there is a restaurant.", "Im Dorf gibt es ein Restaurant."),
    (P.CONTRACTION, "Did Laura walk to the library on Friday?", "Ist Laura am Freitag zur Bibliothek gegangen?"),
    (P.INVERSION, "On Friday we have to visit Julia.", "Am Freitag müssen wir Julia besuchen."),
    (P.INVERSION, "Every day Peter and Anna help you.", "Jeden Tag helfen Peter und Anna dir."),
    (P.SEPARABLE_VERB, "The girl who is inviting Anna is hungry.", "Das Mädchen, das Anna einlädt, ist hungrig."),
    (P.SEPARABLE_VERB, "You are turning on the old radio.", "Du schaltest das alte Radio ein."),
    (P.MODAL_VERB, "You should cook this potato.", "Du solltest diese Kartoffel kochen."),
    (P.MODAL_VERB, "What does Peter have to turn on?", "Was muss Peter einschalten?"),
    (P.PERFECT_WITH_HABEN, "Peter drew a black bird.", "Peter hat einen schwarzen Vogel gezeichnet."),
    (P.PERFECT_WITH_HABEN, "Last year they found the white dog.", "Letztes Jahr haben sie den weißen Hund gefunden."),
    (P.PERFECT_WITH_SEIN, "The colleague did not fall asleep.", "Der Kollege ist nicht eingeschlafen."),
    (P.PERFECT_WITH_SEIN, "Where did Laura travel on Wednesday?", "Wohin ist Laura am Mittwoch gereist?"),
    (P.PRETERITE, "They were very ill yesterday.", "Sie waren gestern sehr krank."),
    (P.PRETERITE, "His brother was not thirsty yesterday.", "Sein Bruder war gestern nicht durstig."),
    (P.FUTURE, "Will he look for a young cat?", "Wird er eine junge Katze suchen?"),
    (P.FUTURE, "Which bag will Paul buy on Sunday?", "Welche Tasche wird Paul am Sonntag kaufen?"),
    (P.NEGATION_NICHT, "The picture does not belong to Daniel.", "Das Bild gehört Daniel nicht."),
    (P.NEGATION_NICHT, "We are not feeding this old cat.", "Wir füttern diese alte Katze nicht."),
    (P.NEGATION_KEIN, "She is not an engineer.", "Sie ist keine Ingenieurin."),
    (P.NEGATION_KEIN, "These students should not learn any English.", "Diese Studenten sollten kein Englisch lernen."),
    (P.YES_NO_QUESTION, "Is the village as big as the city?", "Ist das Dorf so groß wie die Stadt?"),
    (P.YES_NO_QUESTION, "Does the television belong to Anna?", "Gehört der Fernseher Anna?"),
    (P.WH_QUESTION, "Where will his uncle travel?", "Wohin wird sein Onkel reisen?"),
    (P.WH_QUESTION, "Who can find a computer?", "Wer kann einen Computer finden?"),
    (P.BECAUSE, "Maria cannot dance because she has to work.", "Maria kann nicht tanzen, weil sie arbeiten muss."),
    (P.BECAUSE, "Peter cannot swim because he has no time.", "Peter kann nicht schwimmen, weil er keine Zeit hat."),
    (P.THAT, "Your son says that I sold the television.", "Dein Sohn sagt, dass ich den Fernseher verkauft habe."),
    (P.THAT, "Your grandfather knows that she lives in Munich.", "Dein Großvater weiß, dass sie in München wohnt."),
    (P.WHETHER, "Do you know whether Daniel came back?", "Weißt du, ob Daniel zurückgekommen ist?"),
    (P.WHETHER, "Can you tell me whether she knows Martin?", "Kannst du mir sagen, ob sie Martin kennt?"),
    (P.IF, "If it rains, the tourist will sleep.", "Wenn es regnet, wird der Tourist schlafen."),
    (P.IF, "If Maria has time today, she can dance.", "Wenn Maria heute Zeit hat, kann sie tanzen."),
    (P.ALTHOUGH, "The teacher is dancing although he is ill.", "Der Lehrer tanzt, obwohl er krank ist."),
    (P.ALTHOUGH, "I am playing although I am tired.", "Ich spiele, obwohl ich müde bin."),
    (P.WHILE, "I am sleeping while they are working.", "Ich schlafe, während sie arbeiten."),
    (P.WHILE, "Peter is playing while you are dancing.", "Peter spielt, während du tanzt."),
    (P.INDIRECT_QUESTION, "I do not know where our brother lives.", "Ich weiß nicht, wo unser Bruder wohnt."),
    (P.INDIRECT_QUESTION, "Can you tell me what Anna is feeding?", "Kannst du mir sagen, was Anna füttert?"),
    (P.RELATIVE_CLAUSE, "The lamp that we found is new.", "Die Lampe, die wir gefunden haben, ist neu."),
    (P.RELATIVE_CLAUSE, "The cupboard that Daniel is buying is small.", "Der Schrank, den Daniel kauft, ist klein."),
    (P.INFINITIVE_WITH_ZU, "You promised to go shopping.", "Du hast versprochen, einzukaufen."),
    (P.INFINITIVE_WITH_ZU, "I promised to wash a car.", "Ich habe versprochen, ein Auto zu waschen."),
    (P.IMPERATIVE, "Please repair an old lamp on Sunday.", "Repariere bitte am Sonntag eine alte Lampe."),
    (P.IMPERATIVE, "Please send the teachers the report.", "Schick bitte den Lehrern den Bericht."),
    (P.COMPARISON, "The horse is not smaller than the dog.", "Das Pferd ist nicht kleiner als der Hund."),
    (P.COMPARISON, "The child is as young as his daughter.", "Das Kind ist so jung wie seine Tochter."),
    (P.PROFESSION, "Is his aunt a baker?", "Ist seine Tante Bäckerin?"),
    (P.PROFESSION, "Paul is a pilot.", "Paul ist Pilot."),
    (P.EXISTENCE, "In our kitchen there is a chair.", "In unserer Küche gibt es einen Stuhl."),
    (P.EXISTENCE, "In the library there is a table.", "In der Bibliothek gibt es einen Tisch."),
    (P.CLOCK_TIME, "It is already twenty past six.", "Es ist schon zwanzig nach sechs."),
    (P.CLOCK_TIME, "The film started at twenty past ten.", "Der Film hat um zwanzig nach zehn angefangen."),
    (P.DATE, "Today is the twenty-first of January.", "Heute ist der einundzwanzigste Januar."),
    (P.DATE, "Julia's birthday is on the eleventh of June.", "Julias Geburtstag ist am elften Juni."),
]  # fmt: skip


def test_sentences_worked_by_hand(everything: list[Example]) -> None:
    # Which sentences are drawn depends on the whole lexicon: whoever changes it chooses new ones for each phenomenon.
    examples = {example.english: example for example in everything}
    for phenomenon, english, german in GOLD:
        assert examples[english].german == german
        assert phenomenon in examples[english].phenomena, english
    assert {phenomenon for phenomenon, _, _ in GOLD} == set(Phenomenon)


def test_sizes_and_pairs(corpus: dict[Split, list[Example]]) -> None:
    assert {split: len(examples) for split, examples in corpus.items()} == SIZES
    assert list(phrasebook_pairs("dev")) == [(example.english, example.german) for example in corpus["dev"]]


def test_no_sentence_occurs_twice_on_either_side_in_any_split(everything: list[Example]) -> None:
    # So the splits are disjoint, and translation is a function in both directions.
    assert len({example.english.lower() for example in everything}) == len(everything)
    assert len({example.german.lower() for example in everything}) == len(everything)


@pytest.mark.parametrize(("split", "least"), [("test", 4), ("dev", 4), ("train", 300)])
def test_every_split_covers_every_phenomenon(corpus: dict[Split, list[Example]], split: Split, least: int) -> None:
    counts = Counter(phenomenon for example in corpus[split] for phenomenon in example.phenomena)
    assert {phenomenon: counts[phenomenon] for phenomenon in Phenomenon if counts[phenomenon] < least} == {}


def test_the_order_is_well_mixed(corpus: dict[Split, list[Example]]) -> None:
    for start in (0, 20_000, 68_000):
        seen = {phenomenon for example in corpus["train"][start : start + 1000] for phenomenon in example.phenomena}
        assert seen == set(Phenomenon)


def words(sentence: str) -> list[str]:
    return re.findall(r"[\w'-]+", sentence.lower())


@pytest.mark.parametrize("side", ["english", "german"])
def test_every_word_of_dev_and_test_occurs_in_train(corpus: dict[Split, list[Example]], side: str) -> None:
    known = {word for example in corpus["train"] for word in words(getattr(example, side))}
    for split in ("dev", "test"):
        unknown = {word for example in corpus[split] for word in words(getattr(example, side))} - known
        assert unknown == set()


def test_sentences_are_short(everything: list[Example]) -> None:
    lengths = [len(example.english.split()) for example in everything]
    assert max(lengths) <= 13
    assert 7 <= sum(lengths) / len(lengths) <= 9


def test_generation_does_not_depend_on_the_hash_seed() -> None:
    program = (
        "import hashlib; from mt_trainer.data.phrasebook import phrasebook_pairs as pairs; "
        "print(hashlib.sha256(repr([list(pairs(s)) for s in ('test', 'dev')]).encode()).hexdigest())"
    )
    root = Path(__file__).parents[3]
    digests = set()
    for seed in ("0", "1"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(root)}
        done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, check=True)
        digests.add(done.stdout)
    assert len(digests) == 1


# --- spelling and punctuation ----------------------------------------------------------------------------------------


def test_characters_capitals_and_spaces(everything: list[Example]) -> None:
    for english, german, _ in everything:
        assert re.fullmatch(r"[A-Z][a-zA-Z',-]*( [a-zA-Z',-]+)*[.?]", english), english
        assert re.fullmatch(r"[A-ZÄÖÜ][a-zA-ZäöüÄÖÜß,]*( [a-zA-ZäöüÄÖÜß,]+)*[.?]", german), german
        assert english[-1] == german[-1]


def test_questions_and_only_they_end_in_a_question_mark(everything: list[Example]) -> None:
    direct, indirect = {P.YES_NO_QUESTION, P.WH_QUESTION}, {P.INDIRECT_QUESTION, P.WHETHER}
    for example in everything:
        if example.phenomena & direct:
            assert example.german.endswith("?"), example
        elif example.german.endswith("?"):
            assert example.phenomena & indirect, example


def test_english_articles_suit_the_next_sound(everything: list[Example]) -> None:
    for example in everything:
        assert not re.search(r"\b[Aa] [aeiou]|\b[Aa]n [^aeiou]", example.english), example.english


def test_a_comma_stands_before_every_subordinate_clause_and_nowhere_else(everything: list[Example]) -> None:
    opening = re.compile(r", (weil|obwohl|während|dass|ob|der|die|das|den|wer|was|wo|wann|warum)\b")
    for example in everything:
        german = example.german
        match example.phenomena & {P.IF, P.RELATIVE_CLAUSE, P.INFINITIVE_WITH_ZU}:
            case kinds if P.IF in kinds:
                assert german.startswith("Wenn "), german
                assert german.count(",") == 1, german
            case kinds if P.RELATIVE_CLAUSE in kinds:
                assert german.count(",") == 2, german
                assert opening.search(german), german
            case kinds if P.INFINITIVE_WITH_ZU in kinds:
                assert german.count(",") == 1, german
            case _:
                assert german.count(",") == len(opening.findall(german)), german


# --- word order ------------------------------------------------------------------------------------------------------

FINITE = {german_verb_group(verb.german, mode, person).finite for verb in VERBS for mode in Mode for person in range(5)}
FINITE |= {form for table in (IRREGULAR_PRESENT, PRETERITE) for forms in table.values() for form in forms}
FINITE |= {"gehört", "gehören", "kostet", "kosten", "liegt", "liegen", "steht", "stehen", "fährt", "kommt", "fängt"}
FINITE |= {"legt", "lege", "legst", "legen", "stellt", "stelle", "stellst", "stellen", "gibt"}
LAST = {
    german_verb_group(verb.german, mode, person).last.split()[-1]
    for verb in VERBS
    for mode in Mode
    for person in range(5)
}
LAST |= {"bin", "bist", "ist", "sind", "habe", "hast", "hat", "haben", "regnet"}


def test_the_finite_verb_opens_a_yes_no_question(everything: list[Example]) -> None:
    for example in everything:
        if P.YES_NO_QUESTION in example.phenomena:
            assert example.german.split()[0].lower() in FINITE, example.german


def test_the_finite_verb_ends_a_subordinate_clause(everything: list[Example]) -> None:
    start = re.compile(
        r"(?:, (?:weil|obwohl|während|dass|ob|wer|was|wo|wann|warum)|^Wenn|, (?:der|die|das|den)) ([^,.?]+)"
    )
    kinds = {P.BECAUSE, P.ALTHOUGH, P.WHILE, P.THAT, P.WHETHER, P.INDIRECT_QUESTION, P.IF, P.RELATIVE_CLAUSE}
    for example in everything:
        if example.phenomena & kinds:
            clause = start.search(example.german)
            assert clause is not None, example.german
            assert clause[1].split()[-1] in LAST, example.german


def test_the_main_verb_follows_the_comma_after_a_wenn_clause(everything: list[Example]) -> None:
    for example in everything:
        if P.IF in example.phenomena:
            assert example.german.split(", ")[1].split()[0] in FINITE, example.german


def one_of(table: tuple[times.Time, ...]) -> str:
    return "(?:" + "|".join(sorted({time.german for time in table}, key=len, reverse=True)) + ")"


def test_the_finite_verb_is_second_after_an_adverbial_of_time(everything: list[Example]) -> None:
    days = (*times.NOW, *times.PAST_DAYS, *times.COMING_DAYS, *times.REGULARLY, *times.ON_WEEKDAYS, *times.IN_MONTHS)
    day, clock = one_of((*days, *times.ON_DATES)), one_of(times.AT_CLOCK_TIMES)
    opening = re.compile(rf"(?:{day} {clock}|{clock}|{day}) (?P<next>\w+)", re.IGNORECASE)
    matches = [match for example in everything if (match := opening.match(example.german))]
    assert len(matches) > 3000
    for match in matches:
        assert match["next"] in FINITE, match.string


def test_the_finite_verb_is_second_after_a_question_word(everything: list[Example]) -> None:
    question_words = {"Was", "Wer", "Wen", "Wem", "Wann", "Wo", "Wohin", "Warum", "Worauf", "Woran"}
    for example in everything:
        first, second, *_ = example.german.split()
        if first in question_words:
            assert second.rstrip("?") in FINITE, example.german


def test_negation_matches_english(everything: list[Example]) -> None:
    for example in everything:
        is_negated = bool(re.search(r"\b(not|cannot|no)\b", example.english))
        assert is_negated == bool(re.search(r"\b(nicht|[Kk]ein\w*)\b", example.german)), example


def test_one_clause_has_one_negation(everything: list[Example]) -> None:
    two_clauses = {P.BECAUSE, P.ALTHOUGH, P.INDIRECT_QUESTION, P.WHETHER}
    for example in everything:
        if not example.phenomena & two_clauses:
            assert len(re.findall(r"\b(?:nicht|kein\w*)\b", example.german)) <= 1, example.german
