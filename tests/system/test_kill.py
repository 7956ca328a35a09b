"""A run that is killed at random moments and started again ends as if nothing had been; the test of it can fail."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def kill_test(*arguments: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        [str(ROOT / "scripts/kill_test.sh"), *arguments],
        cwd=folder,
        env={**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "TMPDIR": str(folder)},
        capture_output=True,
        text=True,
        timeout=3000,
        check=False,
    )


@pytest.mark.slow
def test_fifty_kills_change_nothing(tmp_path: Path) -> None:
    done = kill_test("50", folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    fell = {phase: int(number) for phase, number in re.findall(r"^  (\w[\w ]+?) +(\d+)$", done.stdout, re.MULTILINE)}
    assert sum(fell.values()) == 50
    assert all(fell[phase] for phase in ("tokenizing", "encoding", "training", "validating", "saving", "scoring")), fell
    num_same, num_runs = map(int, re.findall(r"^identical +(\d+) of (\d+) runs", done.stdout, re.MULTILINE)[0])
    assert num_same == num_runs > 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_what_differs_is_found(tmp_path: Path) -> None:
    """Each kind of file that the comparison looks at, and a run that lost a checkpoint."""
    from kill_test import differences, new_folder

    folder = new_folder(tmp_path / "left_alone")
    command = [sys.executable, "-m", "mt_trainer.cli.train", "--config", "small.yaml"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    expected, other = folder / "run", folder / "other"
    shutil.copytree(expected, other)
    assert differences(other, expected) == []
    dev = json.loads((expected / "evaluation/dev.json").read_text())
    assert dev["scores"][0]["value"] > 0, "a BLEU of 0 would be the same after anything"
    assert (other / "checkpoints/average").is_dir()
    for name in (
        "metrics.jsonl",
        "timing.jsonl",
        "evaluation/held_out.hyp.txt",
        "checkpoints/step_00000024/optimizer.safetensors",
        "checkpoints/average/model.safetensors",
    ):
        content = (other / name).read_bytes()
        (other / name).write_bytes(content[: content.rindex(b"\n", 0, -1) + 1] if b"\n" in content[:-1] else b"?")
        assert name in differences(other, expected), name
        (other / name).write_bytes(content)
    shutil.rmtree(other / "checkpoints/average")
    assert "checkpoints/average/model.safetensors" in differences(other, expected)


@pytest.mark.parametrize(("arguments", "said"), [((), "how many"), (("0",), "above 0"), (("5", "--sed", "1"), "--sed")])
def test_a_command_line_that_says_nothing_is_refused(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    done = kill_test(*arguments, folder=tmp_path)
    assert done.returncode == 2
    assert said in done.stderr
