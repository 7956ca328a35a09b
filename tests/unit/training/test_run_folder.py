"""The run folder: to whom it belongs, what is written first, which checkpoint is taken."""

import hashlib
import json
import os
import random
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mt_trainer.config import TrainConfig, load_config
from mt_trainer.errors import CheckpointError, ExitCode
from mt_trainer.tokenizer import TokenizerPair, train_tokenizer
from mt_trainer.training.building import build_model, max_positions_of
from mt_trainer.training.checkpoints.checkpoint import Checkpoint, best_checkpoint, save_checkpoint
from mt_trainer.training.checkpoints.manifest import Origin
from mt_trainer.training.loading import load_run
from mt_trainer.training.run_folder import RunFolder, changed_environment, recorded_overlap
from mt_trainer.training.verify import verify_run

Save = Callable[..., Checkpoint]
Config = Callable[..., TrainConfig]


def tokenizers(word: str) -> TokenizerPair:
    lines = [f"{word} {word[::-1]} {i} ein Hund läuft" for i in range(40)]
    tokenizer = train_tokenizer(
        lines, algorithm="bpe", vocab_size=300, character_coverage=1.0, byte_fallback=True, num_threads=1
    )
    return TokenizerPair(src=tokenizer, tgt=tokenizer, is_joint=True)


@pytest.fixture(scope="module")
def pair() -> TokenizerPair:
    return tokenizers("Katze")


NONE_IS_WHOLE = (
    "none is whole that could be used instead: restore one of them from a copy; "
    "or remove the folder `checkpoints` to train from the start"
)


def problem_of(open_run: Callable[[], object]) -> tuple[str, str, ExitCode]:
    with pytest.raises(CheckpointError) as caught:
        open_run()
    return caught.value.problems[0].code, caught.value.render(), caught.value.exit_code


def test_opening_writes_nothing(tmp_path: Path, config: Config) -> None:
    settings = config()
    before = sorted(tmp_path.rglob("*"))
    run = RunFolder.open(tmp_path / "runs/new", settings)
    assert sorted(tmp_path.rglob("*")) == before
    assert run.checkpoints == tmp_path / "runs/new/checkpoints"


def test_created_and_opened_again(tmp_path: Path, config: Config, pair: TokenizerPair) -> None:
    run = RunFolder.open(tmp_path / "runs/new", config())
    run.create(pair, environment={"threads": 1}, data={})
    assert load_config(run.path / "config.yaml") == config()
    assert TokenizerPair.load(run.path).content_hash == pair.content_hash
    again = RunFolder.open(tmp_path / "runs/new", config())
    again.create(pair, environment={"threads": 2}, data={})
    starts = json.loads((run.path / "environment.json").read_text())
    assert [start["threads"] for start in starts] == [1, 2]


def test_another_config_is_refused_with_the_difference(tmp_path: Path, config: Config, pair: TokenizerPair) -> None:
    folder = tmp_path / "runs/mine"
    RunFolder.open(folder, config()).create(pair, environment={}, data={})
    code, text, exit_code = problem_of(lambda: RunFolder.open(folder, config("model.dropout=0.25", "runtime.seed=7")))
    assert (code, exit_code) == ("MT100", ExitCode.USER_INPUT)
    assert "model.dropout: 0.1 in the folder, 0.25 now" in text
    assert "runtime.seed: 1 in the folder, 7 now" in text
    assert "2 settings differ" in text


def test_steps_with_which_the_learning_rate_ends_are_refused_with_the_reason(
    tmp_path: Path, config: Config, pair: TokenizerPair
) -> None:
    folder, linear = tmp_path / "runs/mine", "optim.schedule={name: linear, warmup_steps: 10}"
    RunFolder.open(folder, config(linear)).create(pair, environment={}, data={})
    longer = config(linear, "training.max_steps=200000", "training.patience=3")
    _, text, _ = problem_of(lambda: RunFolder.open(folder, longer))
    assert "   training.max_steps: 100000 in the folder, 200000 now; the learning rate ends with it" in text
    assert "patience" not in text


