"""The one path from a test set to its scores."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from mt_trainer.data.evaluation_sets import EvalSet
from mt_trainer.data.text_files import TextFile
from mt_trainer.decoding.translate import Translation, Translator
from mt_trainer.errors import CheckpointError
from mt_trainer.evaluation import evaluate as evaluation
from mt_trainer.evaluation.evaluate import SetScores, as_lines, as_record, evaluate_set, save_scores, scores_table
from mt_trainer.evaluation.likelihood import Likelihood
from mt_trainer.evaluation.metrics import Metrics, Score

METRICS = Metrics(tokenize="13a", lowercase=False, moses_lang=None)
SOURCES = ["a man walks fast .", "", "two dogs run in the park"]
REFERENCES = ["A man walks fast.", "", "Two cats run in the park."]
LIKELIHOOD = Likelihood(
    nll=1.23456,
    ppl=3.43687,
    accuracy=0.71249,
    entropy=1.5,
    confidence=0.6251,
    num_tokens=12345,
    precision="bf16",
    num_cut=0,
)


class Capitaliser:
    """Stands for a translator: first letter large, last word and stop joined."""

    def translate(self, texts: Sequence[str], **_: Any) -> list[list[Translation]]:
        return [[Translation(t.capitalize().replace(" .", "."), [], 0.0, 0.0, t.startswith("two"))] for t in texts]


def result(**fields: Any) -> SetScores:
    eval_set = EvalSet(name="dev", src_texts=SOURCES, tgt_texts=REFERENCES, fingerprint="f", **fields)
    return evaluate_set(cast(Translator, Capitaliser()), METRICS, eval_set)


def test_hypotheses_scores_and_hashes() -> None:
    scores = result()
    assert scores.hypotheses == ("A man walks fast.", "", "Two dogs run in the park")
    assert scores.num_sentences == 3
    assert scores.value("bleu") == METRICS.score(scores.hypotheses, REFERENCES)[0].value
    assert 0 < scores.value("chrf") < 100
    assert scores.hashes["ref"] == hashlib.sha256(b"A man walks fast.\n\nTwo cats run in the park.\n").hexdigest()
    assert scores.hashes.keys() == {"src", "ref", "hyp"}
    assert scores.hashes["hyp"] == hashlib.sha256(b"A man walks fast.\n\nTwo dogs run in the park\n").hexdigest()


def test_what_made_the_translations_is_told_with_them() -> None:
    eval_set = EvalSet(name="dev", src_texts=SOURCES, tgt_texts=REFERENCES, fingerprint="f")
    made_by = {"weights": "1" * 64, "tokenizer": "2" * 64}
    scores = evaluate_set(cast(Translator, Capitaliser()), METRICS, eval_set, made_by=made_by)
    record = as_record(scores, about={})
    assert record["sha256"] == result().hashes | made_by
    assert "weights 111111111111, tokenizer 222222222222" in scores_table([scores])


EXOTIC = "a\r \v \f \x1c \x1d \x1e \x85 \u2028 \u2029 b\r"


def test_a_likelihood_stands_beside_the_scores() -> None:
    eval_set = EvalSet(name="dev", src_texts=SOURCES, tgt_texts=REFERENCES, fingerprint="f")
    cut = replace(LIKELIHOOD, num_cut=1)
    scores = evaluate_set(cast(Translator, Capitaliser()), METRICS, eval_set, likelihood=cut)
    record = as_record(scores, about={})
    assert record["likelihood"] == {
        "nll": 1.23456,
        "ppl": 3.43687,
        "accuracy": 0.71249,
        "entropy": 1.5,
        "confidence": 0.6251,
        "num_tokens": 12345,
        "precision": "bf16",
        "num_cut": 1,
    }
    assert "reference lines longer than the model can place, and cut for the NLL: 1" in scores.notes
    assert {name: value for name, value in record.items() if name not in ("likelihood", "notes", "seconds")} == {
        name: value for name, value in as_record(result(), about={}).items() if name not in ("notes", "seconds")
    }


def test_a_saved_translation_is_one_line_whatever_it_holds(tmp_path: Path) -> None:
    (tmp_path / "hyp").write_bytes(as_lines([EXOTIC, "", "c"]))
    assert [line.decode() for line in (tmp_path / "hyp").read_bytes().split(b"\n")] == [EXOTIC, "", "c", ""]
    read = TextFile(str(tmp_path / "hyp"))
    assert list(read.texts()) == [EXOTIC.removesuffix("\r"), "", "c"]  # CR LF ends a line for a reader


def test_what_a_reader_should_know_is_noted() -> None:
    notes = result(train_overlap=2, notes=("byte order mark removed",)).notes
    assert "byte order mark removed" in notes
    assert "source lines longer than the model can read, and cut: 1" in notes
    assert "3 pairs; 2 of the sources also occur in training (0 letter for letter)" in notes


def test_saved_files_hold_all_digits_and_the_text(tmp_path: Path) -> None:
    scores = result()
    about = {"checkpoint": "step_00000010", "decoding": {"beam_size": 5}}
    path = save_scores(scores, tmp_path / "evaluation", about=about)
    assert path == tmp_path / "evaluation" / "dev.json"
    record = json.loads(path.read_text())
    assert record["scores"][0] == {
        "name": "bleu",
        "value": scores.value("bleu"),
        "signature": scores.scores[0].signature,
    }
    assert record["checkpoint"] == "step_00000010"
    assert record["decoding"] == {"beam_size": 5}
    assert record == as_record(scores, about=about)
    text = (tmp_path / "evaluation" / "dev.hyp.txt").read_bytes()
    assert hashlib.sha256(text).hexdigest() == record["sha256"]["hyp"]
    assert sorted(p.name for p in path.parent.iterdir()) == ["dev.hyp.txt", "dev.json"]


def test_a_crash_between_the_two_files_leaves_no_scores_of_other_translations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = result(), replace(result(), hypotheses=("Other", "", "words"))
    save_scores(first, tmp_path, about={})
    whole = evaluation.write_whole

    def write_and_die(path: Path, content: bytes) -> None:
        if path.suffix == ".json":
            raise KeyboardInterrupt
        whole(path, content)

    monkeypatch.setattr(evaluation, "write_whole", write_and_die)
    with pytest.raises(KeyboardInterrupt):
        save_scores(second, tmp_path, about={})
    assert [path.name for path in tmp_path.iterdir()] == ["dev.hyp.txt"]
    assert (tmp_path / "dev.hyp.txt").read_bytes() == as_lines(second.hypotheses)
    monkeypatch.undo()
    assert json.loads(save_scores(second, tmp_path, about={}).read_text())["sha256"] == second.hashes


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CheckpointError, match=r"error\[MT103\]"):
        save_scores(result(), tmp_path / "file" / "evaluation", about={})


def test_table_for_people() -> None:
    def scores(name: str, value: float, overlap: int | None, notes: tuple[str, ...] = ()) -> SetScores:
        each = (Score("bleu", value, "tok:13a"), Score("chrf", 50.126, "nc:6"))
        hashes = {"src": "0123456789abcdef", "weights": "fedcba9876543210"}
        return SetScores(name, each, ("x",) * 1200, 1200, overlap, hashes, notes, seconds=4.0)

    results = [scores("dev", 31.239, 1200), scores("test_2016", 5.0, None, ("look here",))]
    assert scores_table(results).splitlines() == [
        "set        sentences    BLEU    chrF  in training  sentences/s",
        "dev            1,200   31.24   50.13        1,200        300.0",
        "test_2016      1,200    5.00   50.13  not counted        300.0",
        "BLEU: tok:13a",
        "chrF: nc:6",
        "sha256: dev: src 0123456789ab, weights fedcba987654",
        "sha256: test_2016: src 0123456789ab, weights fedcba987654",
        "note: test_2016: look here",
    ]


def test_table_of_likelihoods() -> None:
    scores = (Score("bleu", 31.239, "tok:13a"), Score("chrf", 50.126, "nc:6"))
    bad = replace(LIKELIHOOD, nll=14.0, ppl=1202604.28, num_tokens=7)
    results = [
        SetScores(name, scores, ("x",), 1, 0, {"src": "0123456789abcdef"}, (), seconds=4.0, likelihood=likelihood)
        for name, likelihood in (("dev", LIKELIHOOD), ("test_2016", bad), ("hypotheses", None))
    ]
    assert scores_table(results).splitlines()[:-3] == [
        "set         sentences    BLEU    chrF  in training  sentences/s",
        "dev                 1   31.24   50.13            0          0.2",
        "test_2016           1   31.24   50.13            0          0.2",
        "hypotheses          1   31.24   50.13            0          0.2",
        "",
        "set            tokens      nll      ppl  accuracy  entropy  confidence",
        "dev            12,345   1.2346     3.44     0.712   1.5000       0.625",
        "test_2016           7  14.0000  1.2e+06     0.712   1.5000       0.625",
        "",
        "BLEU: tok:13a",
        "chrF: nc:6",
        "nll: nats a target token of the run's tokenizer, end marks counted, never smoothed; matrix products in bf16",
    ]
