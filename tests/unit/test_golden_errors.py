"""Every code of the project: raised through a public door, and printed as docs/errors.md shows it, word for word."""

import errno
import gzip
import json
import os
import re
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch

from mt_trainer.config import TrainConfig, load_config
from mt_trainer.config import merging as config_merging
from mt_trainer.config.data import HuggingFaceSource, TextSource, TsvSource
from mt_trainer.config.evaluation import DecodingConfig, EvaluationConfig
from mt_trainer.config.objective import WeightedLabelSmoothingConfig
from mt_trainer.config.runtime import RuntimeConfig
from mt_trainer.data.corpus import Corpus, CorpusWriter, EncodedSide
from mt_trainer.data.evaluation_sets import EvalSet, require_little_overlap
from mt_trainer.data.loader import Position
from mt_trainer.data.prepare import judge_training_text, training_texts
from mt_trainer.data.sources import read_source, require_sources
from mt_trainer.data.tokenizers import require_unigram
from mt_trainer.decoding.translate import build_translator
from mt_trainer.distributed.joining import JoinedRanks
from mt_trainer.distributed.launch import Launch, require_one_process
from mt_trainer.distributed.ranks import ALONE
from mt_trainer.distributed.watch import Heard, find_lost
from mt_trainer.errors import ERROR_KINDS, MtError
from mt_trainer.evaluation import metrics
from mt_trainer.files import EMPTY, Fingerprint
from mt_trainer.machine import set_up_machine
from mt_trainer.objectives import build_objective
from mt_trainer.objectives.building.vocabulary_files import read_prior
from mt_trainer.tokenizer import Tokenizer, TokenizerPair, train_tokenizer
from mt_trainer.training.building import build_model
from mt_trainer.training.checkpoints import checkpoint, manifest
from mt_trainer.training.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from mt_trainer.training.checkpoints.manifest import Origin
from mt_trainer.training.diverging import recovery, replay
from mt_trainer.training.diverging.capsule import load_capsule
from mt_trainer.training.diverging.recovery import Recovery
from mt_trainer.training.loading import load_run
from mt_trainer.training.progress import Progress
from mt_trainer.training.run_folder import RunFolder
from mt_trainer.training.teacher import RunTeacher

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "errors.md").read_text(encoding="utf-8")
SHIPPED = ["demo.yaml", "iwslt14.yaml", "multi30k.yaml", "multi30k_tailr.yaml", "wmt14.yaml"]

DATA = """\
data:
  src_lang: en
  tgt_lang: de
  train: {format: text, src: train.en, tgt: train.de}
  dev: {format: text, src: dev.en, tgt: dev.de}
"""
SMALL = """\
tokenizer: {vocab_size: 300}
model: {num_encoder_layers: 1, num_decoder_layers: 1, d_model: 8, ffn_dim: 8, num_heads: 2}
"""
CAPSULE = Path("runs/mine/crash/step_00003412.json")
LINES = [f"{word} {word[::-1]} number {i}" for i, word in enumerate(("dog", "cat", "house", "tree") * 30)]


def config(text: str = "", *overrides: str) -> TrainConfig:
    Path("ende.yaml").write_text(text if re.search(r"^(data|extends):", text, re.MULTILINE) else DATA + text)
    return load_config("ende.yaml", overrides)


def tokenizer(algorithm: str = "unigram", vocab_size: int = 300, lines: list[str] = LINES) -> Tokenizer:
    return train_tokenizer(
        lines, algorithm=algorithm, vocab_size=vocab_size, character_coverage=1.0, byte_fallback=True, num_threads=1
    )


def pair(made: Tokenizer) -> TokenizerPair:
    return TokenizerPair(made, made, is_joint=True)


def read(source: Any) -> None:
    list(read_source(source, src_lang="en", tgt_lang="de", on_invalid_text="stop").pairs())


def write(**files: bytes | str) -> None:
    """Files of the working folder; `_` in a name stands for a dot."""
    for name, content in files.items():
        path = Path(name.replace("_", "."))
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


def run(folder: str = "runs/demo", steps: tuple[int, ...] = (4000,)) -> Path:
    """A small run folder with checkpoints."""
    settings, made = config(SMALL), pair(tokenizer())
    opened = RunFolder.open(Path(folder), settings)
    opened.create(made, environment={}, data={})
    weights = dict(build_model(settings, made).named_parameters())
    for step in steps:
        origin = Origin(EMPTY, opened.config_seal, "c" * 64, made.content_hash, {})
        state = {"step": step, "dev": {"bleu": 1.0, "nll": 1.0}, "progress": {}}
        save_checkpoint(opened.checkpoints, f"step_{step:08d}", model=weights, optimizer={}, state=state, origin=origin)
    return opened.path


