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
    (P.ADJECTIVE_WEAK, "The interesting letters belong to Maria.", "Die interessanten Briefe gehören Maria."),
    (P.ADJECTIVE_WEAK, "Julia will close this big bottle.", "Julia wird diese große Flasche zumachen."),
    (P.ADJECTIVE_MIXED, "Does my uncle see a black horse?", "Sieht mein Onkel ein schwarzes Pferd?"),
    (P.ADJECTIVE_MIXED, "Who often visits our friendly father?", "Wer besucht oft unseren freundlichen Vater?"),
    (P.ADJECTIVE_STRONG, "Who is drinking fresh juice today?", "Wer trinkt heute frischen Saft?"),
    (P.ADJECTIVE_STRONG, "You are sending Daniel good letters now.", "Du schickst Daniel jetzt gute Briefe."),
    (P.PLURAL, "These lakes are not beautiful.", "Diese Seen sind nicht schön."),
    (P.PLURAL, "Yesterday these men laughed.", "Gestern haben diese Männer gelacht."),
    (P.POSSESSIVE, "Paul is thinking of our guest.", "Paul denkt an unseren Gast."),
    (P.POSSESSIVE, "Please help his sister next week.", "Hilf bitte nächste Woche seiner Schwester."),
    (P.NUMBER, "Six books are lying next to the sofa.", "Sechs Bücher liegen neben dem Sofa."),
    (P.NUMBER, "Is her doctor fifty-five years old?", "Ist ihr Arzt fünfundfünfzig Jahre alt?"),
    (P.MEASURE, "Where did they drink a glass of juice?", "Wo haben sie ein Glas Saft getrunken?"),
    (P.MEASURE, "Is Daniel drinking a glass of milk?", "Trinkt Daniel ein Glas Milch?"),
    (P.N_DECLENSION, "The hat belongs to the colleague.", "Der Hut gehört dem Kollegen."),
    (P.N_DECLENSION, "Please invite the boy today.", "Lade bitte heute den Jungen ein."),
    (P.GENITIVE, "Anna's garden is very big.", "Annas Garten ist sehr groß."),
    (P.GENITIVE, "Our uncle's picture is beautiful.", "Das Bild unseres Onkels ist schön."),
    (P.DATIVE_OBJECT, "These knives belong to you.", "Diese Messer gehören dir."),
    (P.DATIVE_OBJECT, "Who does this new car belong to?", "Wem gehört dieses neue Auto?"),
    (P.TWO_OBJECTS, "What should I give you tomorrow?", "Was sollte ich dir morgen geben?"),
    (P.TWO_OBJECTS, "Please bring Peter coffee.", "Bring Peter bitte Kaffee."),
    (P.PREPOSITIONAL_OBJECT, "Please wait for the train tomorrow evening.", "Warte bitte morgen Abend auf den Zug."),
    (P.PREPOSITIONAL_OBJECT, "Right now the child is thinking of Maria.", "Gerade denkt das Kind an Maria."),
    (P.TWO_WAY_PREPOSITION, "This bottle is standing next to the radio.", "Diese Flasche steht neben dem Radio."),
    (P.TWO_WAY_PREPOSITION, "Three plates are standing next to the radio.", "Drei Teller stehen neben dem Radio."),
    (P.CONTRACTION, "Who visited Julia on Sunday?", "Wer hat Julia am Sonntag besucht?"),
    (P.CONTRACTION, "Please clean the room on Friday.", "Putz bitte am Freitag das Zimmer."),
    (P.INVERSION, "Tomorrow evening Martin can thank Laura.", "Morgen Abend kann Martin Laura danken."),
    (P.INVERSION, "Right now Paul is drawing the birds.", "Gerade zeichnet Paul die Vögel."),
    (P.SEPARABLE_VERB, "We did not pick up Peter.", "Wir haben Peter nicht abgeholt."),
    (P.SEPARABLE_VERB, "My father invited us.", "Mein Vater hat uns eingeladen."),
    (P.MODAL_VERB, "Martin can invite the woman.", "Martin kann die Frau einladen."),
    (P.MODAL_VERB, "Who can see a library?", "Wer kann eine Bibliothek sehen?"),
    (P.PERFECT_WITH_HABEN, "When did the man look for this ball?", "Wann hat der Mann diesen Ball gesucht?"),
    (P.PERFECT_WITH_HABEN, "He danced with us this morning.", "Er hat heute Morgen mit uns getanzt."),
    (P.PERFECT_WITH_SEIN, "My aunt fell asleep.", "Meine Tante ist eingeschlafen."),
    (P.PERFECT_WITH_SEIN, "This man drove to Cologne.", "Dieser Mann ist nach Köln gefahren."),
    (P.PRETERITE, "They were thirsty yesterday evening.", "Sie waren gestern Abend durstig."),
    (P.PRETERITE, "Laura was happy yesterday evening.", "Laura war gestern Abend glücklich."),
    (P.FUTURE, "Where will the girl go?", "Wohin wird das Mädchen gehen?"),
    (P.FUTURE, "Where will these children drive?", "Wohin werden diese Kinder fahren?"),
    (P.NEGATION_NICHT, "Our colleague does not know Anna.", "Unser Kollege kennt Anna nicht."),
    (P.NEGATION_NICHT, "Paul and Anna are not very happy.", "Paul und Anna sind nicht sehr glücklich."),
    (P.NEGATION_KEIN, "I am not buying a television now.", "Ich kaufe jetzt keinen Fernseher."),
    (P.NEGATION_KEIN, "Her son is not eating a pear.", "Ihr Sohn isst keine Birne."),
    (P.YES_NO_QUESTION, "Is he crying right now?", "Weint er gerade?"),
    (P.YES_NO_QUESTION, "Does Peter need these eggs?", "Braucht Peter diese Eier?"),
    (P.WH_QUESTION, "Why is her aunt feeding the dogs today?", "Warum füttert ihre Tante heute die Hunde?"),
    (P.WH_QUESTION, "How much does the picture cost?", "Wie viel kostet das Bild?"),
    (P.BECAUSE, "Her uncle is dancing because he is happy.", "Ihr Onkel tanzt, weil er glücklich ist."),
    (P.BECAUSE, "He is laughing because he is happy.", "Er lacht, weil er glücklich ist."),
    (P.THAT, "We think that Julia is crying now.", "Wir glauben, dass Julia jetzt weint."),
    (P.THAT, "Martin says that Daniel has a knife.", "Martin sagt, dass Daniel ein Messer hat."),
    (P.WHETHER, "I do not know whether he laughed.", "Ich weiß nicht, ob er gelacht hat."),
    (P.WHETHER, "We want to know whether Martin cried.", "Wir wollen wissen, ob Martin geweint hat."),
    (P.IF, "If it rains, we will sleep.", "Wenn es regnet, werden wir schlafen."),
    (P.IF, "If Peter has time, he can dance.", "Wenn Peter Zeit hat, kann er tanzen."),
    (P.ALTHOUGH, "He wants to swim although he is tired.", "Er will schwimmen, obwohl er müde ist."),
    (P.ALTHOUGH, "He is washing glasses although he is ill.", "Er wäscht Gläser, obwohl er krank ist."),
    (P.WHILE, "We are drinking tea while you are dancing.", "Wir trinken Tee, während du tanzt."),
    (P.WHILE, "Peter is dancing while we are playing.", "Peter tanzt, während wir spielen."),
    (P.INDIRECT_QUESTION, "Do you know what this man will eat?", "Weißt du, was dieser Mann essen wird?"),
    (P.INDIRECT_QUESTION, "Can you tell me what she is cooking?", "Kannst du mir sagen, was sie kocht?"),
    (P.RELATIVE_CLAUSE, "The lamp that Laura needs is old.", "Die Lampe, die Laura braucht, ist alt."),
    (P.RELATIVE_CLAUSE, "The orange that Maria is buying is good.", "Die Orange, die Maria kauft, ist gut."),
    (P.INFINITIVE_WITH_ZU, "They forgot to help Peter.", "Sie haben vergessen, Peter zu helfen."),
    (P.INFINITIVE_WITH_ZU, "I promised to thank him.", "Ich habe versprochen, ihm zu danken."),
    (P.IMPERATIVE, "Please pick up your mother next week.", "Hol bitte nächste Woche deine Mutter ab."),
    (P.IMPERATIVE, "Please read the book.", "Lies bitte das Buch."),
    (P.COMPARISON, "The cat is older than this dog.", "Die Katze ist älter als dieser Hund."),
    (P.COMPARISON, "The church is newer than this museum.", "Die Kirche ist neuer als dieses Museum."),
    (P.PROFESSION, "Is Peter an engineer?", "Ist Peter Ingenieur?"),
    (P.PROFESSION, "Paul is a pilot.", "Paul ist Pilot."),
    (P.EXISTENCE, "Is there a tree in the garden?", "Gibt es im Garten einen Baum?"),
    (P.EXISTENCE, "In our kitchen there is a chair.", "In unserer Küche gibt es einen Stuhl."),
    (P.CLOCK_TIME, "The concert started at seven o'clock.", "Das Konzert hat um sieben Uhr angefangen."),
    (P.CLOCK_TIME, "This film starts tomorrow at one o'clock.", "Dieser Film fängt morgen um ein Uhr an."),
    (P.DATE, "Today is the eighth of November.", "Heute ist der achte November."),
    (P.DATE, "Tomorrow is the sixteenth of November.", "Morgen ist der sechzehnte November."),
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
