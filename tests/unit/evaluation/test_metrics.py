"""BLEU and chrF against numbers worked by hand, and the convention of older papers against real text."""

import gzip
import importlib.util
import math
from pathlib import Path

import pytest

from mt_trainer.config.evaluation import EvaluationConfig
from mt_trainer.errors import ConfigError, DataError
from mt_trainer.evaluation.metrics import (
    Metrics,
    bleu,
    build_metrics,
    chrf,
    moses_lowercase_bleu,
    reference_notes,
)


def test_bleu_by_hand() -> None:
    # matching 1- to 4-grams: 4/5, 3/4, 2/3, 1/2; their product is 0.2; equal lengths, so no brevity penalty
    score = bleu(["a b c d e"], ["a b c d f"], tokenize="13a", lowercase=False)
    assert score.value == pytest.approx(100 * 0.2**0.25, abs=1e-9)
    assert score.name == "bleu"
    assert score.signature.startswith("nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:2.")


def test_bleu_is_over_the_corpus_with_brevity_penalty() -> None:
    # hypothesis of 4 + 4 = 8 words all right, references of 4 + 6 = 10: exp(1 - 10/8)
    score = bleu(["a b c d", "e f g h"], ["a b c d", "e f g h i j"], tokenize="none", lowercase=False)
    assert score.value == pytest.approx(100 * math.exp(-0.25), abs=1e-9)


def test_case_and_tokenisation_are_settings_in_the_signature() -> None:
    # 13a splits the full stop off: 5 tokens, of which "Das" differs in case: 4/5, 3/4, 2/3, 1/2
    hypothesis, reference = ["das ist ein Haus."], ["Das ist ein Haus."]
    assert bleu(hypothesis, reference, tokenize="13a", lowercase=False).value == pytest.approx(100 * 0.2**0.25)
    lower = bleu(hypothesis, reference, tokenize="13a", lowercase=True)
    assert lower.value == pytest.approx(100)
    assert "case:lc" in lower.signature
    # not tokenised: "Haus." is one word: 3/4, 2/3, 1/2, and 0 of 1 4-grams, smoothed to 1 / (2 * 1)
    whole = bleu(hypothesis, reference, tokenize="none", lowercase=False)
    assert whole.value == pytest.approx(100 * (3 / 4 * 2 / 3 * 1 / 2 * 1 / 2) ** 0.25)
    assert "tok:none" in whole.signature


def test_chrf_by_hand() -> None:
    # "abcd" against "abce": n-grams 3/4, 2/3, 1/2, 0/1 in precision and recall alike; orders 5 and 6 do not exist.
    # F of equal precision and recall is that value; chrF averages over the four orders.
    score = chrf(["abcd"], ["abce"], lowercase=False)
    assert score.value == pytest.approx(100 * (3 / 4 + 2 / 3 + 1 / 2 + 0) / 4, abs=1e-6)
    assert score.signature.startswith("nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no|version:2.")
    assert chrf(["ABCE"], ["abce"], lowercase=True).value == pytest.approx(100)


def test_moses_lowercase_bleu_by_hand() -> None:
    # Both become: " zwei kinder-räder " , sagt o 'hara . ; quotes normalised, hyphen whole, nothing escaped.
    score = moses_lowercase_bleu(
        ["„Zwei Kinder-Räder“, sagt O'Hara."], ['"zwei kinder-räder", sagt o\'hara.'], lang="de"
    )
    assert score.value == pytest.approx(100)
    assert score.name == "bleu_moses_lowercase"
    for part in ("norm:moses-de|lower:yes|tok:moses-de|escape:no|dash:whole|sacremoses:", " > nrefs:1|", "tok:none"):
        assert part in score.signature
    # ein hund läuft schnell . / ein hund läuft langsam . : 4/5, 2/4, 1/3, 0/2 smoothed to 1 / (2 * 2)
    score = moses_lowercase_bleu(["Ein Hund läuft schnell."], ["ein Hund läuft langsam."], lang="de")
    assert score.value == pytest.approx(100 * (4 / 5 * 2 / 4 * 1 / 3 * 1 / 4) ** 0.25)


def test_moses_convention_has_the_published_reference_length(shared_data: Path) -> None:
    """12,103 tokens: the reference length under the published 41.02 of Revisit-MMT's tiny model."""
    path = shared_data / "multi30k.en-de" / "test_2016_flickr.de.gz"
    lines = gzip.decompress(path.read_bytes()).decode().splitlines()
    from sacremoses import MosesPunctNormalizer, MosesTokenizer

    tokenizer, normalizer = MosesTokenizer("de"), MosesPunctNormalizer("de")

    def words(line: str) -> list[str]:
        return list(tokenizer.tokenize(normalizer.normalize(line).lower(), escape=False))

    assert sum(len(words(line)) for line in lines) == 12103
    hypotheses = [line.replace("ein", "kein") for line in lines[:50]]
    sides = [[" ".join(words(line)) for line in side] for side in (hypotheses, lines[:50])]
    expected = bleu(*sides, tokenize="none", lowercase=False)
    assert moses_lowercase_bleu(hypotheses, lines[:50], lang="de").value == expected.value


def test_sides_that_do_not_match_are_refused() -> None:
    metrics = Metrics(tokenize="13a", lowercase=False, moses_lang="de")
    with pytest.raises(DataError, match=r"error\[MT140\]: there are 1 hypotheses for 2 references"):
        metrics.score(["a"], ["a", "b"])
    with pytest.raises(DataError, match=r"error\[MT140\]: there is no sentence"):
        metrics.score([], [])


def test_metrics_follow_the_configuration() -> None:
    metrics = build_metrics(EvaluationConfig(tokenize="char", lowercase=True, moses_lowercase=True), tgt_lang="de")
    scores = metrics.score(["Ein Hund läuft."], ["Ein Hund läuft."])
    assert [score.name for score in scores] == ["bleu", "chrf", "bleu_moses_lowercase"]
    assert all(score.value == pytest.approx(100) for score in scores)
    assert "case:lc" in scores[0].signature
    assert "tok:char" in scores[0].signature
    assert "case:lc" in scores[1].signature
    assert len(build_metrics(EvaluationConfig(), tgt_lang="de").score(["a"], ["a"])) == 2


def test_a_missing_package_is_named_before_anything_is_scored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mt_trainer.evaluation.metrics.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"error\[MT003\].*sacremoses") as caught:
        build_metrics(EvaluationConfig(moses_lowercase=True), tgt_lang="de")
    assert "mt_trainer[moses]" in caught.value.render()


@pytest.mark.skipif(importlib.util.find_spec("MeCab") is not None, reason="MeCab is installed")
def test_missing_mecab_is_named() -> None:
    with pytest.raises(ConfigError, match=r"error\[MT003\].*ja-mecab") as caught:
        build_metrics(EvaluationConfig(tokenize="ja-mecab"), tgt_lang="ja")
    assert "sacrebleu[ja]" in caught.value.render()


def test_notes_on_references_that_are_not_raw_text() -> None:
    raw = ["Ein Mann, der läuft.", "R&B, 3.5 Meter ...", "Zwei E-Mails & mehr!"] * 5
    assert reference_notes(raw) == []
    [tokenised] = reference_notes([*raw, "Ein Mann , der läuft .", "Das ist &apos;s"])
    assert tokenised.startswith("2 of 17 references look tokenised")
    [lower] = reference_notes([text.lower() for text in raw])
    assert "lower-cased" in lower
    assert reference_notes(["3 + 4", "你好。"]) == []  # no letters with case
