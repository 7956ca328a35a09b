"""compare_objectives.py: the settings of its runs, how it goes on where it was, and what it reports. Nothing trains."""

import json
import math
import subprocess
import sys
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path

import pytest

import compare_objectives
from compare_objectives import seconds_per_step
from comparison import OBJECTIVES, Comparison, read_objective, with_shares
from comparison_report import chance, report, spread, table
from finished_runs import FinishedRun, window_seconds
from mt_trainer.config import load_config
from mt_trainer.config.resolved import to_yaml
from mt_trainer.data.phrasebook import phrasebook_pairs

SCRIPTS = Path(compare_objectives.__file__).parent

CONFIG = """\
extends: demo.yaml
data:
  dev: {max_pairs: 10}
  test:
    phrasebook_test: {max_pairs: 20}
optim: {schedule: {warmup_steps: 40}}
training: {max_steps: 200, validate_every_steps: 50}
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A config in the working directory."""
    monkeypatch.chdir(tmp_path)
    Path("small.yaml").write_text(CONFIG)
    return "small.yaml"


class StandIn:
    """Takes the place of mt-train: writes at once what a scored run leaves behind, with BLEU = 10 * seed + steps / 100.

    Every step takes 10 ms, with label smoothing 20 ms. `status` is asked first: it may diverge or be stopped.
    """

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.status: Callable[[str], int] = lambda folder: 0

    def __call__(self, config: str, overrides: Sequence[str]) -> int:
        settings = load_config(config, overrides)
        assert settings.runtime.run_folder is not None
        folder = Path(settings.runtime.run_folder)
        self.calls.append([config, *overrides])
        if status := self.status(folder.name):
            return status
        step_seconds = 0.02 if settings.objective.name == "label_smoothing" else 0.01
        bleu = 10 * settings.runtime.seed + (settings.training.max_steps or 0) / 100
        write_run(folder, to_yaml(settings), settings.training.max_steps or 0, step_seconds, bleu)
        return 0

    def folders(self) -> list[str]:
        """The setting of the run folder in each call."""
        return [next(each for each in call if "run_folder" in each) for call in self.calls]


def write_run(folder: Path, config: str, num_steps: int, step_seconds: float, bleu: float) -> None:
    """A run folder: ten tokens a step, a log point every 5 steps, the first two slower by ten, a validation of 1 s."""
    (folder / "evaluation").mkdir(parents=True)
    (folder / "checkpoints" / "step_00000009").mkdir(parents=True)
    (folder / "config.yaml").write_text(config)
    metrics, timing, seconds = [], [], 0.0
    for step in range(5, num_steps + 1, 5):
        pace = step_seconds * (10 if step <= 10 else 1)
        seconds += 5 * pace
        metrics.append({"step": step, "part": "train", "num_tokens": 10 * step, "mean_weight": 0.5})
        timing.append({"step": step, "part": "train", "seconds": seconds, "tokens_per_second": 10 / pace})
        if step == num_steps // 10 * 5:
            seconds += 1.0
            metrics.append({"step": step, "part": "dev"})
            timing.append({"step": step, "part": "dev", "seconds": seconds})
    for name, lines in (("metrics", metrics), ("timing", timing)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "data.json").write_text(json.dumps({"counts": {"kept": 100}}))
    dev = {"nll": bleu / 10, "bleu": bleu - 1}
    (folder / "checkpoints" / "step_00000009" / "state.json").write_text(json.dumps({"dev": dev}))
    versions = {"torch": "2.13.0", "mt_trainer": "0.1.0"}
    about = {"python": "3.11", "versions": versions, "commit": "abc", "device": "CPU, 1 thread, fp32"}
    (folder / "environment.json").write_text(json.dumps([{"commit": "an older start"}, about]))
    for name, value, number in (("dev", bleu - 1, 10), ("phrasebook_test", bleu, 20)):
        scores = [
            {"name": "bleu", "value": value, "signature": "sig"},
            {"name": "chrf", "value": 9, "signature": "sig"},
        ]
        likelihood = {"nll": bleu / 10 + (name != "dev") / 10}
        record = {"checkpoint": "step_00000009", "scores": scores, "likelihood": likelihood}
        (folder / "evaluation" / f"{name}.json").write_text(json.dumps(record))
        (folder / "evaluation" / f"{name}.hyp.txt").write_text("Das Haus ist rot .\n" * number)


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """mt-train that takes no time."""
    fake = StandIn()
    monkeypatch.setattr(compare_objectives, "mt_train", fake)
    return fake


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["compare_objectives.py", *arguments])
    compare_objectives.main()