def test_values_are_shown_as_the_config_has_them(tmp_path: Path, config: Config, pair: TokenizerPair) -> None:
    folder = tmp_path / "runs/mine"
    RunFolder.open(folder, config()).create(pair, environment={}, data={})
    _, text, _ = problem_of(lambda: RunFolder.open(folder, config("optim.clip_norm=null", "model.norm_first=false")))
    assert "in the folder, null now" in text
    assert "model.norm_first: true in the folder, false now" in text


def test_a_harmless_change_is_allowed_and_recorded(tmp_path: Path, config: Config, pair: TokenizerPair) -> None:
    folder = tmp_path / "runs/mine"
    RunFolder.open(folder, config()).create(pair, environment={}, data={})
    RunFolder.open(folder, config("training.keep_checkpoints=9")).create(pair, environment={}, data={})
    assert load_config(folder / "config.yaml").training.keep_checkpoints == 9


def test_a_folder_of_something_else_is_refused(tmp_path: Path, config: Config) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    RunFolder.open(folder, config())
    (folder / "me.jpg").write_bytes(b"")
    assert problem_of(lambda: RunFolder.open(folder, config()))[::2] == ("MT104", ExitCode.USER_INPUT)
    assert problem_of(lambda: RunFolder.open(folder / "me.jpg", config()))[0] == "MT104"


def test_another_tokenizer_is_refused(tmp_path: Path, config: Config, pair: TokenizerPair) -> None:
    run = RunFolder.open(tmp_path / "runs/mine", config())
    run.create(pair, environment={}, data={})
    assert problem_of(lambda: run.create(tokenizers("Hund"), environment={}, data={}))[0] == "MT082"
    assert len(json.loads((run.path / "environment.json").read_text())) == 1


def test_a_folder_that_cannot_be_made(tmp_path: Path, config: Config, pair: TokenizerPair) -> None:
    run = RunFolder.open(tmp_path / "file/run", config())
    (tmp_path / "file").write_text("in the way")
    for attempt in (
        lambda: RunFolder.open(tmp_path / "file/run", config()),
        lambda: run.create(pair, environment={}, data={}),
    ):
        code, text, exit_code = problem_of(attempt)
        assert (code, exit_code) == ("MT103", ExitCode.USER_INPUT)
        assert "Not a directory" in text
        assert "are free" in text


@pytest.mark.parametrize("is_there", [True, False])
def test_a_folder_that_may_not_be_written_is_known_before_any_work(
    tmp_path: Path, config: Config, monkeypatch: pytest.MonkeyPatch, is_there: bool
) -> None:
    """The superuser may write anywhere, so the answer of the system is put on."""
    folder = tmp_path / "runs"
    if is_there:
        folder.mkdir()
    settings, locked = config(), folder if is_there else tmp_path
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != locked)
    code, text, exit_code = problem_of(lambda: RunFolder.open(folder, settings))
    assert (code, exit_code) == ("MT103", ExitCode.USER_INPUT)
    assert "Permission denied" in text


def test_a_damaged_newest_checkpoint_falls_back_loudly(tmp_path: Path, config: Config, save: Save) -> None:
    run = RunFolder(tmp_path, config())
    for step in (5, 10):
        save(step)
    said: list[str] = []
    newest = run.newest_checkpoint(said.append)
    assert newest is not None
    assert (newest.step, said) == (10, [])
    (tmp_path / "checkpoints/step_00000010/optimizer.safetensors").write_bytes(b"x")
    older = run.newest_checkpoint(said.append)
    assert older is not None
    assert older.step == 5
    [line] = said
    assert "step_00000010" in line
    assert "optimizer.safetensors" in line


def test_an_average_is_nothing_to_go_on_from(tmp_path: Path, config: Config, save: Save) -> None:
    save(5)
    save(10, name="average")
    newest = RunFolder(tmp_path, config()).newest_checkpoint(lambda line: None)
    assert newest is not None
    assert newest.step == 5
    assert RunFolder(tmp_path / "empty", config()).newest_checkpoint(lambda line: None) is None


