"""mt-eval around a stand-in for the trained run: which sets, where results go, what is printed."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from mt_trainer.cli import finished_run
from mt_trainer.cli.command import showing_problems
from mt_trainer.cli.eval import evaluate
from mt_trainer.config import load_config
from mt_trainer.data.evaluation_sets import EvalSet
from mt_trainer.decoding.translate import Translation
from mt_trainer.evaluation.likelihood import Likelihood
from mt_trainer.evaluation.metrics import bleu
from mt_trainer.training.sealed_config import write_sealed_config

Invoke = Callable[..., tuple[int, str, str]]

HASHES = {"weights": "a" * 64, "tokenizer": "b" * 64}

GERMAN = ["Ein Mann läuft schnell.", "Zwei Hunde spielen im Park."]
ENGLISH = ["A man walks fast.", "Two dogs play in the park."]


LIKELIHOOD = Likelihood(
    nll=0.5, ppl=1.65, accuracy=0.9, entropy=0.7, confidence=0.8, num_tokens=11, precision="fp32", num_cut=0
)


class Meter:
    """Stands for what measures likelihoods."""

    def measure(self, eval_set: EvalSet) -> Likelihood:
        assert eval_set.tgt_texts == GERMAN
        return LIKELIHOOD


class Parrot:
    """Stands for a translator of the English lines, one word of which it gets wrong."""

    def translate(self, texts: Sequence[str], **_: Any) -> list[list[Translation]]:
        known = dict(zip(ENGLISH, ["Ein Mann läuft schnell.", "Zwei Hunde spielen im Haus."], strict=True))
        return [[Translation(known[text], [], 0.0, 0.0, False)] for text in texts]


@pytest.fixture
def invoke(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Invoke:
    def open_run(folder: Path, config: Any, *, checkpoint: str) -> Any:
        name = "step_00000020" if checkpoint == "best" else checkpoint
        about = {"checkpoint": name}
        return SimpleNamespace(translator=Parrot(), meter=Meter(), checkpoint=name, hashes=HASHES, about=about)

    monkeypatch.setattr(finished_run, "open_run", open_run)
    monkeypatch.chdir(tmp_path)
    Path("test.en").write_text("".join(f"{line}\n" for line in ENGLISH), encoding="utf-8")
    Path("test.de").write_text("".join(f"{line}\n" for line in GERMAN), encoding="utf-8")
    Path("runs/mine").mkdir(parents=True)
    source = "{format: text, src: test.en, tgt: test.de}"
    Path("mine.yaml").write_text(
        f"data: {{src_lang: en, tgt_lang: de, train: [{source}], dev: {source}, test: {{flickr: {source}}}}}\n"
    )
    write_sealed_config(Path("runs/mine"), load_config("mine.yaml"))
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(showing_problems(evaluate))

    def run(*options: str) -> tuple[int, str, str]:
        result = CliRunner().invoke(app, list(options))
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result.exit_code, result.stdout, result.stderr

    return run


def expected_bleu() -> float:
    hypotheses = [row[0].text for row in Parrot().translate(ENGLISH)]
    return bleu(hypotheses, GERMAN, tokenize="13a", lowercase=False).value


@pytest.mark.parametrize("options", [("--run", "runs/mine"), ("--config", "mine.yaml")])
def test_all_sets_of_a_run_or_config(invoke: Invoke, options: tuple[str, ...]) -> None:
    code, out, _ = invoke(*options)
    assert code == 0
    assert "runs/mine, checkpoint step_00000020" in out
    assert f"{expected_bleu():.2f}" in out
    assert "flickr         11   0.5000     1.65     0.900   0.7000       0.800\n" in out
    for name in ("dev", "flickr"):
        record = json.loads(Path(f"runs/mine/evaluation/{name}.json").read_text())
        assert record["checkpoint"] == "step_00000020"
        assert record["scores"][0]["value"] == expected_bleu()
        assert record["decoding"]["beam_size"] == 5
        assert record["train_overlap"] is None
        assert record["likelihood"] == LIKELIHOOD.as_record()
        text = Path(f"runs/mine/evaluation/{name}.hyp.txt").read_text(encoding="utf-8")
        assert text == "Ein Mann läuft schnell.\nZwei Hunde spielen im Haus.\n"


def test_json_for_programs(invoke: Invoke) -> None:
    code, out, _ = invoke("--run", "runs/mine", "--only", "flickr", "--json")
    [record] = json.loads(out)
    assert (code, record["set"], record["num_sentences"]) == (0, "flickr", 2)
    assert record["scores"][0]["value"] == expected_bleu()
    assert (record["likelihood"]["nll"], record["likelihood"]["num_tokens"]) == (0.5, 11)
    assert not Path("runs/mine/evaluation/dev.json").exists()


def test_files_and_settings(invoke: Invoke) -> None:
    options = ("--src", "test.en", "--ref", "test.de", "--set", "evaluation.lowercase=true", "--output", "out")
    code, out, _ = invoke("--run", "runs/mine", *options)
    assert code == 0
    assert "case:lc" in out
    assert Path("out/test.json").exists()


FILES = ("--src", "test.en", "--ref", "test.de")


@pytest.mark.parametrize(
    ("options", "result"),
    [
        (("--checkpoint", "step_00000010"), "step_00000010/dev.json"),
        (("--set", "decoding.beam_size=4"), "other_settings/decoding.beam_size=4-*/dev.json"),
        (("--set", "evaluation.lowercase=true"), "other_settings/evaluation.lowercase=True-*/dev.json"),
        (("--set", "data.dev.src=other.en"), "other_settings/data.dev.src=other.en-*/dev.json"),
        (("--set", "data.test.flickr.src=other.en"), "other_settings/data.test.flickr.src=other.en-*/dev.json"),
        (("--device", "cpu"), "other_settings/runtime.device=cpu-*/dev.json"),
        (FILES, "files/test.json"),
        ((*FILES, "--checkpoint", "step_00000010"), "step_00000010/files/test.json"),
        (
            (*FILES, "--checkpoint", "step_00000010", "--set", "decoding.beam_size=4"),
            "step_00000010/other_settings/decoding.beam_size=4-*/files/test.json",
        ),
    ],
)
def test_the_results_of_the_run_itself_stay(invoke: Invoke, options: tuple[str, ...], result: str) -> None:
    Path("other.en").write_bytes(Path("test.en").read_bytes())
    assert invoke("--run", "runs/mine")[0] == 0
    evaluation = Path("runs/mine/evaluation")
    own = {path: path.stat().st_mtime_ns for path in evaluation.iterdir()}
    assert {path.name for path in own} == {"dev.json", "dev.hyp.txt", "flickr.json", "flickr.hyp.txt"}
    code, out, _ = invoke("--run", "runs/mine", *options)
    assert code == 0
    [path] = evaluation.glob(result)
    assert out.endswith(f"saved in {path.parent}\n")
    assert {path: path.stat().st_mtime_ns for path in evaluation.iterdir() if path.is_file()} == own


@pytest.mark.parametrize(
    "options",
    [
        ("--set", "decoding.beam_size=5"),
        ("--set", "runtime.cache_folder=elsewhere"),
        ("--only", "dev"),
    ],
)
def test_what_changes_no_setting_of_the_run_belongs_to_it(invoke: Invoke, options: tuple[str, ...]) -> None:
    assert invoke("--run", "runs/mine", *options)[0] == 0
    assert Path("runs/mine/evaluation/dev.json").exists()


def test_a_file_without_a_name_before_its_ending(invoke: Invoke) -> None:
    Path(".en").write_bytes(Path("test.en").read_bytes())
    assert invoke("--run", "runs/mine", "--src", ".en", "--ref", "test.de")[0] == 0
    names = {path.name for path in Path("runs/mine/evaluation/files").iterdir()}
    assert names == {"files.json", "files.hyp.txt"}


def test_a_config_that_is_not_the_one_of_the_run(invoke: Invoke) -> None:
    text = Path("mine.yaml").read_text()
    Path("mine.yaml").write_text(text + "objective: {epsilon: 0.2}\nmodel: {dropout: 0.3}\ndecoding: {beam_size: 4}\n")
    code, out, err = invoke("--config", "mine.yaml")
    assert (code, out) == (2, "")
    assert "error[MT100]: the run was trained with another config (2 settings differ)" in err
    assert "   objective.epsilon: 0.1 in the folder, 0.2 now\n" in err
    assert "   model.dropout: 0.1 in the folder, 0.3 now\n" in err
    assert "beam_size" not in err
    assert not Path("runs/mine/evaluation").exists()


def test_a_config_may_differ_in_what_does_not_touch_the_weights(invoke: Invoke) -> None:
    Path("mine.yaml").write_text(Path("mine.yaml").read_text() + "decoding: {beam_size: 4}\ntraining: {patience: 3}\n")
    assert invoke("--config", "mine.yaml")[0] == 0
    [path] = Path("runs/mine/evaluation/other_settings").glob("decoding.beam_size=4-*/dev.json")
    assert json.loads(path.read_text())["other_settings"] == {"decoding.beam_size": 4}


def test_no_settings_overwrite_what_others_gave(invoke: Invoke) -> None:
    """However alike: the names of the last two are cut, and only their hash tells them apart."""
    many = ("decoding.beam_size=4", "decoding.max_length_constant=77", "evaluation.lowercase=true")
    settings = [
        ("decoding.beam_size=6",),
        ("decoding.beam_size=4",),
        ("decoding.beam_size=4", "runtime.cache_folder=elsewhere"),
        (*many, "runtime.threads=1"),
        (*many, "runtime.threads=2"),
    ]
    for each in settings:
        options = [part for setting in each for part in ("--set", setting)]
        assert invoke("--run", "runs/mine", "--only", "dev", *options)[0] == 0
    found = [json.loads(path.read_text()) for path in Path("runs/mine/evaluation").rglob("*.json")]
    assert len({json.dumps(record["other_settings"]) for record in found}) == len(found) == 4
    assert all(record["decoding"]["beam_size"] in (4, 6) for record in found)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "error[MT005]: give either --run or --config"),
        (("--run", "runs/mine", "--config", "mine.yaml"), "error[MT005]: give either --run or --config"),
        (("--run", "runs/mine", "--src", "test.en"), "error[MT005]: --src and --ref belong together"),
        (("--run", "runs/mine", "--only", "flicker"), "error[MT005]: no set is called `flicker`"),
        (("--run", "runs/mine", "--set", "model.d_model=8"), "error[MT005]: the run is already trained"),
        (("--run", "runs/mine", "--set", "data.train=x"), "error[MT005]: the run is already trained"),
        (("--run", "runs/other"), "error[MT104]"),
        (("--config", "mine.yaml", "--set", "runtime.run_folder=runs/other"), "error[MT104]"),
        (("--run", "runs/mine", "--set", "decoding.beam=3"), "error[MT021]"),
        (("--run", "runs/mine", "--src", "absent", "--ref", "test.de"), "error[MT050]"),
    ],
)
def test_faults_of_the_user(invoke: Invoke, options: tuple[str, ...], message: str) -> None:
    code, out, err = invoke(*options)
    assert (code, out) == (2, "")
    assert message in err
    assert not Path("runs/mine/evaluation").exists()


def test_data_that_has_moved_can_be_named(invoke: Invoke) -> None:
    Path("moved.en").write_bytes(Path("test.en").read_bytes())
    Path("test.en").unlink()
    options = ("--only", "dev", "--set", "data.dev.src=moved.en")
    assert invoke("--run", "runs/mine", *options)[0] == 0
