"""The commands as somebody would use them who means no good: a message and a status, never a traceback."""

from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from mt_trainer.cli import data as mt_data
from mt_trainer.cli import eval as mt_eval
from mt_trainer.cli import run as mt_run
from mt_trainer.cli import tokenizer as mt_tokenizer
from mt_trainer.cli import train as mt_train
from mt_trainer.cli import translate as mt_translate
from mt_trainer.cli.command import showing_problems
from mt_trainer.config import load_config
from mt_trainer.files import EMPTY
from mt_trainer.tokenizer import TokenizerPair, train_tokenizer
from mt_trainer.training.building import build_model
from mt_trainer.training.checkpoints.checkpoint import save_checkpoint
from mt_trainer.training.checkpoints.manifest import Origin
from mt_trainer.training.run_folder import RunFolder

CONFIG = """\
data:
  src_lang: en
  tgt_lang: de
  train: {format: text, src: train.en, tgt: train.de}
  dev: {format: text, src: dev.en, tgt: dev.de}
tokenizer: {vocab_size: 300}
model: {num_encoder_layers: 1, num_decoder_layers: 1, d_model: 8, ffn_dim: 8, num_heads: 2}
runtime: {device: cpu, threads: 1}
"""
LINES = [f"{word} {word[::-1]} number {i}" for i, word in enumerate(("dog", "cat", "house", "tree") * 30)]
LONG = "x" * 300


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with a config, text, a run, and things that are none of these."""
    folder = tmp_path_factory.mktemp("work")
    files = {
        "train.en": "a dog\nb c\n" * 40,
        "train.de": "ein Hund\nx y\n" * 40,
        "dev.en": "a\n" * 3,
        "dev.de": "b\n" * 3,
    }
    for name, content in {**files, "ende.yaml": CONFIG, "empty": ""}.items():
        (folder / name).write_text(content)
    (folder / "bytes").write_bytes(bytes(range(256)) * 10)
    (folder / "folder").mkdir()
    config = load_config(folder / "ende.yaml")
    made = train_tokenizer(
        LINES, algorithm="bpe", vocab_size=300, character_coverage=1.0, byte_fallback=True, num_threads=1
    )
    pair = TokenizerPair(made, made, is_joint=True)
    run = RunFolder.open(folder / "runs/demo", config)
    run.create(pair, environment={}, data={"sets": {}})
    weights = dict(build_model(config, pair).named_parameters())
    origin = Origin(EMPTY, run.config_seal, "c" * 64, pair.content_hash, {})
    state = {"step": 3, "dev": None}
    save_checkpoint(run.checkpoints, "step_00000003", model=weights, optimizer={}, state=state, origin=origin)
    return folder


def outcome(command: Callable[..., None], *arguments: str, text: bytes = b"") -> tuple[int, str]:
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(showing_problems(command))
    result = CliRunner().invoke(app, list(arguments), input=text)
    assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
    return result.exit_code, result.stderr


def listing(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if "cache" not in path.parts)


TRAIN: list[tuple[int, str, list[str]]] = [
    (2, "MT001", ["--config", ""]),
    (2, "MT001", ["--config", "."]),
    (2, "MT001", ["--config", "/dev/null"]),
    (2, "MT001", ["--config", "a\0b"]),
    (2, "MT001", ["--config", "x" * 5000]),
    (2, "MT020", ["--config", "empty"]),
    (2, "MT020", ["--config", "bytes"]),
    *(
        (2, code, ["--config", "ende.yaml", "--set", setting])
        for code, setting in [
            ("MT002", ""),
            ("MT002", "="),
            ("MT002", "runtime.run_folder=a\0b"),
            ("MT002", "data.train.0.src=a\0b"),
            ("MT021", "a=b"),
            ("MT023", "training.max_steps=1e5"),
            ("MT024", "runtime.threads=100000"),
            ("MT024", "model.dropout=.nan"),
            ("MT026", "tokenizer.model_file=bytes"),
            ("MT028", "objective={name: label_smoothing, prior: nowhere}"),
            ("MT050", "data.train.0.src=folder"),
            ("MT050", f"data.dev.src={LONG}"),
            ("MT050", "data.dev={format: huggingface, path: ./nowhere, split: train}"),
            ("MT104", "objective={name: distillation, teacher: nowhere}"),
            ("MT104", "objective={name: distillation, teacher: train.en}"),
            ("MT104", "runtime.run_folder=train.en"),
            ("MT103", f"runtime.run_folder={LONG}"),
            ("MT103", f"runtime.cache_folder={LONG}"),
            ("MT103", "runtime.cache_folder=train.en"),
            ("MT103", "model={d_model: 65536, num_heads: 8, ffn_dim: 65536, num_encoder_layers: 1000}"),
        ]
    ),
    (4, "MT052", ["--config", "ende.yaml", "--set", "data.dev={format: tsv, path: bytes}"]),
    (2, "MT054", ["--config", "ende.yaml", "--set", "data.dev={format: text, src: empty, tgt: empty}"]),
    (2, "MT056", ["--config", "ende.yaml", "--set", "data.dev={format: huggingface, path: folder, split: dev}"]),
    (2, "MT083", ["--config", "ende.yaml", "--set", "tokenizer.vocab_size=16"]),
]

DEMO = ["--run", "runs/demo"]
EVAL = [
    (2, "MT005", []),
    (2, "MT104", ["--run", "nowhere"]),
    (2, "MT104", ["--run", LONG]),
    (2, "MT005", [*DEMO, "--src", "train.en"]),
    (2, "MT005", [*DEMO, "--src", "", "--ref", ""]),
    (2, "MT050", [*DEMO, "--src", "nowhere", "--ref", "nowhere"]),
    (2, "MT050", [*DEMO, "--src", "a\0b", "--ref", "dev.de"]),
    (4, "MT052", [*DEMO, "--src", "bytes", "--ref", "bytes"]),
    (2, "MT051", [*DEMO, "--src", "train.en", "--ref", "dev.de"]),
    (2, "MT054", [*DEMO, "--src", "empty", "--ref", "empty"]),
    (2, "MT005", [*DEMO, "--only", "x"]),
    (4, "MT101", [*DEMO, "--checkpoint", "../../ende.yaml"]),
    (4, "MT101", [*DEMO, "--checkpoint", ""]),
    (2, "MT024", [*DEMO, "--device", "tpu"]),
    (2, "MT002", [*DEMO, "--device", ""]),
    (2, "MT024", [*DEMO, "--set", "evaluation.tokenize=x"]),
    (2, "MT001", ["--config", "nowhere"]),
]

TRANSLATE = [
    (2, "MT104", ["--run", "nowhere"], b""),
    (2, "MT024", [*DEMO, "--n-best", "0"], b"a\n"),
    (2, "MT026", [*DEMO, "--n-best", "9"], b"a\n"),
    (4, "MT052", DEMO, b"\xff\n"),
    (4, "MT052", DEMO, b"\0\n"),
    (2, "MT050", [*DEMO, "--input", "folder"], b""),
    (2, "MT050", [*DEMO, "--input", "nowhere"], b""),
    (2, "MT103", [*DEMO, "--output", "folder"], b"a\n"),
    (2, "MT103", [*DEMO, "--output", "nowhere/x"], b"a\n"),
    (2, "MT103", [*DEMO, "--output", ""], b"a\n"),
    (2, "MT005", [*DEMO, "--set", "a=b"], b"a\n"),
]

TOKENIZER = [
    (2, "MT005", []),
    (2, "MT050", ["nowhere"]),
    (2, "MT050", ["folder"]),
    (4, "MT052", ["bytes"]),
    (2, "MT054", ["empty"]),
    (2, "MT024", ["train.en", "--vocab-size", "1"]),
    (2, "MT083", ["train.en", "--vocab-size", "17"]),
    (2, "MT080", ["train.en", "--vocab-size", "5000"]),
    (2, "MT024", ["train.en", "--algorithm", "x"]),
    (2, "MT024", ["train.en", "--character-coverage", "nan"]),
    (2, "MT024", ["train.en", "--max-training-lines", "0"]),
    (2, "MT005", ["--config", "ende.yaml", "--vocab-size", "10"]),
]

FILES = ["--src", "train.en", "--tgt", "train.de"]
OTHERS: list[tuple[Callable[..., None], int, str, list[str]]] = [
    (mt_tokenizer.inspect, 4, "MT081", ["bytes"]),
    (mt_tokenizer.inspect, 4, "MT081", ["folder"]),
    (mt_tokenizer.inspect, 4, "MT081", ["nowhere"]),
    (mt_tokenizer.inspect, 4, "MT081", [LONG]),
    (mt_run.verify, 2, "MT104", ["nowhere"]),
    (mt_run.verify, 2, "MT104", ["train.en"]),
    (mt_run.verify, 2, "MT104", [LONG]),
    (mt_run.replay, 4, "MT121", ["nowhere"]),
    (mt_run.replay, 4, "MT121", ["folder"]),
    (mt_run.replay, 4, "MT121", ["bytes"]),
    (mt_run.replay, 4, "MT121", [LONG]),
    *(
        (mt_data.check, status, code, arguments)
        for status, code, arguments in [
            (2, "MT005", []),
            (2, "MT001", ["--config", "nowhere"]),
            (2, "MT104", ["--run", LONG]),
            (2, "MT005", ["--src", "train.en"]),
            (2, "MT005", ["--src", "", "--tgt", ""]),
            (2, "MT050", ["--src", "nowhere", "--tgt", "folder"]),
            (2, "MT050", ["--src", "a\0b", "--tgt", "train.de"]),
            (2, "MT005", [*FILES, "--src-lang", ""]),
            (2, "MT005", [*FILES, "--test-src", "dev.en"]),
            (4, "MT081", [*FILES, "--tokenizer", "bytes"]),
            (2, "MT103", [*FILES, "--write", "train.en"]),
            (2, "MT103", [*FILES, "--write", LONG]),
            (2, "MT103", [*FILES, "--json", "folder"]),
            (2, "MT103", [*FILES, "--json", LONG]),
        ]
    ),
]

CASES: list[tuple[Callable[..., None], int, str, list[str], bytes]] = [
    *((mt_train.train, status, code, arguments, b"") for status, code, arguments in TRAIN),
    *((mt_eval.evaluate, status, code, arguments, b"") for status, code, arguments in EVAL),
    *((mt_translate.translate, status, code, arguments, text) for status, code, arguments, text in TRANSLATE),
    *((mt_tokenizer.train, status, code, ["--output", "x.model", *rest], b"") for status, code, rest in TOKENIZER),
    *((command, status, code, arguments, b"") for command, status, code, arguments in OTHERS),
]


@pytest.mark.parametrize(
    ("command", "status", "code", "arguments", "text"),
    CASES,
    ids=[f"{case[0].__name__}-{case[2]}-{i}" for i, case in enumerate(CASES)],
)
def test_a_fault_has_its_code_and_leaves_nothing(
    command: Callable[..., None],
    status: int,
    code: str,
    arguments: list[str],
    text: bytes,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(folder)
    before = listing(folder)
    found, stderr = outcome(command, *arguments, text=text)
    assert f"error[{code}]: " in stderr, stderr
    assert found == status
    assert listing(folder) == before


@pytest.mark.parametrize("text", ["\udcff", "a\0b", "\n\n", "\u2028"])
def test_any_text_on_the_command_line_is_cut_into_pieces(
    text: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    status, _ = outcome(mt_tokenizer.inspect, "runs/demo/tokenizer.model", "--text", text)
    assert status == 0