def test_the_best_checkpoint_and_of_equals_the_earliest(save: Save) -> None:
    checkpoints = [save(1, bleu=10.0, nll=1.0), save(2, bleu=30.0, nll=3.0), save(3, bleu=30.0, nll=2.0), save(4)]
    assert best_checkpoint(checkpoints, "bleu").step == 2
    assert best_checkpoint(checkpoints, "nll").step == 1


@pytest.fixture
def trained(tmp_path: Path, config: Config, pair: TokenizerPair, origin: Origin) -> Path:
    """A run with steps 10 (the best), 20 and an average, whose first bias tells which is which."""
    run = RunFolder.open(tmp_path / "runs/mine", config())
    run.create(pair, environment={}, data={})
    model = build_model(run.config, pair)
    for step, bleu, name in ((10, 30.0, "step_00000010"), (20, 20.0, "step_00000020"), (20, 25.0, "average")):
        weights = {key: p.detach().clone() for key, p in model.named_parameters()}
        weights["encoder_norm.bias"].fill_(step + bleu)
        state = {"step": step, "dev": {"bleu": bleu, "nll": 1.0}}
        if name != "average":
            state["progress"] = {}
        its = replace(origin, config=run.config_seal, tokenizer=pair.content_hash)
        save_checkpoint(run.checkpoints, name, model=weights, optimizer={}, state=state, origin=its)
    return run.path


@pytest.mark.parametrize(
    ("asked", "name", "mark"),
    [
        ("best", "step_00000010", 40.0),
        ("last", "step_00000020", 40.0),
        ("step_00000020", "step_00000020", 40.0),
        ("average", "average", 45.0),
    ],
)
def test_best_last_or_by_name(trained: Path, asked: str, name: str, mark: float) -> None:
    run = load_run(trained, checkpoint=asked)
    assert run.checkpoint_name == name
    assert run.model.encoder_norm.bias[0].item() == mark
    assert not run.model.training


def test_by_default_the_best_on_the_cpu(trained: Path) -> None:
    run = load_run(trained)
    assert run.checkpoint_name == "step_00000010"
    assert next(run.model.parameters()).device == torch.device("cpu")


def test_no_such_checkpoint(trained: Path) -> None:
    code, text, exit_code = problem_of(lambda: load_run(trained, checkpoint="step_7"))
    assert (code, exit_code) == ("MT101", ExitCode.CORRUPT)
    assert "step_00000010" in text


def test_a_damaged_best_is_passed_over_and_all_damaged_are_named(trained: Path) -> None:
    (trained / "checkpoints/step_00000010/state.json").write_text("{}")
    assert load_run(trained).checkpoint_name == "average"
    for name in ("step_00000020", "average"):
        (trained / f"checkpoints/{name}/model.safetensors").write_bytes(b"")
    with pytest.raises(CheckpointError) as caught:
        load_run(trained)
    assert [problem.code for problem in caught.value.problems] == ["MT102"] * 3
    assert {problem.help for problem in caught.value.problems} == {NONE_IS_WHOLE}
    with pytest.raises(CheckpointError) as caught:
        load_run(trained, checkpoint="step_00000020")
    assert {problem.help for problem in caught.value.problems} == {NONE_IS_WHOLE}


def test_not_a_run_folder(tmp_path: Path) -> None:
    assert problem_of(lambda: load_run(tmp_path))[0] == "MT104"


def test_the_tokenizer_belongs_to_the_checkpoint(trained: Path) -> None:
    (trained / "tokenizer.model").write_bytes(tokenizers("Hund").src.model_bytes)
    assert problem_of(lambda: load_run(trained))[::2] == ("MT082", ExitCode.CORRUPT)


@pytest.mark.parametrize(("max_length", "positions"), [(64, 1024), (512, 1024), (2000, 4000)])
def test_positions_go_beyond_the_rows_of_training(config: Config, max_length: int, positions: int) -> None:
    assert max_positions_of(config(f"data.max_length={max_length}")) == positions


