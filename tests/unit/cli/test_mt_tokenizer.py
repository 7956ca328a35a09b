"""mt-tokenizer: trains the tokenizer that mt-train would train, and shows what a model file is."""

import random
import subprocess
import sys
from pathlib import Path

import pytest

from mt_trainer.cli import tokenizer as tokenizer_command
from mt_trainer.config import load_config
from mt_trainer.data.prepare import prepare_data
from mt_trainer.errors import DataError
from mt_trainer.tokenizer import Tokenizer

SYLLABLES = [consonant + vowel for consonant in "bdfgklmnprst" for vowel in "aeiou"]


def mt_tokenizer(*arguments: object, stdin: bytes = b"") -> tuple[int, str, str]:
    command = [sys.executable, "-m", "mt_trainer.cli.tokenizer", *map(str, arguments)]
    done = subprocess.run(command, input=stdin, capture_output=True, check=False)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


@pytest.fixture
def text_file(tmp_path: Path) -> Path:
    rng = random.Random(1)
    words = ["".join(rng.choices(SYLLABLES, k=rng.randint(2, 4))) for _ in range(80)]
    file = tmp_path / "text"
    file.write_text("".join(" ".join(rng.choices(words, k=8)) + "\n" for _ in range(300)))
    return file


def test_trains_on_files_and_inspects_the_result(text_file: Path, tmp_path: Path) -> None:
    model = tmp_path / "m.model"
    status, output, _ = mt_tokenizer("train", text_file, "--vocab-size", 350, "--algorithm", "bpe", "--output", model)
    assert status == 0
    tokenizer = Tokenizer.load(model)
    assert (tokenizer.vocab_size, tokenizer.algorithm) == (350, "bpe")
    assert tokenizer.content_hash in output

    status, output, _ = mt_tokenizer("inspect", model, stdin="ba\n\u2028漢\n".encode())
    assert status == 0
    assert tokenizer.content_hash in output
    assert "pad 0, unk 1, bos 2, eos 3" in output
    lines = output.splitlines()
    assert lines[-2] == "▁ <0xE6> <0xBC> <0xA2>"
    assert lines[-1].startswith("2 words in ")
    assert mt_tokenizer("inspect", model, "--text", "ba")[1].splitlines()[-1].startswith("1 words in ")


def test_trains_what_mt_train_would_train(text_file: Path, tmp_path: Path) -> None:
    source = f"{{format: tsv, path: {text_file}, tgt_column: 1}}"
    config = tmp_path / "x.yaml"
    config.write_text(
        f"data: {{src_lang: en, tgt_lang: de, train: {source}, dev: {source}, drop_identical: false}}\n"
        f"tokenizer: {{vocab_size: 350}}\nruntime: {{cache_folder: {tmp_path / 'cache'}}}\n"
    )
    status, _, errors = mt_tokenizer("train", "--config", config, "--output", tmp_path / "m.model")
    assert (status, errors) == (0, "")
    prepared = prepare_data(load_config(config), announce=lambda line: None)
    assert Tokenizer.load(tmp_path / "m.model").content_hash == prepared.tokenizers.content_hash

    two = ["--set", "tokenizer.joint=false", "--set", "model.share_embeddings=decoder"]
    status, _, errors = mt_tokenizer("train", "--config", config, *two, "--output", tmp_path / "two.model")
    assert (status, errors) == (0, "")
    assert {file.name for file in tmp_path.glob("two*")} == {"two.src.model", "two.tgt.model"}


@pytest.mark.parametrize(
    ("arguments", "status", "code"),
    [
        ([], 2, "MT005"),
        (["{text}", "--config", "x.yaml"], 2, "MT005"),
        (["--config", "x.yaml", "--vocab-size", "300"], 2, "MT005"),
        (["{text}", "--set", "tokenizer.vocab_size=300"], 2, "MT005"),
        (["{text}", "--vocab-size", "3"], 2, "MT024"),
        (["{text}", "--algorithm", "bpf"], 2, "MT024"),
        (["lost.txt"], 2, "MT050"),
        (["{text}", "--vocab-size", "90000"], 2, "MT080"),
        (["{text}", "--vocab-size", "100"], 2, "MT083"),
    ],
)
def test_faults(text_file: Path, tmp_path: Path, arguments: list[str], status: int, code: str) -> None:
    filled = [argument.format(text=text_file) for argument in arguments]
    done = mt_tokenizer("train", *filled, "--output", tmp_path / "m.model")
    assert done[0] == status
    assert f"error[{code}]" in done[2]
    assert "Traceback" not in done[2]
    assert not (tmp_path / "m.model").exists()


@pytest.mark.parametrize("output", ["nowhere/m.model", "text/m.model", "folder"])
def test_a_place_that_cannot_be_written_is_named_before_training(
    text_file: Path, tmp_path: Path, output: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "folder").mkdir()
    monkeypatch.setattr(tokenizer_command, "_train_on_files", lambda *_: pytest.fail("it was trained"))
    with pytest.raises(DataError) as caught:
        tokenizer_command.train(output=tmp_path / output, inputs=[text_file])
    [problem] = caught.value.problems
    assert (problem.code, problem.where) == ("MT103", str(tmp_path / output))
    assert {path.name for path in tmp_path.iterdir()} == {"text", "folder"}


def test_a_model_that_cannot_be_trained_leaves_the_old_one(text_file: Path, tmp_path: Path) -> None:
    model = tmp_path / "m.model"
    model.write_bytes(b"old")
    assert mt_tokenizer("train", text_file, "--vocab-size", 90000, "--output", model)[0] == 2
    assert model.read_bytes() == b"old"
    assert {path.name for path in tmp_path.iterdir()} == {"text", "m.model"}


def test_a_foreign_file_is_refused(text_file: Path) -> None:
    status, _, errors = mt_tokenizer("inspect", text_file)
    assert status == 4
    assert "error[MT081]" in errors
