"""The benchmarks run, on a few tokens, and report what they promise. No time is looked at."""

import json
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
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


def test_naive_code_can_be_left_out_of_the_benchmark_of_objectives(tmp_path: Path) -> None:
    report = tmp_path / "times.json"
    command = [sys.executable, str(ROOT / "benchmarks" / "objectives.py"), "--quick", "--threads", "1"]
    few = ["--objective", "brier", "--dtype", "float32", "--without-naive", "--json", str(report)]
    done = subprocess.run([*command, *few], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    results = {result["objective"]: result for result in json.loads(report.read_text(encoding="utf-8"))["results"]}
    assert results["brier"]["to_naive"] is None
    assert results["brier"]["to_matmuls"] > 0
    assert len(results["brier"]["seconds"]) == 1
    assert len(results["matmuls, whole"]["seconds"]) == 3  # all stand over it


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


@pytest.mark.slow
def test_the_benchmark_of_preparation_starts_mt_train_with_and_without_a_cache(tmp_path: Path) -> None:
    report = tmp_path / "times.json"
    command = [sys.executable, str(ROOT / "benchmarks" / "preparation.py"), "--quick", "--json", str(report)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    results = json.loads(report.read_text(encoding="utf-8"))["results"]
    assert [(row["pairs"], row["cache"]) for row in results] == [(2000, "empty"), (2000, "filled")]
    assert results[0]["tokenizer"] > 0 == results[1]["tokenizer"]
    assert all(0 < row["start"] < row["first_step"] for row in results)
    assert all(row["mib"] > 10 for row in results), "no interpreter with torch is smaller"


def test_the_comparison_of_attention_for_a_gpu_says_what_it_cannot_measure() -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "attention.py"), "--cuda", "--quick"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    forms = ("attend", "efficient", "math", "flex_attention", "varlen_attn")
    for kind in ("encoder", "decoder"):
        start = next(number for number, line in enumerate(lines) if line.startswith(kind))
        found = {name: line for name in forms for line in lines[start + 1 : start + 6] if line.startswith(f"{name} ")}
        assert set(found) == set(forms)
        for name in ("attend", "math"):
            assert float(found[name].rpartition("off by ")[2]) < 0.02
        if not torch.cuda.is_available():
            assert "not measured" in found["varlen_attn"]


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.parametrize("is_causal", [False, True])
def test_what_the_kernels_of_a_gpu_are_given_is_right(monkeypatch: pytest.MonkeyPatch, is_causal: bool) -> None:
    """The mask of flex_attention, which a CPU computes forward, and the borders for varlen_attn, with a loop for it."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import attention

    def loop(query: Any, key: Any, value: Any, starts: Any, _: Any, longest: int, *__: Any, window_size: Any) -> Any:
        spans = list(pairwise(starts.tolist()))
        assert max(end - start for start, end in spans) == longest
        parts = [
            torch.nn.functional.scaled_dot_product_attention(
                *(each[start:end].transpose(0, 1)[None] for each in (query, key, value)),
                is_causal=window_size == (-1, 0),
            )[0].transpose(0, 1)
            for start, end in spans
        ]
        return torch.cat(parts)

    monkeypatch.setattr(torch, "compile", lambda kernel, **_: kernel)
    monkeypatch.setattr("torch.nn.attention.varlen.varlen_attn", loop)
    packed = attention.Packed(attention.pack(3, 128, torch.device("cpu")), is_causal)
    assert (packed.segments != 0).float().mean() > 0.9
    values = [torch.randn(3, 128, 2, 16).transpose(1, 2) for _ in range(3)]
    forms = attention.forms_of_a_gpu(packed)
    results = {}
    for name in ("attend", "flex_attention", "varlen_attn"):
        form = forms[name]()
        results[name] = form.gives(form.attend(*(form.takes(value) for value in values)))
    torch.testing.assert_close(results["flex_attention"], results["attend"], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(results["varlen_attn"], results["attend"], rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_the_ablation_of_the_optimizer_trains_with_both(tmp_path: Path) -> None:
    report, printed = report_of(tmp_path, "optimizers.py", "--quick", "--threads", "1")
    first, second = report["results"]
    assert (first["optimizer"], second["optimizer"]) == ("adamw", "muon")
    assert first["nll_dev"] != second["nll_dev"]
    assert all(0 < each["nll_dev"] < 8 and min(each["ms"]) > 0 for each in report["results"])
    assert "muon " in printed


def report_of(tmp_path: Path, name: str, *arguments: str) -> tuple[dict[str, Any], str]:
    """What a benchmark writes and prints."""
    report = tmp_path / "report.json"
    command = [sys.executable, str(ROOT / "benchmarks" / name), *arguments, "--json", str(report)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr
    return json.loads(report.read_text(encoding="utf-8")), done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    "mode",
    [
        pytest.param([], id="cpu"),
        pytest.param(["--cuda"], id="gpu", marks=pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")),
    ],
)
def test_training_side_by_side_reports_every_candidate_with_its_share_of_the_floor(
    tmp_path: Path, mode: list[str]
) -> None:
    report, printed = report_of(tmp_path, "training_peers.py", "--quick", *mode)
    assert {"cpu", "torch", "commit", "peers"} <= set(report["machine"])
    jobs = [(each["job"]["batch_tokens"], each["job"]["is_compiled"]) for each in report["comparisons"]]
    assert jobs == ([(256, False), (256, True), (512, False), (512, True)] if mode else [(512, False)])
    for comparison in report["comparisons"]:
        assert comparison["failures"] == {}
        rows = {row["candidate"]: row for row in comparison["rows"]}
        assert {"mt_trainer", "plain loop"} <= set(rows)
        assert comparison["load"]["load_averages"]
        for row in rows.values():
            assert len(row["every_round"]) == 2
            assert min(row["tokens_per_second"].values()) > 0
            assert 0 < row["useful_share"] <= 1
            assert row["ours_to_this"]["least"] <= row["ours_to_this"]["median"] <= row["ours_to_this"]["largest"]
            for dtype, share in row["share_of_floor"].items():
                floor = comparison["floor"]["tokens_per_second"][dtype]
                assert share == pytest.approx(row["tokens_per_second"]["median"] / floor)
    assert "plain loop" in printed


@pytest.mark.slow
def test_decoding_side_by_side_trains_a_model_and_compares_outputs(tmp_path: Path) -> None:
    report, printed = report_of(tmp_path, "decoding_peers.py", "--quick", "--variant", "short={max_length_constant: 9}")
    rows = {row["candidate"]: row for row in report["comparisons"][0]["rows"]}
    assert set(rows) == {"mt_trainer", "mt_trainer short"}
    assert rows["mt_trainer"]["equal_to_ours"] == 1.0
    assert rows["mt_trainer short"]["tokens_per_sentence"] <= 9
    assert all(row["sentences"] == 20 and row["bleu"] is not None for row in rows.values())
    assert "Eole" in printed


@pytest.mark.slow
def test_a_peer_that_cannot_be_installed_is_named_with_its_reason_and_stops_nothing(tmp_path: Path) -> None:
    report, printed = report_of(
        tmp_path,
        "training_peers.py",
        *("--quick", "--candidate", "plain loop", "Eole", "--environments", str(tmp_path / "environments")),
        *("--pip-args", "--no-index --find-links /nowhere"),
    )
    comparison = report["comparisons"][0]
    assert [row["candidate"] for row in comparison["rows"]] == ["plain loop"]
    assert "cannot be installed" in comparison["failures"]["Eole"]
    assert "not measured: eole cannot be installed" in printed


@pytest.mark.slow
def test_peak_memory_is_told_for_every_vocabulary(tmp_path: Path) -> None:
    report, _ = report_of(tmp_path, "vocabulary_memory.py", "--quick")
    assert [size["vocab_size"] for size in report["sizes"]] == [100, 200]
    assert all(size["peak"] > size["before"] > 0 for size in report["sizes"])


def test_the_floor_of_the_benchmarks_is_that_of_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """1 + 1 layers, d 4, f 6, 10 pieces; sentences of 3 and 2, and of 1 and 2 tokens."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    from peers.floor import operations_per_target_token
    from peers.job import Sizes

    sizes = Sizes(num_layers=1, d_model=4, ffn_dim=6, num_heads=2, vocab_size=10)
    # a source token 4 * 16 + 2 * 24 + 2 * 16 = 144, a target token 6 * 16 + 2 * 24 + 40 = 184,
    # attention 8 * (9 + 1) + 8 * (4 + 4) + 8 * (6 + 2) = 208
    assert operations_per_target_token(sizes, [(3, 2), (1, 2)]) == 6 * (4 * 144 + 4 * 184 + 208) / 4


def test_peers_translate_in_batches_of_equal_length_and_keep_the_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    from peers.runners.serving import batched

    seen: list[list[int]] = []

    def double(sources: list[list[int]]) -> list[list[int]]:
        seen.append([len(source) for source in sources])
        return [source * 2 for source in sources]

    sources = [[4], [5, 6, 7], [], [8, 9], [5, 5, 5]]
    assert batched(double, 2)(sources) == [source * 2 for source in sources]
    assert seen == [[3, 3], [2, 1], [0]]


def test_the_benchmark_of_decoding_compares_all_ways_with_the_plain_one() -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "decoding.py"), "--sentences", "4", "--plain", "3"]
    done = subprocess.run([*command, "--repeats", "1"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = {line.split()[0]: line for line in done.stdout.splitlines()}
    assert {"plain", "fp32", "bf16", "int8"} <= set(rows)
    assert "100.0% as the plain way" in rows["fp32"]