def test_overlap_is_found_by_the_content_of_the_set(tmp_path: Path, config: Config, pair: TokenizerPair) -> None:
    folder = tmp_path / "runs/mine"
    assert recorded_overlap(folder, "abc") is None
    entry = {"fingerprint": "abc", "pairs": 9, "train_overlap": 4, "exact_train_overlap": 3}
    RunFolder.open(folder, config()).create(pair, environment={}, data={"sets": {"news": entry}})
    assert recorded_overlap(folder, "abc") == (4, 3)
    assert recorded_overlap(folder, "another") is None


def test_with_every_checkpoint_damaged_training_does_not_start_over(tmp_path: Path, config: Config, save: Save) -> None:
    run = RunFolder(tmp_path, config())
    for step in (5, 10):
        (save(step).path / "model.safetensors").write_bytes(b"x")
    code, text, exit_code = problem_of(lambda: run.newest_checkpoint(lambda line: None))
    assert (code, exit_code) == ("MT102", ExitCode.CORRUPT)
    assert "step_00000005" in text
    assert "step_00000010" in text
    assert text.count(f"help: {NONE_IS_WHOLE}") == 2
    assert "can still be used" not in text
    shutil.rmtree(tmp_path / "checkpoints")
    assert run.newest_checkpoint(lambda line: None) is None, "the help leads on"


def test_a_start_that_was_killed_before_the_config_can_be_repeated(
    tmp_path: Path, config: Config, pair: TokenizerPair
) -> None:
    folder = tmp_path / "runs/mine"
    RunFolder.open(folder, config()).create(pair, environment={"threads": 1}, data={})
    (folder / "config.yaml").unlink()
    (folder / "environment.json").write_bytes(b"")
    (folder / "config.yaml.0a1b2c3d.unfinished").write_bytes(b"data:")
    RunFolder.open(folder, config()).create(pair, environment={"threads": 2}, data={})
    assert load_config(folder / "config.yaml") == config()
    assert json.loads((folder / "environment.json").read_text()) == [{"threads": 2}]


def test_the_newest_is_the_best_while_none_is_validated(save: Save) -> None:
    assert best_checkpoint([save(5), save(7)], "bleu").step == 7


