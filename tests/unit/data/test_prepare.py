"""From raw text to an encoded corpus: what is kept, what is cached, and that a fault leaves nothing behind."""

import gzip
import os
import random

import pytest

from mt_trainer.config.schema import TrainConfig
from mt_trainer.data.encoding import sampled
from mt_trainer.data.evaluation_sets import normalised
from mt_trainer.data.prepare import prepare_data
from mt_trainer.errors import MtError

SYLLABLES = [consonant + vowel for consonant in "bdfgklmnprst" for vowel in "aeiou"]


def sentences(count, seed):
    """Distinct sentences of made-up words."""
    rng = random.Random(seed)
    words = ["".join(rng.choices(SYLLABLES, k=rng.randint(2, 4))) for _ in range(80)]
    return [" ".join(rng.choices(words, k=rng.randint(5, 9))) + f" {number}." for number in range(count)]


SRC, TGT = sentences(300, 1), sentences(300, 2)
DEV_SRC, DEV_TGT = sentences(20, 3), sentences(20, 4)


class Project:
    """A folder with text files and a config over them."""

    def __init__(self, folder):
        self.folder = folder
        self.lines = []
        self.write("train", SRC, TGT)
        self.write("dev", DEV_SRC, DEV_TGT)

    def write(self, name, src, tgt):
        for side, texts in (("src", src), ("tgt", tgt)):
            (self.folder / f"{name}.{side}").write_text("".join(f"{each}\n" for each in texts), newline="")

    def source(self, name):
        return {"format": "text", "src": f"{self.folder}/{name}.src", "tgt": f"{self.folder}/{name}.tgt"}

    def prepare(self, *, data=None, tokenizer=None, train=("train",)):
        config = {
            "data": {
                "src_lang": "en",
                "tgt_lang": "de",
                "train": tuple(self.source(name) for name in train),
                "dev": self.source("dev"),
                **(data or {}),
            },
            "tokenizer": {"vocab_size": 400, **(tokenizer or {})},
            "runtime": {"cache_folder": f"{self.folder}/cache"},
        }
        self.lines = []
        return prepare_data(TrainConfig.model_validate(config), announce=self.lines.append)

    def problems(self, **changes):
        with pytest.raises(MtError) as caught:
            self.prepare(**changes)
        return caught.value.problems

    def cached(self, kind):
        folder = self.folder / "cache" / kind
        return sorted(each.name for each in folder.iterdir()) if folder.exists() else []


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path)


def decoded(prepared):
    return [
        (*prepared.tokenizers.src.decode([prepared.train.src(i)]), *prepared.tokenizers.tgt.decode([prepared.train.tgt(i)]))
        for i in range(prepared.train.num_pairs)
    ]


def test_the_corpus_is_the_text_in_order(project):
    prepared = project.prepare()
    assert decoded(prepared) == list(zip(SRC, TGT, strict=True))
    assert prepared.counts.kept == prepared.counts.read == 300
    assert prepared.tokenizers.is_joint
    assert (prepared.dev.src_texts, prepared.dev.tgt_texts) == (DEV_SRC, DEV_TGT)
    assert prepared.corpus_hash == prepared.train.content_hash


def test_bad_pairs_are_dropped_counted_and_shift_nothing(project):
    src, tgt = list(SRC), list(TGT)
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
    assert decoded(prepared) == [pair for i, pair in enumerate(zip(src, tgt, strict=True)) if i not in dropped]
    counts = prepared.counts
    assert (counts.read, counts.kept, counts.blank, counts.too_long) == (300, 291, 3, 2)
    assert (counts.identical, counts.duplicate, counts.empty_after_tokenisation, counts.length_ratio) == (1, 1, 1, 1)
    assert any("dropped" in line for line in project.lines)


def test_sources_are_concatenated_and_duplicates_found_across_them(project):
    project.write("more", [SRC[5], "totally new words"], [TGT[5], "ganz neue Wörter"])
    prepared = project.prepare(train=("train", "more"))
    assert decoded(prepared)[-1] == ("totally new words", "ganz neue Wörter")
    assert (prepared.counts.kept, prepared.counts.duplicate) == (301, 1)


def test_evaluation_sets_are_left_as_they_are(project):
    src, tgt = ["", DEV_SRC[0], DEV_SRC[0], "same same same same"], ["x", DEV_TGT[0], DEV_TGT[0], "same same same same"]
    project.write("test", src, tgt)
    prepared = project.prepare(data={"test": {"news": project.source("test")}})
    assert (prepared.test["news"].src_texts, prepared.test["news"].tgt_texts) == (src, tgt)
    assert prepared.test["news"].name == "news"


