"""The benchmarks run, on a few tokens, and report what they promise. No time is looked at."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def test_the_benchmark_of_objectives_runs_and_writes_its_numbers_with_their_settings(tmp_path: Path) -> None:
    report = tmp_path / "times.json"
    command = [sys.executable, str(ROOT / "benchmarks" / "objectives.py"), "--quick", "--threads", "1"]
    done = subprocess.run([*command, "--json", str(report)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    content = json.loads(report.read_text(encoding="utf-8"))
    assert {"device", "threads", "torch", "commit", "num_tokens", "rounds"} <= set(content["settings"])
    results = {(result["objective"], result["dtype"]): result for result in content["results"]}
    for name in ("label_smoothing", "tailr", "brier", "emo", "loss_truncation", "unlikelihood"):
        for dtype in ("float32", "bfloat16"):
            result = results[name, dtype]
            assert min(result["to_matmuls"], result["to_cross_entropy"], result["to_naive"], *result["seconds"]) > 0
    assert "label_smoothing" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "last"),
    [
        (["attention.py", "--rows", "2", "--row-length", "8", "--repeats", "1"], "written_out "),
        (["workers.py", "--rows", "2", "--repeats", "1"], "side by side "),
        (["workers.py", "--rows", "2", "--repeats", "1", "--load", "1"], "side by side "),
    ],
    ids=["attention", "workers", "workers under load"],
)
def test_the_small_benchmarks_run(arguments: list[str], last: str) -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / arguments[0]), *arguments[1:]]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith(last)
    assert "x " in done.stdout


def test_the_benchmark_of_decoding_compares_all_ways_with_the_plain_one() -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "decoding.py"), "--sentences", "4", "--plain", "3"]
    done = subprocess.run([*command, "--repeats", "1"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = {line.split()[0]: line for line in done.stdout.splitlines()}
    assert {"plain", "fp32", "bf16", "int8"} <= set(rows)
    assert "100.0% as the plain way" in rows["fp32"]
