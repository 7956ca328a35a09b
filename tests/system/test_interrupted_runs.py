"""Real processes that are asked to stop, or that run out of disk, anywhere in a run; then they are started again.

A program of its own forks them, as scripts/kill_test.py does: the libraries are loaded once.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]

BEGINNING = """\
import json, os, random, resource, shutil, signal, sys, time
from pathlib import Path

from kill_test import PHASES, Phases, differences, left_alone, new_folder, start
from mt_trainer.training import train as module
from mt_trainer.training.checkpoints.checkpoint import valid_checkpoints

out, phases = Path.cwd(), Phases()
expected, durations = left_alone(out, phases)

def ended(child):
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

def steps(folder):
    return [checkpoint.step for checkpoint in valid_checkpoints(folder / "run/checkpoints")[0]]

def said(folder):
    text = (folder / "output.txt").read_text()
    (folder / "output.txt").write_text("")
    return text

"""


def outcome(program: str, folder: Path) -> list[dict[str, Any]]:
    """What a program that goes on after BEGINNING prints, line by line."""
    done = subprocess.run(
        [sys.executable, "-c", BEGINNING + program],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'scripts'}", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


SIGNALS = """
rng = random.Random(3)
numbers = [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP]
for index in range(12):
    phase, number = list(PHASES)[index % 6], numbers[index % 4]
    folder = new_folder(out / f"asked_{index}")
    child = start(folder, phases)
    entered = rng.randint(1, max(1, len(durations[phase]) // 2))
    while phases.entered(phase) < entered:
        time.sleep(0.0005)
    time.sleep(rng.random() * rng.choice(durations[phase]))
    at = phases.now
    os.kill(child, number)
    status, words, saved = ended(child), said(folder), steps(folder)
    again = ended(start(folder, phases))
    different = differences(folder / "run", expected)
    print(json.dumps(dict(phase=at, number=number.name, status=status, words=words, saved=saved, again=again,
                          different=different)))
"""


@pytest.mark.slow
def test_a_signal_at_any_moment_is_heeded_and_changes_nothing(tmp_path: Path) -> None:
    """Twelve moments, two in each phase; a step that has begun is finished, and saved if there is anything to save."""
    results = outcome(SIGNALS, tmp_path)
    assert len(results) == 12
    for result in results:
        expected = {"SIGHUP": 129, "SIGINT": 130}.get(result["number"], 143)
        is_too_late = result["status"] == 0 and "run folder: run" in result["words"]
        assert result["status"] == expected or is_too_late, result
        assert "Traceback" not in result["words"], result
        if not is_too_late:
            assert "stopped by a signal" in result["words"], result
        if result["phase"] in ("tokenizing", "encoding"):
            assert result["saved"] == [], result
        elif result["phase"] != "between them":
            assert result["saved"], result
        assert (result["again"], result["different"]) == (0, []), result
    assert len({result["phase"] for result in results} - {"between them"}) >= 5


SECOND_SIGNAL = """
def endless(*arguments, **settings):
    while True:
        time.sleep(60)

folder = new_folder(out / "asked_twice")
take_step, module.train_step = module.train_step, endless
child = start(folder, phases)
while not phases.entered("training"):
    time.sleep(0.001)
os.kill(child, signal.SIGINT)
time.sleep(0.2)
is_still_there = os.waitpid(child, os.WNOHANG)[0] == 0
os.kill(child, signal.SIGTERM)
status = ended(child)
module.train_step = take_step
again = ended(start(folder, phases))
print(json.dumps(dict(is_still_there=is_still_there, status=status, again=again,
                      different=differences(folder / "run", expected))))
"""


@pytest.mark.slow
def test_a_second_signal_ends_a_step_that_would_never_end(tmp_path: Path) -> None:
    [result] = outcome(SECOND_SIGNAL, tmp_path)
    assert result == {"is_still_there": True, "status": 143, "again": 0, "different": []}


FULL_DISK = """
half = new_folder(out / "half")
child = start(half, phases)
while phases.entered("training") < 14:
    time.sleep(0.001)
os.kill(child, signal.SIGKILL)
ended(child)
largest = max(path.stat().st_size for path in (half / "run/checkpoints").rglob("*"))
before = steps(half)
for is_new in (False, True):
    for share in (0, 0.01, 0.03, 0.1, 0.3, 0.5, 0.8, 0.99):
        folder = out / f"full_{is_new}_{share}"
        new_folder(folder) if is_new else shutil.copytree(half, folder)
        (folder / "output.txt").write_text("")
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(share * largest), hard))
        child = start(folder, phases)
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        status, words, saved = ended(child), said(folder), steps(folder)
        left = [str(path) for path in folder.rglob("*") if ".tmp" in path.name or "unfinished" in path.name]
        again = ended(start(folder, phases))
        print(json.dumps(dict(is_new=is_new, share=share, status=status, words=words, before=before, saved=saved,
                              left=left, again=again, different=differences(folder / "run", expected))))
"""


@pytest.mark.slow
def test_files_that_cannot_grow_lose_nothing(tmp_path: Path) -> None:
    """The system takes no file beyond a size, from nothing to nearly enough: of a new run, and of one that goes on."""
    results = outcome(FULL_DISK, tmp_path)
    assert len(results) == 16
    for result in results:
        if result["share"]:  # without any byte there are no words either
            assert "error[MT103]" in result["words"], result
            # of a part of an array numpy says how much was written, not why it was no more
            assert re.search(r"File too large|requested and \d+ written", result["words"]), result
            assert re.search(r"\([^)]*[\d,]+ (bytes )?are free\)", result["words"]), result
            assert "Traceback" not in result["words"], result
            assert result["status"] == 2, result
        assert result["status"] not in (0, None), result
        assert result["left"] == [], result
        if not result["is_new"]:
            assert set(result["before"]) <= set(result["saved"]), result
        assert (result["again"], result["different"]) == (0, []), result