def test_overlap_counts_planted_pairs_exactly(project):
    src = list(DEV_SRC)
    src[2] = SRC[9]
    src[5] = SRC[10].upper().replace(" ", "   ") + "!"
    src[6] = f'"{SRC[11]}"'
    src[7] = ""
    project.write("dev", src, DEV_TGT)
    for _ in range(2):  # cold, then from the cache
        dev = project.prepare().dev
        assert (dev.train_overlap, dev.exact_train_overlap) == (3, 1)
        assert any("dev: 20 pairs; 3 of the sources also occur in training" in line for line in project.lines)


def test_overlap_counts_only_what_is_trained_on(project):
    project.write("dev", [SRC[4]], ["x"])
    src, tgt = list(SRC), list(TGT)
    tgt[4] = ""
    project.write("train", src, tgt)
    assert project.prepare().dev.train_overlap == 0


def test_normalised_text():
    assert normalised("  „Straße“ -- ＡＢＣ\u00a0d.\n") == "strasse abc d"
    assert normalised("?!") == ""


# --- the cache ---


def test_a_second_run_takes_everything_from_the_cache(project):
    first = project.prepare()
    before = {file: file.stat().st_mtime_ns for file in (project.folder / "cache").rglob("*")}
    second = project.prepare()
    assert {file: file.stat().st_mtime_ns for file in (project.folder / "cache").rglob("*")} == before
    assert second.tokenizers.content_hash == first.tokenizers.content_hash
    assert (second.corpus_hash, second.counts) == (first.corpus_hash, first.counts)
    assert not any("trained" in line for line in project.lines)


def test_the_result_does_not_depend_on_the_cache(tmp_path):
    hashes = set()
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        prepared = Project(tmp_path / name).prepare()
        hashes.add((prepared.tokenizers.content_hash, prepared.corpus_hash))
    assert len(hashes) == 1


def test_one_changed_byte_of_the_same_size_and_date_rebuilds(project):
    first = project.prepare()
    file = project.folder / "train.tgt"
    times, content = file.stat(), bytearray(file.read_bytes())
    content[0] = ord("k") if content[0] != ord("k") else ord("t")
    file.write_bytes(content)
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert file.stat().st_mtime_ns == times.st_mtime_ns
    second = project.prepare()
    assert second.corpus_hash != first.corpus_hash
    assert decoded(second)[0][1] == content.split(b"\n")[0].decode()


@pytest.mark.parametrize(
    "data",
    [{"max_length": 64}, {"max_length_ratio": 1.2}, {"drop_identical": False}, {"drop_duplicates": False}],
)
def test_a_changed_filter_rebuilds(project, data):
    project.prepare()
    project.prepare(data=data)
    assert len(project.cached("corpora")) == 2


def test_a_changed_tokenizer_rebuilds(project):
    project.prepare()
    project.prepare(tokenizer={"vocab_size": 390})
    project.prepare(tokenizer={"algorithm": "bpe"})
    assert len(project.cached("corpora")) == len(project.cached("tokenizers")) == 3


def test_a_damaged_cache_is_refused_with_what_to_do(project):
    project.prepare()
    [key] = project.cached("corpora")
    file = project.folder / "cache" / "corpora" / key / "tgt_tokens.bin"
    file.write_bytes(file.read_bytes()[:-2])
    [problem] = project.problems()
    assert problem.code == "MT057"
    assert str(file.parent) in problem.help


def test_a_damaged_cached_tokenizer_is_refused(project):
    project.prepare()
    [key] = project.cached("tokenizers")
    file = project.folder / "cache" / "tokenizers" / key / "tokenizer.model"
    content = bytearray(file.read_bytes())
    content[content.index("▁".encode())] ^= 1
    file.write_bytes(content)
    assert [problem.code for problem in project.problems()] == ["MT057"]


def test_an_interrupted_build_leaves_nothing(project, monkeypatch):
    from mt_trainer.data import encoding

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(encoding, "judge_lengths", interrupt)
        with pytest.raises(KeyboardInterrupt):
            project.prepare()
    assert not (project.folder / "cache").exists()
    assert project.prepare().counts.kept == 300


def test_a_file_that_changes_while_it_is_read_is_noticed(project, monkeypatch):
    from mt_trainer.data import encoding, prepare

    def changing(*arguments):
        project.write("train", [*SRC, "one more"], [*TGT, "einer mehr"])
        return encoding.train_tokenizers(*arguments)

    monkeypatch.setattr(prepare, "train_tokenizers", changing)
    [problem] = project.problems()
    assert "changed while it was read" in problem.message
    assert not (project.folder / "cache").exists()


# --- tokenizers ---


