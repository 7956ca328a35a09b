"""How a report reads, and what programs get of it."""

from pathlib import Path

import pytest

from mt_trainer.config.data import DataConfig, TextSource
from mt_trainer.data.checking.catalogue import CHECKS, Grade
from mt_trainer.data.checking.check import CorpusReport, check_corpus
from mt_trainer.data.checking.report import as_json, as_text
from mt_trainer.data.sources import read_source

SRC = [
    "The dog is in the house.",
    "",
    "Say &quot;no&quot;!",
    "Four\u200bteen.",
    "Fish & chips.",
    "One.",
    "Two.",
    "Three.",
]
TGT = ["Der Hund ist im Haus.", "Nichts", "Sag Nein!", "Vierzehn.", "Fisch mit Pommes.", "Eins.", "Zwei.", "Drei."]

EXPECTED = """\
corpus     en-de: train 8, news 1 pairs
cleaning   kept 7 of 8 pairs; dropped 1 blank; without a tokenizer, so nothing by its number of pieces
result     2 faults, 4 worth a look

fault  blank sides                     train  1   12.50%  of 8 pairs
fault  sources also in training (src)  news   1  100.00%  of 1 sentences
look   zero-width characters (src)     train  1   12.50%  of 8 lines
look   already tokenised (src)         train  1   12.50%  of 8 lines
look   markup and entities (src)       train  1   12.50%  of 8 lines
look   dropped in cleaning             train  1   12.50%  of 8 pairs

fault: blank sides in train: 1 on one side only
  the pairs are dropped
  to mend: nothing; many may mean that a translation was lost
  train.en:2   | Nichts

fault: sources also in training in news, src: 0 letter for letter, 0 as whole pairs
  scores are too high: the model has seen the answers
  to mend: remove them from training; `data.max_overlap` refuses
  train.en:5  as news.en:1: Fish & chips.
"""


@pytest.fixture
def report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CorpusReport:
    monkeypatch.chdir(tmp_path)
    for name, lines in (("train.en", SRC), ("train.de", TGT), ("news.en", ["FISH, chips"]), ("news.de", ["Fisch"])):
        Path(name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    train = TextSource(format="text", src="train.en", tgt="train.de")
    news = TextSource(format="text", src="news.en", tgt="news.de")
    data = DataConfig(src_lang="en", tgt_lang="de", train=(train,), dev=news)
    texts = [read_source(each, src_lang="en", tgt_lang="de", on_invalid_text="skip") for each in (train, news)]
    return check_corpus(
        texts[:1], {"news": texts[1]}, data, tokenizers=None, tokenizer_to_train=None, announce=lambda line: None
    )


def test_what_a_user_sees(report: CorpusReport) -> None:
    text = as_text(report)
    assert text[: len(EXPECTED)] == EXPECTED
    last = text.split("\n\n")[-1]
    assert last.startswith("fine: unequal line counts, damaged files, no text (UTF-8, NUL), ")
    assert "shifted" not in last  # too little text to judge
    assert max(map(len, text.splitlines())) <= 120


def test_grades_can_be_painted(report: CorpusReport) -> None:
    text = as_text(report, paint=lambda grade, word: f"<{grade.value}>{word}")
    assert "<fault>fault  blank sides" in text
    assert "<look>look: dropped in cleaning in train" in text.replace("<look>look: ", "<look>look: ")


def test_programs_get_every_check_on_every_part(report: CorpusReport) -> None:
    record = as_json(report)
    assert (record["format"], record["grade"], record["languages"]) == (1, "fault", ["en", "de"])
    assert record["cleaning"]["kept"] == 7
    assert [len(source["sha256"].split()) for source in record["parts"]["train"]["sources"]] == [2]
    of_train = {finding["check"] for finding in record["findings"] if finding["part"] == "train"}
    with_tokenizer = {"unknown_pieces", "byte_pieces", "unseen_characters"}
    assert of_train == CHECKS.keys() - {"overlap", "target_overlap"} - with_tokenizer
    [blank] = [each for each in record["findings"] if (each["part"], each["check"]) == ("train", "blank")]
    assert blank["examples"] == [{"where": "train.en:2", "text": " | Nichts"}]
    assert (blank["count"], blank["total"], blank["fault_from"]) == (1, 8, CHECKS["blank"].fault)
    assert report.grade is Grade.FAULT