def test_percentages_are_shares_of_the_steps() -> None:
    text = "[{name: cross_entropy, until_step: 72%}, {name: tailr, gamma: {end_step: 12.5%}, epsilon: 0.1}]"
    assert with_shares(text, 1000) == (
        "[{name: cross_entropy, until_step: 720}, {name: tailr, gamma: {end_step: 125}, epsilon: 0.1}]"
    )
    # A stage has at least one step, also in the 60 steps of a measurement; what begins at 0% begins at once.
    assert with_shares("{start_step: 0%, until_step: 0.5%}", 60) == "{start_step: 0, until_step: 1}"


def test_an_objective_is_given_inline_or_in_a_file(tmp_path: Path) -> None:
    assert read_objective("a.b-c={name: tailr}") == ("a.b-c", "{name: tailr}")
    path = tmp_path / "objective.yaml"
    path.write_text("# two stages\n- name: cross_entropy\n  until_step: 50%\n- {name: brier, epsilon: 1e-3}\n")
    expected = "[{name: cross_entropy, until_step: 50%}, {name: brier, epsilon: 1e-3}]"
    assert read_objective(f"staged={path}") == ("staged", expected)
    for wrong in ("{name: tailr}", "a b={name: tailr}", "={name: tailr}"):
        with pytest.raises(ValueError, match="not of the form"):
            read_objective(wrong)


def test_a_run_is_the_recipe_in_small(config: str) -> None:
    comparison = Comparison(
        config=config,
        overrides=("model.dropout=0.1", "training.validate_every_steps=20"),
        objectives=dict(read_objective(text) for text in OBJECTIVES),
        seeds=(1,),
        minutes=1.0,
        num_steps=None,
        out=Path("out"),
    )
    assert comparison.overrides_for("cross_entropy_then_brier", 1000) == [
        "model.dropout=0.1",
        "training.validate_every_steps=20",
        "training.max_epochs=null",
        "training.max_tokens=null",
        "training.max_seconds=null",
        "training.patience=null",
        "training.max_steps=1000",
        "optim.schedule.warmup_steps=200",
        "training.validate_every_steps=100",
        "objective=null",
        "objective=[{name: cross_entropy, until_step: 720}, {name: brier}]",
    ]
    for name in comparison.objectives:
        load_config(config, comparison.overrides_for(name, 60))


def test_nothing_of_the_recipes_objective_or_limits_is_left(config: str) -> None:
    overrides = (
        "objective={name: focal, gamma: 3, z_loss: 0.5}",
        "optim.schedule={name: inverse_sqrt, warmup_steps: 40}",
        "training.max_steps=null",
        "training.max_epochs=30",
        "training.patience=3",
    )
    objectives = {"focal": "{name: focal}"}
    comparison = Comparison(config, overrides, objectives, seeds=(1,), minutes=None, num_steps=900, out=Path("out"))
    chosen = load_config(config, comparison.overrides_for("focal", 900))
    assert chosen.objective == load_config(config, ["objective=null", "objective={name: focal}"]).objective
    assert chosen.objective.z_loss == 0  # type: ignore[union-attr]
    limits = chosen.training
    assert (limits.max_steps, limits.max_epochs, limits.patience) == (900, None, None)
    # without a number of steps there is nothing to scale by
    assert chosen.optim.schedule.warmup_steps == 40  # type: ignore[union-attr]


