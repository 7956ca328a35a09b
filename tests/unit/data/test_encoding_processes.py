"""Encoding by several processes: the same bytes as by one, in bounded memory, and nothing is left of them."""

import os
import signal
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from mt_trainer.config.schema import TrainConfig
from mt_trainer.data import encoding, encoding_processes, prepare
from mt_trainer.data.cleaning import CleaningCounts, Verdict
from mt_trainer.data.encoded_pairs import LengthRules
from mt_trainer.data.encoding import encode_corpus
from mt_trainer.data.encoding_processes import EncodingProcess, corpus_parts, num_encoding_processes
from mt_trainer.data.prepare import judge_training_text, training_texts
from mt_trainer.data.reading import FileTraits, PairRow, ParallelText
from mt_trainer.errors import MtError, Problem
from mt_trainer.tokenizer import Tokenizer, TokenizerPair, train_tokenizer

if TYPE_CHECKING:
    from tests.unit.data.conftest import Project

RULES = LengthRules(max_length=128, max_length_ratio=3.0)
PAIRS = [(f"number {i}", f"Nummer {i}") for i in range(40)]


def tokenizer(vocab_size: int, lines: list[str]) -> Tokenizer:
    return train_tokenizer(
        lines, algorithm="unigram", vocab_size=vocab_size, character_coverage=1.0, byte_fallback=True, num_threads=1
    )


@pytest.fixture(scope="module")
def tokenizers() -> TokenizerPair:
    joint = tokenizer(280, [text for pair in PAIRS for text in pair])
    return TokenizerPair(joint, joint, is_joint=True)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list["subprocess.Popen[bytes]"]:
    """The processes that are started."""
    processes: list[subprocess.Popen[bytes]] = []
    start = subprocess.Popen

    def noted(*arguments: Any, **settings: Any) -> "subprocess.Popen[bytes]":
        processes.append(start(*arguments, **settings))
        return processes[-1]

    monkeypatch.setattr(encoding_processes.subprocess, "Popen", noted)
    return processes


def encoded(folder: Path, config: TrainConfig, tokenizers: TokenizerPair, num_processes: int) -> CleaningCounts:
    folder.mkdir()
    texts = training_texts(config.data)
    verdicts = judge_training_text(texts, config.data)
    return encode_corpus(folder, texts, verdicts, tokenizers, config.data, num_processes=num_processes)


@pytest.mark.parametrize(("is_joint", "numbers"), [(True, (1, 2, 6)), (False, (2,))], ids=["joint", "of each side"])
def test_the_corpus_is_the_same_byte_for_byte_however_many_processes_encode(
    project: "Project",
    is_joint: bool,
    numbers: tuple[int, ...],
    monkeypatch: pytest.MonkeyPatch,
    started: list["subprocess.Popen[bytes]"],
) -> None:
    src, tgt = list(project.src), list(project.tgt)
    src[3] = "\u200b"  # no piece is left of it
    src[17] = " ".join(src[:30])  # too many pieces
    tgt[37] = "ba"  # lopsided
    tgt[40] = "Größe 𝄞 \u2028 ﬁ\t!"
    project.write("train", src, tgt)
    config = TrainConfig.model_validate(project.config(data={"max_length": 100, "max_length_ratio": 2.0}))
    sides = (tokenizer(300, project.src), tokenizer(310, project.tgt))
    pair = TokenizerPair(sides[0], sides[0], True) if is_joint else TokenizerPair(*sides, False)
    monkeypatch.setattr(encoding, "CHUNK_PAIRS", 64)  # five chunks
    found = {number: encoded(project.folder / str(number), config, pair, number) for number in (0, *numbers)}
    assert min(found[0].too_long, found[0].length_ratio, found[0].empty_after_tokenisation) > 0
    files = sorted(path.name for path in (project.folder / "0").iterdir())
    assert {"meta.json", "src_tokens.bin", "tgt_offsets.bin", "src_hashes_alike.bin"} <= set(files)
    for number, counts in found.items():
        folder = project.folder / str(number)
        assert counts == found[0]
        assert sorted(path.name for path in folder.iterdir()) == files
        for name in files:
            assert (folder / name).read_bytes() == (project.folder / "0" / name).read_bytes(), (number, name)
    assert len(started) == sum(numbers)
    assert all(process.poll() is not None for process in started)


def test_a_run_with_enough_text_and_cores_takes_them(
    project: "Project", monkeypatch: pytest.MonkeyPatch, started: list["subprocess.Popen[bytes]"]
) -> None:
    plain = project.prepare()
    assert not started
    project.folder.joinpath("cache").rename(project.folder / "plain")
    monkeypatch.setattr(encoding_processes, "FEWEST_PAIRS", 300)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 3})
    prepared = project.prepare()
    assert len(started) == 2
    assert (prepared.corpus_hash, prepared.counts, prepared.train.name) == (
        plain.corpus_hash,
        plain.counts,
        plain.train.name,
    )


def test_how_many_processes_a_text_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(6)))
    assert num_encoding_processes(199_999, threads=None) == 0
    assert num_encoding_processes(200_000, threads=None) == 6
    assert num_encoding_processes(200_000, threads=3) == 3
    assert num_encoding_processes(200_000, threads=64) == 8
    assert num_encoding_processes(200_000, threads=1) == 0


# --- interruption ---


