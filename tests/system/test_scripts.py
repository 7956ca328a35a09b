"""The shell scripts, run as a user runs them."""

import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"

TINY_RUN = """\
extends: demo.yaml
data:
  train: {max_pairs: 300}
  dev: {max_pairs: 10}
  test:
    phrasebook_test: {max_pairs: 10}
tokenizer: {vocab_size: 300, byte_fallback: false}
model: {num_encoder_layers: 1, num_decoder_layers: 1, d_model: 16, ffn_dim: 16, num_heads: 2}
optim: {schedule: {warmup_steps: 2}}
training: {batch_tokens: 256, max_steps: 4, max_seconds: null, validate_every_steps: 2}
decoding: {strategy: greedy}
runtime: {threads: 1, device: cpu}
"""


# Stands in for both commands: "trains" at once, scores 100 * the swept value + the seed, and stops or diverges where it
# is told to.
STAND_IN = """\
import json, pathlib, re, sys

command, arguments = pathlib.Path(sys.argv[0]).name, " ".join(sys.argv[1:])
if "--print-config" in arguments:
    print(re.sub(" --set (objective|runtime)[^ ]*=.*", "", arguments))
    sys.exit(2 if "epsilon: 1.5" in arguments else 0)
with open("calls.txt", "a") as calls:
    calls.write(f"{command} {arguments}\\n")
if command == "mt-train":
    run = pathlib.Path(re.search("runtime.run_folder=(.*)", arguments)[1])
    value, seed = re.search("epsilon: ([0-9.]+)", arguments)[1], re.search("seed=([0-9]+)", arguments)[1]
    if pathlib.Path("stop_at").exists() and pathlib.Path("stop_at").read_text() == run.name:
        sys.exit(130)
    if pathlib.Path("diverge").exists() and run.name in pathlib.Path("diverge").read_text().split():
        sys.exit(3)
    step = run / "checkpoints" / "step_00000001"
    step.mkdir(parents=True)
    bleu = 100 * float(value) + int(seed)
    (step / "state.json").write_text(json.dumps({"dev": {"nll": float(seed), "bleu": bleu}}))
else:
    run = pathlib.Path(sys.argv[2])
    state = json.loads((run / "checkpoints" / "step_00000001" / "state.json").read_text())
    scores = [{"name": "bleu", "value": state["dev"]["bleu"]}, {"name": "chrf", "value": 0.0}]
    print(json.dumps([{"set": name, "checkpoint": "step_00000001", "scores": scores} for name in ("dev", "news")]))
"""