def test_steps_follow_from_measured_speed(
    config: str, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    objectives = ("--objective", "ce={name: cross_entropy}", "--objective", "ls={name: label_smoothing}")
    run(monkeypatch, config, "--minutes", "0.1", "--out", "out", *objectives)
    assert stand_in.folders() == ["runtime.run_folder=out/speed"] * 8 + [
        "runtime.run_folder=out/ce_seed_1",
        "runtime.run_folder=out/ls_seed_1",
    ]
    assert not Path("out/speed").exists()
    # 6 seconds: 600 steps of 10 ms, 300 of 20 ms. The slow first steps do not count.
    assert "training.max_steps=600" in stand_in.calls[-2]
    assert "training.max_steps=300" in stand_in.calls[-1]
    rows = [line.split(" | ") for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    assert [row[rows[0].index("ms a step")] for row in rows[2:]] == ["10", "20"]

    stand_in.calls.clear()
    run(monkeypatch, config, "--minutes", "0.1", "--out", "out", *objectives, "--objective", "b={name: brier}")
    assert stand_in.folders() == [
        *["runtime.run_folder=out/speed"] * 4,
        "runtime.run_folder=out/b_seed_1",
    ]


def test_an_interrupted_comparison_goes_on_and_prints_one_table(
    config: str, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = (
        config,
        "--steps",
        "100",
        "--seeds",
        "1",
        "3",
        "--out",
        "out",
        "--objective",
        "ce={name: cross_entropy}",
    )
    arguments += ("--objective", "focal={name: focal, gamma: 1}")
    stand_in.status = lambda folder: 130 if folder == "ce_seed_3" else 0
    with pytest.raises(SystemExit) as stopped:
        run(monkeypatch, *arguments)
    assert stopped.value.code == 130
    assert capsys.readouterr().out == ""

    stand_in.status = lambda folder: 0
    run(monkeypatch, *arguments)
    printed = capsys.readouterr()
    assert printed.err.count("finished before") == 2
    lines = printed.out.splitlines()
    assert lines[0] == "### small: objectives compared"
    assert "Config      small.yaml" in lines
    assert "Budget      the same number of steps: ce 100, focal 100" in lines
    assert any(line.startswith("Versions    Python 3.11, torch 2.13.0; mt_trainer 0.1.0, commit abc") for line in lines)
    rows = rows_of(printed.out)
    assert rows[0] == [
        "objective",
        "phrasebook_test BLEU",
        "phrasebook_test nll",
        "dev BLEU",
        "dev nll",
        "steps",
        "training minutes",
        "minutes",
        "phrasebook_test BLEU - ce",
        "p, phrasebook_test, against ce",
    ]
    # BLEU 11 and 31; 100 steps of 10 ms, the first ten slower by a factor of ten, and a validation of 1 s.
    numbers = ["21.00 ± 14.14", "2.2000 ± 1.4142", "20.00 ± 14.14", "2.1000 ± 1.4142", "100", "0.0 ± 0.0", "0.0 ± 0.0"]
    assert rows[2:] == [["ce", *numbers, "-", "-"], ["focal", *numbers, "+0.00 ± 0.00", "1.0000, 1.0000"]]
    assert "not corrected for there being several comparisons" in printed.out.replace("\n", " ")


def test_a_diverged_run_is_left_out(
    config: str, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = (
        config,
        "--steps",
        "100",
        "--seeds",
        "1",
        "2",
        "--out",
        "out",
        "--objective",
        "ce={name: cross_entropy}",
    )
    stand_in.status = lambda folder: 3 if folder == "ce_seed_1" else 0
    run(monkeypatch, *arguments)
    printed = capsys.readouterr()
    assert "ce_seed_1: diverged" in printed.err
    assert "| ce | 21.00 | 2.2000 | 20.00 | 2.1000 | 100 | 0.0 | 0.0 | - | - |" in printed.out.splitlines()


@pytest.mark.parametrize("length", [("--steps", "100"), ("--minutes", "0.1")])
def test_without_a_run_of_the_baseline_nothing_is_compared(
    length: tuple[str, str],
    config: str,
    stand_in: StandIn,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    baseline, other = ("--objective", "ce={name: cross_entropy}"), ("--objective", "b={name: brier}")
    stand_in.status = lambda folder: 3 if "objective={name: cross_entropy}" in stand_in.calls[-1] else 0
    common = (config, *length, "--seeds", "1", "2", "--out", "out")
    with pytest.raises(SystemExit) as stopped:
        run(monkeypatch, *common, *baseline, *other)
    assert stopped.value.code == 3
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "all runs of ce diverged" in printed.err
    assert "Name another --objective first" in printed.err
    if length[0] == "--minutes":  # found before anything is trained
        assert set(stand_in.folders()) == {"runtime.run_folder=out/speed"}
    run(monkeypatch, *common, *other, *baseline)
    assert "| b | " in capsys.readouterr().out


def test_unequal_times_are_said(
    config: str, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run of label smoothing takes twice as long as when its speed was measured; validations do not count."""
    objectives = ("--objective", "ce={name: cross_entropy}", "--objective", "b={name: brier}")
    objectives += ("--objective", "ls={name: label_smoothing}")
    arguments = (config, "--minutes", "2", "--out", "out", *objectives)
    run(monkeypatch, *arguments)
    printed = capsys.readouterr().out
    assert "not equal" not in printed
    assert [row[-4:-2] for row in rows_of(printed)[2:]] == [["2.0", "2.0"]] * 3

    timing = Path("out/ls_seed_1/timing.jsonl")
    lines = [json.loads(line) for line in timing.read_text().splitlines()]
    for line in lines:
        line["tokens_per_second"] = line.get("tokens_per_second", 0) / 2
    timing.write_text("".join(json.dumps(line) + "\n" for line in lines))
    run(monkeypatch, *arguments)
    printed = capsys.readouterr().out
    (warning,) = (line for line in printed.splitlines() if "not equal" in line)
    assert "ls 4.1 minutes, +101% against the others" in warning
    assert "ce 2.0 minutes, -34% against the others" in warning
    # With the same number of steps nobody expects the same time.
    runs = {name: {1: FinishedRun.read(Path("out") / f"{name}_seed_1")} for name in ("ce", "ls")}
    assert "not equal" not in report(runs, title="x", settings={}, speeds=None)


def test_the_difference_from_the_baseline_is_paired_by_seed(config: str, tmp_path: Path) -> None:
    settings = to_yaml(load_config(config))
    bleus = {"first": {1: 20.0, 2: 30.0, 3: 40.0}, "second": {1: 20.5, 3: 41.5}, "third": {2: 29.0}, "fourth": {9: 1.0}}
    runs = {}
    for name, by_seed in bleus.items():
        for seed, bleu in by_seed.items():
            write_run(tmp_path / f"{name}_{seed}", settings, 20, 1.0, bleu)
        runs[name] = {seed: FinishedRun.read(tmp_path / f"{name}_{seed}") for seed in by_seed}
    titles, _, *rows = rows_of(table(runs, None))
    place = titles.index("phrasebook_test BLEU - first")
    assert [row[place] for row in rows] == ["-", "+1.00 ± 0.71", "-1.00", "-"]


def rows_of(text: str) -> list[list[str]]:
    """The cells of a table in markdown."""
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]


STAGES = "a=[{name: cross_entropy, until_step: 13000}, {name: brier}]"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--steps", "9", "--objective", "a={name: tailr, gamma: 2}"), "gamma"),
        (("--steps", "0"), "above 0"),
        (("--minutes", "0"), "above 0"),
        (("--minutes", "-1"), "above 0"),
        (("--minutes", "nan"), "above 0"),
        (("--minutes", "inf"), "above 0"),
        (("--minutes", "1", "--objective", STAGES), "write a share of them, such as `until_step: 72%`"),
        (("--steps", "900", "--objective", STAGES), "objective a, in a run of 900 steps:"),
        (
            ("--minutes", "1", "--objective", "a=[{name: brier, until"),
            "objective a, in a run of 60 steps, in which",
        ),
        (("--objective", "a={name: tailr}"), "--minutes"),
        (("--steps", "9", "--objective", "tailr"), "not of the form"),
        (("--steps", "9", "--objective", "a=nowhere.yaml"), "nowhere.yaml"),
    ],
)
def test_what_cannot_be_used_is_refused_before_any_run(
    arguments: tuple[str, ...],
    said: str,
    config: str,
    stand_in: StandIn,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as stopped:
        run(monkeypatch, config, "--out", "out", *arguments)
    assert stopped.value.code == 2
    assert said in capsys.readouterr().err
    assert stand_in.calls == []
    assert not Path("out").exists()


def test_a_folder_keeps_to_its_settings(
    config: str, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first = (config, "--out", "out", "--objective", "a={name: tailr}")
    run(monkeypatch, *first, "--steps", "50")
    for changed, said in [
        ((*first, "--steps", "60"), "steps"),
        ((*first, "--steps", "50", "--set", "model.dropout=0.2"), "recipe"),
        ((config, "--out", "out", "--objective", "a={name: brier}", "--steps", "50"), "objective a"),
    ]:
        with pytest.raises(SystemExit):
            run(monkeypatch, *changed)
        assert f"belongs to another comparison (other: {said})" in capsys.readouterr().err
    run(monkeypatch, config, "--out", "out", "--objective", "b={name: brier}", "--steps", "50", "--seeds", "2")


def test_a_folder_of_an_older_version_goes_on(
    config: str, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A setting that did not exist then has its default now; comparison.json stays as that version reads it."""
    arguments = (config, "--out", "out", "--objective", "a={name: tailr}", "--steps", "50")
    run(monkeypatch, *arguments)
    path = Path("out/comparison.json")
    settings = json.loads(path.read_text())
    older = settings["recipe"].replace("  recompute_activations: false\n", "")
    assert older != settings["recipe"]
    path.write_text(json.dumps(settings | {"recipe": older}))
    run(monkeypatch, *arguments)
    assert json.loads(path.read_text())["recipe"] == older
    for other in (older.replace("dropout: 0", "dropout: 0.5"), older + "old_setting: 1\n"):
        path.write_text(json.dumps(settings | {"recipe": other}))
        with pytest.raises(SystemExit):
            run(monkeypatch, *arguments)
        assert "(other: recipe)" in capsys.readouterr().err


def test_steps_after_the_last_log_point_take_their_time_too(tmp_path: Path) -> None:
    write_run(tmp_path / "run", "", 60, 0.5, 1.0)
    dev = json.dumps({"step": 66, "part": "dev", "seconds": 99.0})
    timing = tmp_path / "run" / "timing.jsonl"
    timing.write_text(timing.read_text() + dev + "\n")
    assert FinishedRun.read(tmp_path / "run").training_seconds == pytest.approx(75.0 * 66 / 60)
    timing.write_text(dev + "\n")
    (tmp_path / "run" / "metrics.jsonl").write_text("")
    short = FinishedRun.read(tmp_path / "run")  # as of a run shorter than training.log_every_steps
    assert math.isnan(short.training_seconds)
    assert (short.step, short.train) == (66, {})


def test_the_first_steps_and_validations_are_not_in_the_speed(tmp_path: Path) -> None:
    write_run(tmp_path / "run", "", 60, 0.5, 1.0)
    windows = window_seconds(tmp_path / "run")
    assert [steps for steps, _ in windows] == [5] * 12
    assert sum(seconds for _, seconds in windows) == pytest.approx(10 * 5 + 50 * 0.5)
    assert seconds_per_step(tmp_path / "run") == pytest.approx(0.5)
    finished = FinishedRun.read(tmp_path / "run")
    assert finished.training_seconds == pytest.approx(75.0)
    assert finished.seconds == pytest.approx(76.0)
    assert (finished.step, finished.num_pairs, finished.checkpoint) == (60, 100, "step_00000009")


def test_a_log_point_written_twice_counts_once(tmp_path: Path) -> None:
    """A resumed run takes some steps again; timing.jsonl keeps both."""
    write_run(tmp_path, "", 20, 1.0, 1.0)
    timing = (tmp_path / "timing.jsonl").read_text()
    again = json.dumps({"step": 20, "part": "train", "seconds": 130.0, "tokens_per_second": 5.0})
    (tmp_path / "timing.jsonl").write_text(f"{timing}{again}\n")
    assert window_seconds(tmp_path)[-1] == (5, 10.0)


def test_significance_is_that_of_the_translations(config: str, tmp_path: Path) -> None:
    settings = to_yaml(load_config(config))
    targets = [tgt for _, tgt in islice(phrasebook_pairs("test"), 20)]
    runs = {}
    for name, good in (("bad", 0), ("same", 0), ("half", 10), ("perfect", 20)):
        write_run(tmp_path / name, settings, 20, 1.0, 1.0)
        lines = targets[:good] + ["Das Haus ist rot ."] * (20 - good)
        (tmp_path / name / "evaluation" / "phrasebook_test.hyp.txt").write_text("".join(f"{line}\n" for line in lines))
        runs[name] = {7: FinishedRun.read(tmp_path / name)}
    p_values = chance(runs, "phrasebook_test")
    assert p_values["same"] == [1.0]
    assert p_values["perfect"][0] < 0.001
    assert p_values["perfect"][0] <= p_values["half"][0] < 0.01
    assert "p, phrasebook_test, against bad" in table(runs, None)


def test_runs_that_an_older_version_has_scored_are_still_read(config: str, tmp_path: Path) -> None:
    runs = {}
    for name in ("older", "newer"):
        write_run(tmp_path / name, to_yaml(load_config(config)), 20, 1.0, 1.0)
        if name == "older":
            for path in (tmp_path / name / "evaluation").glob("*.json"):
                record = json.loads(path.read_text())
                del record["likelihood"]
                path.write_text(json.dumps(record))
        runs[name] = {1: FinishedRun.read(tmp_path / name)}
    assert runs["older"][1].nll == {}
    assert runs["newer"][1].nll == {"dev": 0.1, "phrasebook_test": 0.2}
    assert "phrasebook_test nll" not in table(runs, None), "a column that all have"
    assert "phrasebook_test nll" in table({"newer": runs["newer"]}, None)


def test_a_signal_is_left_to_mt_train(tmp_path: Path) -> None:
    """The stand-in asks its parent to end, which passes that on and waits until it has saved."""
    stand_in = tmp_path / "python"
    stand_in.write_text("""#!/bin/sh
echo "$@" >&2
trap 'echo saved >&2; exit 143' TERM
kill -TERM $PPID
while :; do sleep 0.1; done
""")
    stand_in.chmod(0o755)
    program = (
        f"import sys; sys.path.insert(0, {str(SCRIPTS)!r}); import compare_objectives\n"
        f"sys.executable = {str(stand_in)!r}\n"
        "print(compare_objectives.mt_train('x.yaml', ['a.b=[c, d]']))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "143\n"), done.stderr
    assert done.stderr.splitlines() == ["-m mt_trainer.cli.train --config x.yaml --set=a.b=[c, d]", "saved"]


def test_spread_of_one_value_is_the_value() -> None:
    assert spread([40.126], 2) == "40.13"
    assert spread([1.0, 2.0, 3.0], 1) == "2.0 ± 1.0"
    assert spread([], 1) == "-"