def test_one_tokenizer_a_side(project):
    prepared = project.prepare(tokenizer={"joint": False, "vocab_size": 350})
    assert not prepared.tokenizers.is_joint
    assert prepared.tokenizers.src.content_hash != prepared.tokenizers.tgt.content_hash
    assert decoded(prepared) == list(zip(SRC, TGT, strict=True))
    assert project.prepare(tokenizer={"joint": False, "vocab_size": 350}).corpus_hash == prepared.corpus_hash


def test_a_given_tokenizer_is_used(project):
    prepared = project.prepare()
    prepared.tokenizers.src.save(project.folder / "given.model")
    given = project.prepare(tokenizer={"vocab_size": 999, "model_file": str(project.folder / "given.model")})
    assert given.tokenizers.content_hash == prepared.tokenizers.content_hash
    assert given.corpus_hash == prepared.corpus_hash


def test_sampling_is_even_and_in_order():
    assert list(sampled(range(10), num_items=10, max_items=20)) == list(range(10))
    assert len(list(sampled(range(10), num_items=10, max_items=4))) == 4
    chosen = list(sampled(range(1000), num_items=1000, max_items=10))
    assert {second - first for first, second in zip(chosen, chosen[1:], strict=False)} == {100}


# --- faults: everything at once, nothing written ---


def test_faults_of_all_sets_are_reported_together_and_nothing_is_written(project):
    (project.folder / "dev.tgt").write_bytes(b"\xff\n" * 20)
    packed = gzip.compress("\n".join(SRC).encode())
    (project.folder / "train.src.gz").write_bytes(packed[: len(packed) // 2])
    train = {"format": "text", "src": f"{project.folder}/train.src.gz", "tgt": f"{project.folder}/train.tgt"}
    found = project.problems(data={"train": (train, {"format": "tsv", "path": f"{project.folder}/train.tgt"})})
    codes = [problem.code for problem in found]
    assert codes[0] == "MT052"
    assert "MT053" in codes
    assert "MT055" in codes
    assert not (project.folder / "cache").exists()


def test_missing_files_are_all_named(project):
    found = project.problems(train=("train", "lost"), data={"test": {"x": project.source("away")}})
    assert [problem.code for problem in found] == ["MT050"] * 4
    assert not (project.folder / "cache").exists()


@pytest.mark.parametrize(
    ("src", "tgt", "data", "expected"),
    [
        ([], [], {}, "0 of 0"),
        (["", "a"], ["x", " "], {}, "2 blank"),
        (SRC, TGT, {"max_length": 4}, "300 too long"),
        (SRC, SRC, {}, "300 identical"),
    ],
)
def test_an_empty_corpus_is_refused(project, src, tgt, data, expected):
    project.write("train", src, tgt)
    [problem] = project.problems(data=data)
    assert problem.code == "MT054"
    assert expected in problem.message
    assert not (project.folder / "cache").exists()


def test_a_vocabulary_that_the_text_cannot_fill_is_refused(project):
    [problem] = project.problems(tokenizer={"vocab_size": 50_000})
    assert problem.code == "MT080"
    assert not (project.folder / "cache").exists()


def test_an_empty_evaluation_set_is_refused(project):
    project.write("dev", [], [])
    assert [problem.code for problem in project.problems()] == ["MT054"]


def test_invalid_text_is_skipped_in_training_only(project):
    (project.folder / "train.tgt").write_bytes(b"\xff\n" + "".join(f"{line}\n" for line in TGT[1:]).encode())
    prepared = project.prepare(data={"on_invalid_text": "skip"})
    assert (prepared.counts.invalid_text, prepared.counts.read, prepared.counts.kept) == (1, 300, 299)
    (project.folder / "dev.tgt").write_bytes(b"\xff\n" * 20)
    assert {problem.code for problem in project.problems(data={"on_invalid_text": "skip"})} == {"MT052"}


def test_what_was_put_right_is_announced_from_the_cache_too(project):
    (project.folder / "train.src").write_bytes("".join(f"{line}\r\n" for line in SRC).encode())
    for _ in range(2):
        assert decoded(project.prepare())[0] == (SRC[0], TGT[0])
        assert any("300 of 300 lines ended in CR LF" in line for line in project.lines)


def test_real_text_has_the_overlap_its_readme_tells_of(shared_data, tmp_path):
    folder = shared_data / "multi30k.en-de"

    def source(name):
        return {"format": "text", "src": f"{folder}/{name}.en.gz", "tgt": f"{folder}/{name}.de.gz"}

    config = {
        "data": {"src_lang": "en", "tgt_lang": "de", "train": (source("train"),), "dev": source("val")},
        "tokenizer": {"algorithm": "bpe", "vocab_size": 2000},
        "runtime": {"cache_folder": str(tmp_path)},
    }
    prepared = prepare_data(TrainConfig.model_validate(config), announce=lambda line: None)
    assert (prepared.counts.read, prepared.dev.exact_train_overlap) == (29_000, 1)
