"""From raw text to an encoded corpus: what is kept and counted, and that a fault is reported and nothing written."""

import gzip
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mt_trainer.config.schema import TrainConfig
from mt_trainer.data.prepare import prepare_data

if TYPE_CHECKING:
    from tests.unit.data.conftest import Project


def test_the_corpus_is_the_text_in_order(project: "Project") -> None:
    prepared = project.prepare()
    assert project.decoded(prepared) == list(zip(project.src, project.tgt, strict=True))
    assert prepared.counts.kept == prepared.counts.read == 300
    assert prepared.tokenizers.is_joint
    assert (prepared.dev.src_texts, prepared.dev.tgt_texts) == (project.dev_src, project.dev_tgt)
    assert prepared.corpus_hash == prepared.train.content_hash


def test_bad_pairs_are_dropped_counted_and_shift_nothing(project: "Project") -> None:
    src, tgt = list(project.src), list(project.tgt)
    src[3] = "  "
    tgt[7] = ""
    src[11] = tgt[11]  # identical
    src[13], tgt[13] = src[12], tgt[12]
    src[17] = " ".join(src[:30])  # too many pieces
    src[19] = tgt[19] = ""
    src[23] = "x" * 10_000
    tgt[29] = "\u200b"  # no piece is left of it
    src[31], tgt[31] = src[0], tgt[2]  # each side known, the pair is new
    tgt[37] = "ba"
    project.write("train", src, tgt)
    prepared = project.prepare(data={"max_length": 100, "max_length_ratio": 2.0})
    dropped = {3, 7, 11, 13, 17, 19, 23, 29, 37}
    assert project.decoded(prepared) == [pair for i, pair in enumerate(zip(src, tgt, strict=True)) if i not in dropped]
    counts = prepared.counts
    assert (counts.read, counts.kept, counts.blank, counts.too_long) == (300, 291, 3, 2)
    assert (counts.identical, counts.duplicate, counts.empty_after_tokenisation, counts.length_ratio) == (1, 1, 1, 1)
    assert any("dropped" in line for line in project.lines)


@pytest.mark.parametrize("nothing", ["\u2028", "\u3000", "\u200b", "\ufeff", "\x7f", "\u3000 \u200b", "\x01"])
def test_a_side_without_a_single_piece_is_dropped_and_counted(project: "Project", nothing: str) -> None:
    src, tgt = list(project.src), list(project.tgt)
    src[3], tgt[7] = nothing, nothing
    project.write("train", src, tgt)
    prepared = project.prepare()
    assert project.decoded(prepared) == [pair for i, pair in enumerate(zip(src, tgt, strict=True)) if i not in (3, 7)]
    assert prepared.counts.blank + prepared.counts.empty_after_tokenisation == 2
    assert min(prepared.train.src_lengths.min(), prepared.train.tgt_lengths.min()) > 0


@pytest.mark.parametrize("side", ["src", "tgt"])
def test_cr_lf_and_a_byte_order_mark_on_one_side_change_no_token(project: "Project", side: str) -> None:
    clean = project.prepare()
    file = project.folder / f"train.{side}"
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes().replace(b"\n", b"\r\n"))
    prepared = project.prepare()
    assert (prepared.tokenizers.content_hash, prepared.corpus_hash) == (
        clean.tokenizers.content_hash,
        clean.corpus_hash,
    )
    assert f"{file}: byte order mark removed" in prepared.notes
    assert f"{file}: 300 of 300 lines ended in CR LF; CR removed" in prepared.notes


def test_sources_are_concatenated_and_duplicates_found_across_them(project: "Project") -> None:
    project.write("more", [project.src[5], "totally new words"], [project.tgt[5], "ganz neue Wörter"])
    prepared = project.prepare(train=("train", "more"))
    assert project.decoded(prepared)[-1] == ("totally new words", "ganz neue Wörter")
    assert (prepared.counts.kept, prepared.counts.duplicate) == (301, 1)


def test_evaluation_sets_are_left_as_they_are(project: "Project") -> None:
    src, tgt = (
        ["", project.dev_src[0], project.dev_src[0], "same same same same"],
        ["x", project.dev_tgt[0], project.dev_tgt[0], "same same same same"],
    )
    project.write("test", src, tgt)
    prepared = project.prepare(data={"test": {"news": project.source("test")}})
    assert (prepared.test["news"].src_texts, prepared.test["news"].tgt_texts) == (src, tgt)
    assert prepared.test["news"].name == "news"


def test_overlap_counts_planted_pairs_exactly(project: "Project") -> None:
    src = list(project.dev_src)
    src[2] = project.src[9]
    src[5] = project.src[10].upper().replace(" ", "   ") + "!"
    src[6] = f'"{project.src[11]}"'
    src[7] = ""
    project.write("dev", src, project.dev_tgt)
    for _ in range(2):  # cold, then from the cache
        dev = project.prepare().dev
        assert (dev.train_overlap, dev.exact_train_overlap) == (3, 1)
        assert any("dev: 20 pairs; 3 of the sources also occur in training" in line for line in project.lines)


def test_overlap_counts_only_what_is_trained_on(project: "Project") -> None:
    project.write("dev", [project.src[4]], ["x"])
    src, tgt = list(project.src), list(project.tgt)
    tgt[4] = ""
    project.write("train", src, tgt)
    assert project.prepare().dev.train_overlap == 0