def test_an_interrupted_build_leaves_neither_files_nor_processes(
    project: "Project", monkeypatch: pytest.MonkeyPatch, started: list["subprocess.Popen[bytes]"]
) -> None:
    monkeypatch.setattr(encoding, "CHUNK_PAIRS", 32)
    monkeypatch.setattr(prepare, "num_encoding_processes", lambda *_, **__: 2)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(encoding.CorpusWriter, "append", interrupt)
        with pytest.raises(KeyboardInterrupt):
            project.prepare()
    assert len(started) == 2
    assert all(process.poll() is not None for process in started)
    assert not (project.folder / "cache").exists()
    assert project.prepare().counts.kept == 300


def test_a_fault_in_the_text_ends_them(tokenizers: TokenizerPair, started: list["subprocess.Popen[bytes]"]) -> None:
    def chunks() -> Iterator[list[tuple[str, str]]]:
        yield PAIRS
        yield PAIRS
        raise RuntimeError("the text ends here")

    with pytest.raises(RuntimeError, match="the text ends here"):
        list(corpus_parts(chunks(), tokenizers, RULES, num_processes=3))
    assert len(started) == 3
    assert all(process.poll() is not None for process in started)


def test_signals_that_a_launcher_sends_to_all_do_not_end_them(
    tokenizers: TokenizerPair, started: list["subprocess.Popen[bytes]"]
) -> None:
    process = EncodingProcess(tokenizers, RULES)
    process.begin(PAIRS)
    before = process.result()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
        started[0].send_signal(number)
    process.begin(PAIRS)
    assert process.result().src.tokens.tolist() == before.src.tokens.tolist()
    assert os.getpgid(started[0].pid) != os.getpgid(0), "Ctrl-C would reach it"
    process.end()
    assert started[0].poll() == -signal.SIGKILL


@pytest.mark.parametrize("has_a_chunk", [True, False])
def test_one_that_is_lost_ends_the_run_with_its_cause(
    tokenizers: TokenizerPair, started: list["subprocess.Popen[bytes]"], has_a_chunk: bool
) -> None:
    process = EncodingProcess(tokenizers, RULES)
    if has_a_chunk:
        process.begin(PAIRS)
    started[0].kill()
    started[0].wait()
    with pytest.raises(MtError) as caught:
        process.result() if has_a_chunk else process.begin(PAIRS)
    [problem] = caught.value.problems
    assert (problem.code, problem.message) == (
        "MT160",
        "a process that encodes the training text was ended by signal 9",
    )
    assert caught.value.exit_code == 1
    process.end()


def test_they_end_when_the_run_is_killed(tmp_path: Path, tokenizers: TokenizerPair) -> None:
    program = """
import os, signal, sys
from mt_trainer.data.encoded_pairs import LengthRules
from mt_trainer.data.encoding_processes import EncodingProcess
from mt_trainer.tokenizer import TokenizerPair
from pathlib import Path

process = EncodingProcess(TokenizerPair.load(Path(sys.argv[1])), LengthRules(128, 3.0))
process.begin([("a", "b")])
process.result()
print(process._process.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    tokenizers.save(tmp_path)
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    while is_alive(int(done.stdout)):  # the test's own time limit is the only one
        time.sleep(0.01)
    assert not done.stderr


def is_alive(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


# --- memory ---


class MadeUp:
    """Pairs that are made when they are asked for, and the number of those that are held."""

    name = "made up"

    def __init__(self, number: int) -> None:
        self.number = number

    def missing(self) -> list[Problem]:
        return []

    def fingerprint(self) -> str:
        return str(self.number)

    def rows(self) -> Iterator[PairRow]:
        for number in range(self.number):
            yield f"number {number} " * 8, f"Nummer {number} " * 8

    def notes(self) -> list[str]:
        return []

    def places(self, number: int) -> tuple[str, str]:
        return str(number), str(number)

    def file_traits(self) -> list[FileTraits]:
        return []


def peak_bytes(folder: Path, number: int, tokenizers: TokenizerPair, num_processes: int) -> int:
    """Of Python's own memory, numpy's included, from the first reading to the corpus on the disk."""
    folder.mkdir()
    source = {"format": "phrasebook", "split": "train"}  # not read
    config = {"data": {"src_lang": "en", "tgt_lang": "de", "train": (source,), "dev": source}}
    data = TrainConfig.model_validate(config).data
    texts = [ParallelText(MadeUp(number), on_invalid_text="stop")]
    tracemalloc.start()
    try:
        verdicts = judge_training_text(texts, data)
        counts = encode_corpus(folder, texts, verdicts, tokenizers, data, num_processes=num_processes)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (counts.kept, np.bincount(verdicts)[Verdict.KEPT]) == (number, number)
    return peak


@pytest.mark.parametrize("num_processes", [0, 2])
def test_memory_hardly_grows_with_the_text(
    tmp_path: Path, tokenizers: TokenizerPair, num_processes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoding, "CHUNK_PAIRS", 200)
    small, large = 2_000, 10_000
    peaks = [peak_bytes(tmp_path / str(each), each, tokenizers, num_processes) for each in (small, large)]
    a_pair = (peaks[1] - peaks[0]) / (large - small)
    # Either text of a pair takes 130 bytes, its ids more; the verdicts, lengths and hashes of a pair, and what it takes
    # to sort them, less than this.
    assert a_pair < 100