def run_script(
    name: str, *arguments: str, folder: Path, bin_folder: Path | None = None
) -> subprocess.CompletedProcess[str]:
    path = f"{bin_folder or Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        [str(SCRIPTS / name), *arguments],
        cwd=folder,
        env={**os.environ, "PATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.parametrize("script", sorted(SCRIPTS.glob("*.sh")), ids=lambda path: path.name)
def test_script_is_plain_shell_and_executable(script: Path) -> None:
    assert script.read_text(encoding="utf-8").startswith("#!/bin/sh\n")
    assert os.access(script, os.X_OK)
    subprocess.run(["sh", "-n", str(script)], check=True)


@pytest.mark.parametrize("script", ["sweep_smoothing.sh", "sweep_tailr_gamma.sh"])
def test_sweep_explains_itself_and_refuses_what_it_does_not_know(script: str, tmp_path: Path) -> None:
    shown = run_script(script, "--help", folder=tmp_path)
    assert shown.returncode == 0
    assert f"usage: {script} CONFIG" in shown.stdout
    for arguments, said in [
        ((), "which config"),
        (("demo.yaml", "--value", "0.1"), "unknown option --value"),
        (("demo.yaml", "--seeds"), "--seeds needs a value"),
        (("demo.yaml", "other.yaml"), "one config"),
        (("demo.yaml", "--values", ""), "no values"),
    ]:
        refused = run_script(script, *arguments, folder=tmp_path)
        assert refused.returncode == 2
        assert said in refused.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def stand_ins(tmp_path: Path) -> Path:
    """A folder with commands that take no time, to be put first on the path."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("mt-train", "mt-eval"):
        command = folder / name
        command.write_text(f"#!{sys.executable}\n{STAND_IN}")
        command.chmod(0o755)
    return folder


def test_interrupted_sweep_goes_on_where_it_was(stand_ins: Path, tmp_path: Path) -> None:
    (tmp_path / "stop_at").write_text("epsilon_0.2_seed_1")
    command = ("sweep_smoothing.sh", "x.yaml", "--values", "0 0.2", "--seeds", "1 3", "--out", "a folder/sweep")
    extra = ("--", "--set", "data.src_lang=two words")
    stopped = run_script(*command, *extra, folder=tmp_path, bin_folder=stand_ins)
    assert stopped.returncode == 130
    assert stopped.stdout == ""

    (tmp_path / "stop_at").unlink()
    finished = run_script(*command, *extra, folder=tmp_path, bin_folder=stand_ins)
    assert finished.returncode == 0, finished.stderr
    assert finished.stderr.count("finished before") == 2
    assert finished.stdout.splitlines() == [
        "epsilon  seed  dev nll  dev bleu  news bleu",
        "      0     1   1.0000    1.0000     1.0000",
        "      0     3   3.0000    3.0000     3.0000",
        "      0  mean   2.0000    2.0000     2.0000",
        "    0.2     1   1.0000   21.0000    21.0000",
        "    0.2     3   3.0000   23.0000    23.0000",
        "    0.2  mean   2.0000   22.0000    22.0000",
    ]
    table = (tmp_path / "a folder/sweep/table.tsv").read_text()
    assert table.splitlines()[1] == "0\t1\t1.0000\t1.0000\t1.0000"
    calls = (tmp_path / "calls.txt").read_text().splitlines()
    assert [call.split()[0] for call in calls].count("mt-eval") == 4
    assert calls[0] == (
        "mt-train --config x.yaml --set data.src_lang=two words "
        "--set objective=null --set objective={name: label_smoothing, epsilon: 0} "
        "--set runtime.seed=1 --set runtime.run_folder=a folder/sweep/epsilon_0_seed_1"
    )


def test_sweep_checks_every_value_first_and_keeps_to_its_settings(stand_ins: Path, tmp_path: Path) -> None:
    command = ("sweep_smoothing.sh", "x.yaml", "--out", "sweep", "--values")
    refused = run_script(*command, "0.1 1.5", folder=tmp_path, bin_folder=stand_ins)
    assert refused.returncode == 2
    assert not (tmp_path / "calls.txt").exists()
    assert not (tmp_path / "sweep").exists()

    assert run_script(*command, "0.1", folder=tmp_path, bin_folder=stand_ins).returncode == 0
    other = run_script(*command, "0.1", "--", "--set", "model.dropout=0.5", folder=tmp_path, bin_folder=stand_ins)
    assert other.returncode == 2
    assert "belongs to other settings" in other.stderr
    assert "model.dropout=0.5" in other.stderr


def test_diverged_cells_are_left_out(stand_ins: Path, tmp_path: Path) -> None:
    """The first value wholly, so that the table's head comes from another cell; of the second, one seed of three."""
    (tmp_path / "diverge").write_text("epsilon_0_seed_1 epsilon_0_seed_2 epsilon_0_seed_3 epsilon_0.2_seed_2")
    command = ("sweep_smoothing.sh", "x.yaml", "--values", "0 0.2", "--seeds", "1 2 3", "--out", "sweep")
    done = run_script(*command, folder=tmp_path, bin_folder=stand_ins)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "epsilon  seed  dev nll  dev bleu  news bleu",
        "    0.2     1   1.0000   21.0000    21.0000",
        "    0.2     3   3.0000   23.0000    23.0000",
        "    0.2  mean   2.0000   22.0000    22.0000",
    ]
    assert done.stderr.count("diverged\n") == 4
    assert done.stderr.splitlines()[-1] == (
        "diverged, and not in the table: epsilon_0_seed_1 epsilon_0_seed_2 epsilon_0_seed_3 epsilon_0.2_seed_2"
    )

    (tmp_path / "diverge").unlink()
    again = run_script(*command, folder=tmp_path, bin_folder=stand_ins)
    assert len(again.stdout.splitlines()) == 1 + 2 * 4
    assert again.stderr.count("finished before") == 2