@pytest.mark.parametrize(("allowed", "is_refused"), [(None, False), (0.15, False), (0.149, True), (0.0, True)])
def test_more_overlap_than_allowed_is_refused(project: "Project", allowed: float | None, is_refused: bool) -> None:
    project.write("dev", [*project.src[:3], *project.dev_src[3:]], project.dev_tgt)
    if is_refused:
        [problem] = project.problems(data={"max_overlap": allowed})
        assert (problem.code, problem.where) == ("MT058", "data.dev")
        assert "3 of the 20 sources of `dev` also occur in training: 15.00%" in problem.message
    else:
        project.prepare(data={"max_overlap": allowed})
        assert any(line.startswith("warning: dev: 20 pairs; 3 of the sources") for line in project.lines)


def test_a_little_overlap_is_told_without_a_warning(project: "Project") -> None:
    project.write("dev", [project.src[0], *[f"{line} new" for line in project.src[1:100]]], project.tgt[:100])
    project.prepare()
    assert "dev: 100 pairs; 1 of the sources also occur in training (1 letter for letter)" in project.lines


# --- tokenizers ---


def test_one_tokenizer_a_side(project: "Project") -> None:
    prepared = project.prepare(tokenizer={"joint": False, "vocab_size": 350})
    assert not prepared.tokenizers.is_joint
    assert prepared.tokenizers.src.content_hash != prepared.tokenizers.tgt.content_hash
    assert project.decoded(prepared) == list(zip(project.src, project.tgt, strict=True))
    assert project.prepare(tokenizer={"joint": False, "vocab_size": 350}).corpus_hash == prepared.corpus_hash


def test_a_given_tokenizer_is_used(project: "Project") -> None:
    prepared = project.prepare()
    prepared.tokenizers.src.save(project.folder / "given.model")
    given = project.prepare(tokenizer={"vocab_size": 999, "model_file": str(project.folder / "given.model")})
    assert given.tokenizers.content_hash == prepared.tokenizers.content_hash
    assert given.corpus_hash == prepared.corpus_hash


# --- faults: everything at once, nothing written ---


def test_faults_of_all_sets_are_reported_together_and_nothing_is_written(project: "Project") -> None:
    (project.folder / "dev.tgt").write_bytes(b"\xff\n" * 20)
    packed = gzip.compress("\n".join(project.src).encode())
    (project.folder / "train.src.gz").write_bytes(packed[: len(packed) // 2])
    train = {"format": "text", "src": f"{project.folder}/train.src.gz", "tgt": f"{project.folder}/train.tgt"}
    found = project.problems(data={"train": (train, {"format": "tsv", "path": f"{project.folder}/train.tgt"})})
    codes = [problem.code for problem in found]
    assert codes[0] == "MT052"
    assert "MT053" in codes
    assert "MT055" in codes
    assert not (project.folder / "cache").exists()


def test_missing_files_are_all_named(project: "Project") -> None:
    found = project.problems(train=("train", "lost"), data={"test": {"x": project.source("away")}})
    assert [problem.code for problem in found] == ["MT050"] * 4
    assert not (project.folder / "cache").exists()


@pytest.mark.parametrize(
    ("src", "tgt", "data", "expected"),
    [
        ("nothing", "nothing", {}, "0 of 0"),
        ("blank", "tgt", {}, "300 blank"),
        ("src", "tgt", {"max_length": 4}, "300 too long"),
        ("src", "src", {}, "300 identical"),
    ],
)
def test_an_empty_corpus_is_refused(
    project: "Project", src: str, tgt: str, data: dict[str, Any], expected: str
) -> None:
    texts = {"src": project.src, "tgt": project.tgt, "nothing": [], "blank": [" "] * 300}
    project.write("train", texts[src], texts[tgt])
    [problem] = project.problems(data=data)
    assert problem.code == "MT054"
    assert expected in problem.message
    assert not (project.folder / "cache").exists()


def test_a_vocabulary_that_the_text_cannot_fill_is_refused(project: "Project") -> None:
    [problem] = project.problems(tokenizer={"vocab_size": 50_000})
    assert problem.code == "MT080"
    assert not (project.folder / "cache").exists()


def test_an_empty_evaluation_set_is_refused(project: "Project") -> None:
    project.write("dev", [], [])
    assert [problem.code for problem in project.problems()] == ["MT054"]


def test_invalid_text_is_skipped_in_training_only(project: "Project") -> None:
    (project.folder / "train.tgt").write_bytes(b"\xff\n" + "".join(f"{line}\n" for line in project.tgt[1:]).encode())
    prepared = project.prepare(data={"on_invalid_text": "skip"})
    assert (prepared.counts.invalid_text, prepared.counts.read, prepared.counts.kept) == (1, 300, 299)
    (project.folder / "dev.tgt").write_bytes(b"\xff\n" * 20)
    assert {problem.code for problem in project.problems(data={"on_invalid_text": "skip"})} == {"MT052"}


def test_what_was_put_right_is_announced_from_the_cache_too(project: "Project") -> None:
    (project.folder / "train.src").write_bytes("".join(f"{line}\r\n" for line in project.src).encode())
    for _ in range(2):
        assert project.decoded(project.prepare())[0] == (project.src[0], project.tgt[0])
        assert any("300 of 300 lines ended in CR LF" in line for line in project.lines)


def test_real_text_has_the_overlap_its_readme_tells_of(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "multi30k.en-de"

    def source(name: str) -> dict[str, Any]:
        return {"format": "text", "src": f"{folder}/{name}.en.gz", "tgt": f"{folder}/{name}.de.gz"}

    config = {
        "data": {"src_lang": "en", "tgt_lang": "de", "train": (source("train"),), "dev": source("val")},
        "tokenizer": {"algorithm": "bpe", "vocab_size": 2000},
        "runtime": {"cache_folder": str(tmp_path)},
    }
    prepared = prepare_data(TrainConfig.model_validate(config), announce=lambda line: None)
    assert (prepared.counts.read, prepared.dev.exact_train_overlap) == (29_000, 1)