def test_two_processes_cannot_train_in_one_folder(tmp_path: Path, config: Config) -> None:
    run = RunFolder.open(tmp_path / "runs/mine", config())
    code = (
        "import fcntl, os, sys\n"
        "fcntl.flock(os.open(sys.argv[1], os.O_RDONLY), fcntl.LOCK_EX | fcntl.LOCK_NB)\n"
        "print('locked', flush=True)\n"
        "sys.stdin.read()\n"
    )
    run.path.mkdir(parents=True)
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(run.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdout is not None
    assert other.stdout.readline() == "locked\n"

    def lock() -> None:
        with run.locked():
            pass

    found, text, exit_code = problem_of(lock)
    assert (found, exit_code) == ("MT105", ExitCode.USER_INPUT)
    assert "runs/mine" in text
    other.kill()
    other.communicate()
    lock()  # the lock went with the process


def test_every_changed_bit_of_config_and_tokenizer_is_found(trained: Path) -> None:
    rng = random.Random(5)
    for name in ("config.yaml", "tokenizer.model"):
        content = (trained / name).read_bytes()
        for position in [0, len(content) - 1, len(content) - 2, *rng.sample(range(len(content)), 30)]:
            flipped = bytearray(content)
            flipped[position] ^= 1 << rng.randrange(8)
            (trained / name).write_bytes(flipped)
            assert problem_of(lambda: load_run(trained))[0] in ("MT106", "MT082"), (name, position)
            if name == "config.yaml":
                assert problem_of(lambda: RunFolder.open(trained, any_config))[0] == "MT106"
        (trained / name).write_bytes(content)
    assert load_run(trained).checkpoint_name == "step_00000010"


any_config = TrainConfig.model_construct()


def test_a_config_that_was_changed_harmlessly_stays_that_of_older_checkpoints(
    trained: Path, config: Config, pair: TokenizerPair
) -> None:
    for number in (8, 9):
        changed = config(f"training.keep_checkpoints={number}")
        RunFolder.open(trained, changed).create(pair, environment={}, data={})
        assert load_run(trained).config == changed
        assert RunFolder(trained, changed).newest_checkpoint(lambda line: None) is not None
    assert (trained / "config.yaml").read_text().count("# before: ") == 2


def test_the_config_of_another_run_is_refused(trained: Path, config: Config, pair: TokenizerPair) -> None:
    other = trained.with_name("other")
    RunFolder.open(other, config("model.dropout=0.3")).create(pair, environment={}, data={})
    (trained / "config.yaml").write_bytes((other / "config.yaml").read_bytes())
    code, text, exit_code = problem_of(lambda: load_run(trained))
    assert (code, exit_code) == ("MT106", ExitCode.CORRUPT)
    assert "not the config that step_00000010 was trained with" in text
    settings = config("model.dropout=0.3")
    assert problem_of(lambda: RunFolder(trained, settings).newest_checkpoint(lambda line: None))[0] == "MT106"


def test_a_changed_limit_is_told(trained: Path, config: Config) -> None:
    said: list[str] = []
    RunFolder(trained, config("training.patience=7", "training.keep_checkpoints=9")).newest_checkpoint(said.append)
    assert [line.partition(";")[0] for line in said] == ["changed: training.patience was None, is 7"]


def test_a_changed_environment_is_told_in_one_line() -> None:
    before = {"torch": "2.10", "threads": 2}
    assert changed_environment(before, dict(before)) is None
    assert changed_environment(before, {"torch": "2.13", "threads": 1}) == (
        "changed: torch 2.10 -> 2.13, threads 2 -> 1; from here on the last bits may differ"
    )


def test_verify_names_each_damaged_part(trained: Path) -> None:
    (trained / "evaluation").mkdir()
    (trained / "evaluation/dev.hyp.txt").write_bytes(b"ein Haus\n")
    digest = hashlib.sha256(b"ein Haus\n").hexdigest()
    (trained / "evaluation/dev.json").write_text(json.dumps({"sha256": {"hyp": digest}}))
    found = {finding.name: finding for finding in verify_run(trained)}
    checkpoints = {f"checkpoints/{name}" for name in ("average", "step_00000010", "step_00000020")}
    records = {"data.json", "environment.json"}
    assert found.keys() == {"config.yaml", "tokenizer", "metrics.jsonl", "evaluation/dev.json", *records, *checkpoints}
    assert all(finding.is_intact for finding in found.values())
    for name, path in (
        ("config.yaml", "config.yaml"),
        ("tokenizer", "tokenizer.model"),
        ("evaluation/dev.json", "evaluation/dev.hyp.txt"),
        ("checkpoints/average", "checkpoints/average/model.safetensors"),
        ("checkpoints/step_00000010", "checkpoints/step_00000010/MANIFEST.json"),
    ):
        content = (trained / path).read_bytes()
        (trained / path).write_bytes(content[:-2] + bytes([content[-2] ^ 1]) + content[-1:])
        assert [finding.name for finding in verify_run(trained) if not finding.is_intact] == [name]
        (trained / path).unlink()
        if path != "config.yaml":
            assert [finding.name for finding in verify_run(trained) if not finding.is_intact] == [name]
        (trained / path).write_bytes(content)
    assert problem_of(lambda: verify_run(trained.parent))[0] == "MT104"


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
def test_what_is_written_first_follows_the_umask(
    tmp_path: Path, config: Config, pair: TokenizerPair, mask: int, mode: int
) -> None:
    before = os.umask(mask)
    try:
        run = RunFolder.open(tmp_path / "runs/mine", config())
        run.create(pair, environment={}, data={})
    finally:
        os.umask(before)
    assert {stat.S_IMODE(path.stat().st_mode) for path in run.path.iterdir()} == {mode}