def a_missing_config(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(config_merging, "recipe_names", lambda: SHIPPED)
    load_config("mulit30k.yaml")


def a_missing_package(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(metrics, "find_spec", lambda name: None)
    metrics.build_metrics(EvaluationConfig(moses_lowercase=True), tgt_lang="de")


def a_missing_device(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(torch.cuda, "is_available", lambda: False)
    set_up_machine(RuntimeConfig(device="cuda"))


def no_compiler(patch: pytest.MonkeyPatch) -> None:
    patch.setenv("CXX", "/nowhere/g++")
    set_up_machine(RuntimeConfig(device="cpu", compile=True))


def options_that_do_not_fit(patch: pytest.MonkeyPatch) -> None:
    from mt_trainer.cli.eval import evaluate

    evaluate()


def a_base_that_is_nowhere(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(config_merging, "recipe_names", lambda: SHIPPED)
    config("extends: base.yaml\n")


def a_prior_that_is_too_short(patch: pytest.MonkeyPatch) -> None:
    write(prior_txt=f"{1 / 7999}\n" * 7999)
    read_prior("prior.txt", vocab_size=8000)


def a_group_without_pieces(patch: pytest.MonkeyPatch) -> None:
    shares = {"target_share": 0.6, "common_share": 0.4, "source_share": 0.0}
    objective = WeightedLabelSmoothingConfig(name="weighted_label_smoothing", **shares)
    counts = {"source_counts": torch.zeros(9), "target_counts": torch.ones(9)}
    build_objective(objective, vocab_size=9, pad_id=0, **counts)


def a_teacher_with_another_tokenizer(patch: pytest.MonkeyPatch) -> None:
    folder = run("runs/teacher")
    teacher = RunTeacher(cast(Any, None), load_run(folder), "objective.teacher")
    teacher.require_tokenizers(pair(tokenizer("bpe")))


def a_missing_file(patch: pytest.MonkeyPatch) -> None:
    write(train_de="")
    source = TextSource(format="text", src="data/train.en", tgt="train.de")
    text = read_source(source, src_lang="en", tgt_lang="de", on_invalid_text="stop")
    require_sources({"data.train": text})


def a_lost_line(patch: pytest.MonkeyPatch) -> None:
    rows = ["word " * (1 + i * i % 17) for i in range(29_000)]
    lost = rows[:1411] + rows[1412:]
    write(train_en="".join(f"{row}\n" for row in rows), train_de="".join(f"{row}\n" for row in lost))
    read(TextSource(format="text", src="train.en", tgt="train.de"))


def a_byte_of_another_encoding(patch: pytest.MonkeyPatch) -> None:
    lines = [b"ein Satz"] * 3020 + ["der Hund ist früh da".encode("latin-1")]
    write(train_de=b"\n".join(lines), train_en=b"a sentence\n" * 3021)
    read(TextSource(format="text", src="train.en", tgt="train.de"))


def a_cut_archive(patch: pytest.MonkeyPatch) -> None:
    write(
        train_en_gz=gzip.compress(b"a line of some twenty characters and more\n" * 28_000)[:-9],
        train_de="eine Zeile\n" * 28_000,
    )
    read(TextSource(format="text", src="train.en.gz", tgt="train.de"))


def nothing_left(patch: pytest.MonkeyPatch) -> None:
    write(train_en="the same on both sides\nand here as well\n", train_de="the same on both sides\nand here as well\n")
    data = config("").data
    judge_training_text(training_texts(data), data)


def a_missing_column(patch: pytest.MonkeyPatch) -> None:
    write(pairs_tsv="only one column\n")
    read(TsvSource(format="tsv", path="pairs.tsv"))


def a_missing_split(patch: pytest.MonkeyPatch) -> None:
    Path("tables").mkdir()
    (Path("tables") / "train.csv").write_text("en,de\na,b\n")
    read(HuggingFaceSource(format="huggingface", path="tables", split="dev"))


def a_damaged_cache(patch: pytest.MonkeyPatch) -> None:
    folder = Path("runs/cache/corpora/3f2a")
    folder.mkdir(parents=True)
    writer = CorpusWriter(folder, src_vocab_size=300, tgt_vocab_size=300)
    writer.append(*(EncodedSide.of(ids, vocab_size=300) for ids in ([list(range(60))], [[1]])))
    writer.finish(meta={}, arrays={"src_hashes": np.zeros(1, dtype=np.uint64)})
    writer.close()
    (folder / "src_tokens.bin").write_bytes(bytes(100))
    Corpus(folder)


def a_set_that_training_knows(patch: pytest.MonkeyPatch) -> None:
    texts = [""] * 1000
    news = EvalSet("news", texts, texts, "abc", train_overlap=31, exact_train_overlap=30)
    require_little_overlap({"data.test.news": news}, 0.01)


def a_divergence(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(recovery, "last_good_checkpoint", lambda run: None)
    patch.setattr(Recovery, "_write_capsule", lambda *arguments: CAPSULE)
    stop: Any = SimpleNamespace(config=SimpleNamespace(training=SimpleNamespace(on_divergence="stop")))
    reason = "the loss or gradient of step 3,412 is not finite, nor were those of 10 steps before it"
    other: Any = None
    found: Any = SimpleNamespace(reason=reason)
    Recovery(stop, other, other, other, ALONE, {}, print).recover(found, Progress())


def a_replay_with_other_numbers(patch: pytest.MonkeyPatch) -> None:
    number = {"value": "1.0", "bits": "3f800000"}
    capsule = SimpleNamespace(step=3412, reason="x", position=Position(), micro_batches=[], sums={"loss": number})
    parts = SimpleNamespace(
        loader=SimpleNamespace(steps=lambda position: [SimpleNamespace(micro_batches=[])]),
        learner=SimpleNamespace(model=torch.nn.Linear(1, 1)),
    )
    step = SimpleNamespace(is_finite=torch.tensor(True))
    patch.setattr(replay, "load_capsule", lambda path: capsule)
    patch.setattr(replay, "_prepare", lambda *a: SimpleNamespace(parts=parts, take_step=lambda *a: step))
    patch.setattr(replay, "_go_back", lambda *arguments: Progress(step=3411))
    patch.setattr(replay, "numbers_of", lambda result: {"loss": number, "grad_norm": number})
    patch.setattr(replay, "_nll", lambda result: 1.0)
    replay.replay(CAPSULE, tell=lambda word, text: None)


def a_foreign_tokenizer_of_a_run(patch: pytest.MonkeyPatch) -> None:
    folder = run()
    tokenizer("bpe").save(folder / "tokenizer.model")
    load_run(folder)


def another_config(patch: pytest.MonkeyPatch) -> None:
    RunFolder.open(run(), config(SMALL, "objective.epsilon=0.2"))


def a_damaged_checkpoint(patch: pytest.MonkeyPatch) -> None:
    file = run() / "checkpoints/step_00004000/model.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    load_checkpoint(file.parent)


def a_full_disk(patch: pytest.MonkeyPatch) -> None:
    def refused(path: Path, parts: object) -> Fingerprint:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    patch.setattr(checkpoint, "write_new", refused)
    patch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=4096))
    weights = {"weight": torch.zeros(18_979_630, dtype=torch.uint8)}
    origin = Origin(EMPTY, "c" * 64, "d" * 64, "e" * 64, {})
    folder = Path("runs/demo/checkpoints")
    save_checkpoint(folder, "step_00004000", model=weights, optimizer={}, state={}, origin=origin)


def a_changed_config(patch: pytest.MonkeyPatch) -> None:
    path = run() / "config.yaml"
    path.write_text(path.read_text().replace("dropout: 0.1", "dropout: 0.2"))
    load_run(path.parent)


def a_newer_checkpoint(patch: pytest.MonkeyPatch) -> None:
    origin = Origin(EMPTY, "c" * 64, "d" * 64, "e" * 64, {})
    folder, state = Path("runs/demo/checkpoints"), {"step": 4000, "dev": None}
    with patch.context() as newer:
        newer.setattr(manifest, "FORMAT", 2)
        save_checkpoint(folder, "step_00004000", model={}, optimizer={}, state=state, origin=origin)
    load_checkpoint(folder / "step_00004000")


def a_run_in_use(patch: pytest.MonkeyPatch) -> None:
    first, second = (RunFolder.open(Path("runs/ende"), config(SMALL)) for _ in range(2))
    with first.locked(), second.locked():
        pass


def a_silent_rank() -> None:
    heard = {0: Heard(at=300.0, step=37), 1: Heard(at=0.0, step=37)}
    lost = find_lost(heard, own_rank=0, silence=299.0, timeout=300.0, now=300.0)
    assert lost is not None
    raise MtError(lost.problem())


def a_rank_with_other_text() -> None:
    store = SimpleNamespace(check=lambda keys: True, get=lambda key: json.dumps({"training text": "a"}))
    watch = SimpleNamespace(is_idle=threading.Event())
    JoinedRanks(Launch(3, 4, 3), cast(Any, store), cast(Any, watch)).require_same({"training text": "b"})


def int8_on_a_gpu() -> None:
    settings, gpu = DecodingConfig(precision="int8"), torch.device("cuda")
    build_translator(settings, model=cast(Any, None), tokenizers=cast(Any, None), device=gpu, seed=1)


def one_of_several(patch: pytest.MonkeyPatch) -> None:
    patch.setenv("WORLD_SIZE", "2")
    require_one_process("a dry run")


DOORS: dict[str, Callable[[pytest.MonkeyPatch], object]] = {
    "MT001": a_missing_config,
    "MT002": lambda patch: config("", "training.max_steps"),
    "MT003": a_missing_package,
    "MT004": a_missing_device,
    "MT005": options_that_do_not_fit,
    "MT006": one_of_several,
    "MT007": lambda patch: int8_on_a_gpu(),
    "MT008": no_compiler,
    "MT020": lambda patch: config("model:\n\tpreset: transformer_tiny\n"),
    "MT021": lambda patch: config("objective:\n  name: label_smoothing\n  label_smoothin: 0.1\n"),
    "MT022": lambda patch: config(DATA.rpartition("  dev:")[0]),
    "MT023": lambda patch: config("training:\n  max_steps: ten\n"),
    "MT024": lambda patch: config("objective:\n  name: label_smoothing\n  epsilon: 1.5\n"),
    "MT025": lambda patch: config("training:\n  max_steps: 20000\n  patience: 5\n  max_steps: 30000\n"),
    "MT026": lambda patch: config("model:\n  preset: transformer_tiny\n  num_heads: 3\n"),
    "MT027": a_base_that_is_nowhere,
    "MT028": a_prior_that_is_too_short,
    "MT029": a_group_without_pieces,
    "MT030": a_teacher_with_another_tokenizer,
    "MT050": a_missing_file,
    "MT051": a_lost_line,
    "MT052": a_byte_of_another_encoding,
    "MT053": a_cut_archive,
    "MT054": nothing_left,
    "MT055": a_missing_column,
    "MT056": a_missing_split,
    "MT057": a_damaged_cache,
    "MT058": a_set_that_training_knows,
    "MT080": lambda patch: tokenizer(vocab_size=8000),
    "MT081": lambda patch: Tokenizer(b"no model", where="spm.model"),
    "MT082": a_foreign_tokenizer_of_a_run,
    "MT083": lambda patch: tokenizer(vocab_size=100),
    "MT084": lambda patch: require_unigram(pair(tokenizer("bpe"))),
    "MT100": another_config,
    "MT101": lambda patch: load_run(run(steps=(3000, 4000)), checkpoint="step_00001000"),
    "MT102": a_damaged_checkpoint,
    "MT103": a_full_disk,
    "MT104": lambda patch: load_run(Path("runs/dmeo")),
    "MT105": a_run_in_use,
    "MT106": a_changed_config,
    "MT107": a_newer_checkpoint,
    "MT120": a_divergence,
    "MT121": lambda patch: load_capsule(CAPSULE),
    "MT122": a_replay_with_other_numbers,
    "MT140": lambda patch: metrics.bleu(["a"] * 999, ["a"] * 1000, tokenize="13a", lowercase=False),
    "MT160": lambda patch: a_silent_rank(),
    "MT161": lambda patch: a_rank_with_other_text(),
}
"""How each code is come by, in an empty working folder."""


def refusal(code: str, patch: pytest.MonkeyPatch) -> MtError:
    with pytest.raises(MtError) as caught:
        DOORS[code](patch)
    return caught.value


def example(code: str) -> str:
    """The message that docs/errors.md shows for a code."""
    match = re.search(rf"^### {code}:.*?```\n(.*?)\n```", PAGE, re.MULTILINE | re.DOTALL)
    assert match is not None, f"docs/errors.md has no example of {code}"
    return match[1]


@pytest.mark.parametrize("code", ERROR_KINDS)
def test_a_code_is_raised_as_the_page_shows_it(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert code in DOORS, f"say in DOORS how {code} is come by"
    error = refusal(code, monkeypatch)
    assert [problem.code for problem in error.problems] == [code]
    assert error.render() == example(code)
    [problem] = error.problems
    assert problem.help, "it says no remedy"
    assert problem.where or code in WITHOUT_PLACE, "it says no place"


WITHOUT_PLACE = {"MT005", "MT006", "MT029", "MT140", "MT160", "MT161"}
"""Of options, of text as a whole, of numbers, of ranks: the message itself names what it is about."""


def test_no_door_leads_nowhere() -> None:
    assert DOORS.keys() == ERROR_KINDS.keys()
    assert ERROR_KINDS.keys() >= WITHOUT_PLACE