def test_a_sweep_of_which_every_cell_diverges_has_no_table(stand_ins: Path, tmp_path: Path) -> None:
    (tmp_path / "diverge").write_text("epsilon_0_seed_1 epsilon_0.2_seed_1")
    command = ("sweep_smoothing.sh", "x.yaml", "--values", "0 0.2", "--out", "sweep")
    done = run_script(*command, folder=tmp_path, bin_folder=stand_ins)
    assert (done.returncode, done.stdout) == (3, "")
    assert not (tmp_path / "sweep/table.tsv").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "parameter", "seeds"),
    [("sweep_smoothing.sh", "epsilon", ["1", "2"]), ("sweep_tailr_gamma.sh", "gamma", ["1"])],
)
def test_sweep_through_the_real_commands(script: str, parameter: str, seeds: list[str], tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(TINY_RUN)
    command = (script, "tiny.yaml", "--values", "0 0.1", "--seeds", " ".join(seeds), "--out", "sweep")
    done = run_script(*command, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert lines[0] == [parameter, "seed", "dev", "nll", "dev", "bleu", "phrasebook_test", "bleu"]
    rows = [*seeds, "mean"] if len(seeds) > 1 else seeds
    assert [(line[0], line[1]) for line in lines[1:]] == [(value, row) for value in ("0", "0.1") for row in rows]
    assert all(0 < float(line[2]) < 20 and 0 <= float(line[3]) <= 100 for line in lines[1:])
    again = run_script(*command, folder=tmp_path)
    assert again.stdout == done.stdout
    assert again.stderr.count("finished before") == 2 * len(seeds)


def write_iwslt14_archive(folder: Path) -> Path:
    """An archive laid out like the real one: 48 pairs and two titles, two pairs with a blank side, five test talks."""
    inside = folder / "de-en"
    inside.mkdir()
    for language, word in (("de", "Satz"), ("en", "Sentence")):
        sentences = [f" {word} {number} ist & <b>{language}</b> . " for number in range(46)]
        sentences[10:10] = ["" if language == "de" else "no German", "kein Englisch" if language == "de" else "  "]
        metadata = ["<url>http://talk</url>", "<keywords>a, b</keywords>", "<talkid>1</talkid>"]
        titles = [f"<title>{word} T</title>", f"<description>{word} D</description>"]
        (inside / f"train.tags.de-en.{language}").write_text("\n".join([*metadata, *titles, *sentences]) + "\n")
        for talk in ("TED.dev2010", "TEDX.dev2012", "TED.tst2010", "TED.tst2011", "TED.tst2012"):
            segments = "".join(f'<seg id="{number}"> {word} {number}, {talk}. </seg>\n' for number in (1, 2))
            text = f'<refset><doc docid="1">\n<title>x</title>\n{segments}</doc></refset>\n'
            (inside / f"IWSLT14.{talk}.de-en.{language}.xml").write_text(text)
    archive = folder / "de-en.tgz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(inside, arcname="de-en")
    shutil.rmtree(inside)
    return archive


def test_iwslt14_is_cut_into_aligned_files(tmp_path: Path) -> None:
    archive = write_iwslt14_archive(tmp_path)
    done = run_script("prepare_iwslt14.sh", archive.name, "data/iwslt14", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "data/iwslt14"
    lines = {path.name: path.read_text().splitlines() for path in folder.iterdir()}
    # 46 sentences and 2 titles are left, the 23rd and 46th of them for validation; 5 talks of 2 sentences are the test.
    assert {name: len(text) for name, text in lines.items()} == {
        "train.de": 46,
        "train.en": 46,
        "valid.de": 2,
        "valid.en": 2,
        "test.de": 10,
        "test.en": 10,
    }
    assert lines["train.en"][:3] == ["Sentence T", "Sentence D", "Sentence 0 ist & <b>en</b> ."]
    assert lines["valid.de"] == ["Satz 20 ist & <b>de</b> .", "Satz 43 ist & <b>de</b> ."]
    assert lines["test.en"][:3] == ["Sentence 1, TED.dev2010.", "Sentence 2, TED.dev2010.", "Sentence 1, TEDX.dev2012."]
    for part in ("train", "valid", "test"):
        german = [line.replace("Satz", "Sentence").replace("<b>de", "<b>en") for line in lines[f"{part}.de"]]
        assert german == lines[f"{part}.en"]


def test_damaged_iwslt14_archive_leaves_nothing_behind(tmp_path: Path) -> None:
    archive = write_iwslt14_archive(tmp_path)
    archive.write_bytes(archive.read_bytes()[:-200])
    done = run_script("prepare_iwslt14.sh", archive.name, "data", folder=tmp_path)
    assert done.returncode != 0
    assert list((tmp_path / "data").iterdir()) == []
    missing = run_script("prepare_iwslt14.sh", "nowhere.tgz", "data", folder=tmp_path)
    assert missing.returncode == 2
    assert "no file nowhere.tgz" in missing.stderr
