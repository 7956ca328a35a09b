"""What is prepared once is not prepared again, unless a byte, a filter or the tokenizer has changed."""

import os
import shutil
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from mt_trainer.config.schema import TrainConfig
from mt_trainer.tokenizer import TokenizerPair

if TYPE_CHECKING:
    from tests.unit.data.conftest import Project


def test_a_second_run_takes_everything_from_the_cache(project: "Project") -> None:
    first = project.prepare()
    before = {file: file.stat().st_mtime_ns for file in (project.folder / "cache").rglob("*")}
    second = project.prepare()
    assert {file: file.stat().st_mtime_ns for file in (project.folder / "cache").rglob("*")} == before
    assert second.tokenizers.content_hash == first.tokenizers.content_hash
    assert (second.corpus_hash, second.counts) == (first.corpus_hash, first.counts)
    assert not any("trained" in line for line in project.lines)


def test_the_result_does_not_depend_on_the_cache(project: "Project") -> None:
    first = project.prepare()
    shutil.rmtree(project.folder / "cache")
    second = project.prepare()
    assert any("trained" in line for line in project.lines)
    assert (second.tokenizers.content_hash, second.corpus_hash) == (first.tokenizers.content_hash, first.corpus_hash)


def test_one_changed_byte_of_the_same_size_and_date_rebuilds(project: "Project") -> None:
    first = project.prepare()
    file = project.folder / "train.tgt"
    times, content = file.stat(), bytearray(file.read_bytes())
    content[0] = ord("k") if content[0] != ord("k") else ord("t")
    file.write_bytes(content)
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert file.stat().st_mtime_ns == times.st_mtime_ns
    second = project.prepare()
    assert second.corpus_hash != first.corpus_hash
    assert project.decoded(second)[0][1] == content.split(b"\n")[0].decode()


@pytest.mark.parametrize(
    "data",
    [{"max_length": 64}, {"max_length_ratio": 1.2}, {"drop_identical": False}, {"drop_duplicates": False}],
)
def test_a_changed_filter_rebuilds(project: "Project", data: dict[str, Any]) -> None:
    project.prepare()
    project.prepare(data=data)
    assert len(project.cached("corpora")) == 2


def test_a_changed_tokenizer_rebuilds(project: "Project") -> None:
    project.prepare()
    project.prepare(tokenizer={"vocab_size": 390})
    project.prepare(tokenizer={"algorithm": "bpe"})
    assert len(project.cached("corpora")) == len(project.cached("tokenizers")) == 3


def test_a_damaged_cache_is_refused_with_what_to_do(project: "Project") -> None:
    project.prepare()
    [key] = project.cached("corpora")
    file = project.folder / "cache" / "corpora" / key / "tgt_tokens.bin"
    file.write_bytes(file.read_bytes()[:-2])
    [problem] = project.problems()
    assert problem.code == "MT057"
    assert str(file.parent) in str(problem.help)


def test_a_damaged_cached_tokenizer_is_refused(project: "Project") -> None:
    project.prepare()
    [key] = project.cached("tokenizers")
    file = project.folder / "cache" / "tokenizers" / key / "tokenizer.model"
    content = bytearray(file.read_bytes())
    content[content.index("▁".encode())] ^= 1
    file.write_bytes(content)
    assert [problem.code for problem in project.problems()] == ["MT057"]


def test_an_interrupted_build_leaves_nothing(project: "Project", monkeypatch: pytest.MonkeyPatch) -> None:
    from mt_trainer.data import encoded_pairs

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(encoded_pairs, "judge_lengths", interrupt)
        with pytest.raises(KeyboardInterrupt):
            project.prepare()
    assert not (project.folder / "cache").exists()
    assert project.prepare().counts.kept == 300


def test_a_build_that_was_killed_is_never_used(project: "Project") -> None:
    clean = project.prepare()
    shutil.rmtree(project.folder / "cache")
    killed = """
import os, signal, sys
from mt_trainer.data import corpus, encoding
from mt_trainer.data.prepare import prepare_data
from mt_trainer.config.schema import TrainConfig

def die(self, **_):
    for stream in self._streams.values():
        stream.flush()
    os.kill(os.getpid(), signal.SIGKILL)

corpus.CorpusWriter.finish = die
prepare_data(TrainConfig.model_validate_json(sys.argv[1]), announce=print)
"""
    config = TrainConfig.model_validate(project.config())
    done = subprocess.run([sys.executable, "-c", killed, config.model_dump_json()], capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    left = [path for path in (project.folder / "cache").rglob("*") if path.is_file()]
    assert left  # it had begun to write
    prepared = project.prepare()
    assert any("trained" in line for line in project.lines)
    assert (prepared.corpus_hash, prepared.counts) == (clean.corpus_hash, clean.counts)


def test_a_file_that_changes_while_it_is_read_is_noticed(project: "Project", monkeypatch: pytest.MonkeyPatch) -> None:
    from mt_trainer.data import encoding, prepare

    def changing(*arguments: Any) -> TokenizerPair:
        project.write("train", [*project.src, "one more"], [*project.tgt, "einer mehr"])
        return encoding.train_tokenizers(*arguments)

    monkeypatch.setattr(prepare, "train_tokenizers", changing)
    [problem] = project.problems()
    assert "changed while it was read" in problem.message
    assert not (project.folder / "cache").exists()


def test_what_a_killed_preparation_has_left_goes_with_the_next_one(project: "Project") -> None:
    for kind in ("tokenizers", "corpora"):
        left = project.folder / f"cache/{kind}/0123.4567.tmp"
        left.mkdir(parents=True)
        (left / "half.bin").write_bytes(b"x")
    project.prepare()
    assert not list((project.folder / "cache").rglob("*.tmp"))
