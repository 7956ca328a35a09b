"""Two processes that share each step are one process with twice the accumulation, whatever the objective.

The processes are started once for everything in this file: `main` below is what each of them does.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter
from torch import Tensor

from mt_trainer.config.model import ModelConfig
from mt_trainer.config.objective import ObjectiveConfig
from mt_trainer.config.settings import variants
from mt_trainer.data.loader import Batch, Loader, PairList, Position, StepBatches
from mt_trainer.distributed.joining import joined
from mt_trainer.distributed.launch import find_launch
from mt_trainer.distributed.ranks import ALONE, Ranks
from mt_trainer.errors import ConfigError
from mt_trainer.model.build import build_transformer
from mt_trainer.model.transformer import Transformer
from mt_trainer.objectives import TranslationLoss, build_objective
from mt_trainer.teacher_forcing import Teacher, TeacherForcing
from mt_trainer.training.step import train_step
from mt_trainer.workers import Workers

ROOT = Path(__file__).resolve().parents[2]
CPU = torch.device("cpu")
V, STEPS = 19, 10

OBJECTIVES: dict[str, dict[str, Any]] = {
    "cross_entropy": {"z_loss": 1e-3},
    "label_smoothing": {"convention": "fairseq"},
    "class_weighted": {"weights": "weights.txt"},
    "weighted_label_smoothing": {},
    "graduated_label_smoothing": {},
    "confidence_penalty": {},
    "tailr": {"weight_from": "eval", "gamma": {"schedule": "linear", "start": 0.0, "end": 0.5, "end_step": 8}},
    "mixce": {},
    "gold_delta": {},
    "focal": {},
    "anti_focal": {},
    "error_norm_truncation": {"fraction": 0.3, "window": 60, "min_count": 30},
    "loss_truncation": {"fraction": 0.4, "window": 14, "min_count": 6},
    "brier": {},
    "spherical": {},
    "emo": {},
    "unlikelihood": {},
    "r_drop": {},
    "distillation": {"teacher": "runs/a", "divergence": "js"},
    "sparse_distillation": {"teacher": "runs/a", "method": "sample", "num_pieces": 3},
    "stages": {
        "stages": (
            {"objective": {"name": "unlikelihood"}, "until_step": 4},
            {"objective": {"name": "loss_truncation", "fraction": 0.5, "window": 20, "min_count": 4}},
        )
    },
}
PRECISIONS = {"float32": torch.float32, "float64": torch.float64}
# 17 rows, four a step: the last step of an epoch leaves the second rank without any.
CORPUS = PairList(
    [([4 + i % 15] * (1 + 5 * i % 7), [4 + (3 * i + j) % 9 for j in range(1 + 7 * i % 9)]) for i in range(24)]
)
LEDGER = PairList([([100 + i] * (i % 6 + 1), [100 + i] * ((i * 7) % 6 + 1)) for i in range(201)])


def make_model(d_model: int, seed: int, dtype: torch.dtype, *, vocab_size: int = V) -> Transformer:
    torch.manual_seed(seed)
    config = ModelConfig(
        num_encoder_layers=1, num_decoder_layers=1, d_model=d_model, ffn_dim=16, num_heads=2, dropout=0.1
    )
    model = build_transformer(config, src_vocab_size=vocab_size, tgt_vocab_size=vocab_size, max_positions=32, pad_id=0)
    return model.to(dtype)


def loader(pairs: PairList, ranks: Ranks, *, row_length: int, rows_per_step: int, accumulation: int) -> Loader:
    return Loader(
        pairs,
        row_length=row_length,
        rows_per_step=rows_per_step,
        accumulation=accumulation,
        seed=1,
        pad_id=0,
        bos_id=2,
        eos_id=3,
        sampler=None,
        rank=ranks.rank,
        world_size=ranks.world_size,
    )


def trained(
    name: str, dtype: torch.dtype, ranks: Ranks, *, accumulation: int, workers: Workers | None = None
) -> dict[str, Tensor]:
    """Weights after ten steps of SGD with clipping, and of every step the sums and the gradient norm."""
    config = TypeAdapter(ObjectiveConfig).validate_python({"name": name, **OBJECTIVES[name]})
    objective = build_objective(
        config,
        vocab_size=V,
        pad_id=0,
        target_counts=torch.arange(V).where(torch.arange(V) > 1, 0),
        source_counts=torch.tensor([1, 0, 0] + [5] * (V - 3)),
    )
    teacher = Teacher(make_model(32, 2, dtype).eval().requires_grad_(False), dtype)
    both = TeacherForcing(make_model(16, 1, dtype), TranslationLoss(V, 0, objective=objective), dtype, teacher).train()
    # SGD, not Adam, which would hide a gradient that is too large or too small by a factor.
    optimizer: Any = torch.optim.SGD(both.parameters(), lr=0.0, fused=True)
    found: dict[str, Tensor] = {}
    steps = loader(CORPUS, ranks, row_length=12, rows_per_step=4, accumulation=accumulation).steps(Position())
    for step, batches in zip(range(1, STEPS + 1), steps, strict=False):
        result = train_step(
            both,
            optimizer,
            batches,
            step=step,
            lr=0.3,
            clip_norm=1.0,
            seed=5,
            device=CPU,
            workers=workers,
            ranks=ranks,
        )
        sums = {field: value for field, value in result.sums._asdict().items() if value is not None}
        found |= {f"{step}.{field}": value.detach().clone() for field, value in sums.items()}
        found[f"{step}.grad_norm"] = result.grad_norm.detach().clone()
    return found | {name: p.detach().clone() for name, p in both.named_parameters()}


def pairs_in(batches: tuple[Batch, ...]) -> list[int]:
    return [i - 100 for batch in batches for row in batch.src_tokens for i in sorted(set(row[row >= 100].tolist()))]


def ledger(ranks: Ranks, *, accumulation: int, epochs: int) -> list[list[int]]:
    """The pairs of every step that this rank takes, in so many epochs of uneven data."""
    model = make_model(16, 1, torch.float32, vocab_size=320)
    both = TeacherForcing(model, TranslationLoss(320, 0, 0.1), torch.float32).train()
    optimizer: Any = torch.optim.SGD(both.parameters(), lr=0.0, fused=True)
    taken = []
    for step, batches in zip(count(1), uneven(ranks, accumulation), strict=False):
        settings: dict[str, Any] = {"lr": 0.1, "clip_norm": 1.0, "seed": 5, "device": CPU, "workers": None}
        train_step(both, optimizer, batches, step=step, ranks=ranks, **settings)
        taken.append(pairs_in(batches.micro_batches))
        if ranks.largest(batches.after.epoch >= epochs) == (True,):
            break
    return taken


def uneven(ranks: Ranks, accumulation: int) -> Iterator[StepBatches]:
    sizes = {"row_length": 9, "rows_per_step": 12, "accumulation": accumulation}
    return loader(LEDGER, ranks, **sizes).steps(Position())


def work_together(ranks: Ranks) -> dict[str, Any]:
    """What the methods of `Ranks` give on this rank."""
    own = float(ranks.rank + 1)
    tensors = [torch.tensor([own, 10 * own]), torch.tensor(ranks.rank + 5), torch.tensor([[own]]).double()]
    ranks.add_up(tensors)
    parts = [torch.arange(3.0)[: ranks.rank], torch.tensor([own, own + 10])]
    with ranks.main_first():
        pass
    return {
        "sums": [tensor.tolist() for tensor in tensors],
        "largest": ranks.largest(ranks.rank, -ranks.rank, 143 * ranks.rank),
        "from_main": ranks.from_main(lambda: {"rank": ranks.rank, "score": 1 / 3, "best": None}),
        "interleaved": [part.tolist() for part in ranks.interleave(parts)],
        "nothing": [part.tolist() for part in ranks.interleave([torch.zeros(0)])],
        "different": different(ranks),
    }


def different(ranks: Ranks) -> str | None:
    """What a rank says whose facts are not those of the main one."""
    ranks.require_same({"tokenizer": "abc", "teacher": None})
    try:
        ranks.require_same({"tokenizer": "abc", "training text": str(ranks.rank)})
    except ConfigError as error:
        return str(error.problems[0].message)
    return None


def main(folder: Path) -> None:
    """One of the two ranks."""
    os.chdir(folder)
    torch.set_num_threads(1)
    with joined(find_launch(), CPU, timeout_seconds=60) as ranks:
        report = work_together(ranks) | {"ledger": ledger(ranks, accumulation=1, epochs=3)}
        results = {
            f"{name}/{precision}/{key}": tensor
            for name in OBJECTIVES
            for precision, dtype in PRECISIONS.items()
            for key, tensor in trained(name, dtype, ranks, accumulation=1).items()
        }
        side_by_side = trained("label_smoothing", torch.float32, ranks, accumulation=2, workers=Workers(2, threads=2))
        results |= {f"side_by_side/{key}": tensor for key, tensor in side_by_side.items()}
        (folder / f"report_{ranks.rank}.json").write_text(json.dumps(report))
        from safetensors.torch import save_file

        save_file(results, folder / f"results_{ranks.rank}.safetensors")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the two ranks wrote."""
    folder = tmp_path_factory.mktemp("ranks")
    (folder / "weights.txt").write_text("".join(f"{0.5 + v}\n" for v in range(V)))
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [sys.executable, *launcher, __file__, str(folder)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def reports(folder: Path) -> list[dict[str, Any]]:
    return [json.loads((folder / f"report_{rank}.json").read_text()) for rank in (0, 1)]


@contextmanager
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_the_table_above_has_every_objective() -> None:
    assert set(OBJECTIVES) == set(variants(ObjectiveConfig))


@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-6), ("float64", 1e-12)])
@pytest.mark.parametrize("name", OBJECTIVES)
def test_two_ranks_are_one_process_with_twice_the_accumulation(
    name: str, precision: str, tolerance: float, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    with one_thread():
        expected = trained(name, PRECISIONS[precision], ALONE, accumulation=2)
    assert_both_ranks_have(expected, folder, f"{name}/{precision}/", tolerance)
    assert expected["1.grad_norm"] > 0.1, "nothing was learned"
    if "truncation" in name or name == "stages":
        left_out = [value for key, value in expected.items() if key.endswith(".num_at_floor")]
        assert max(left_out) > 0, "nothing was left out"


def assert_both_ranks_have(expected: dict[str, Tensor], folder: Path, prefix: str, tolerance: float) -> None:
    from safetensors import safe_open

    for rank in (0, 1):
        with safe_open(folder / f"results_{rank}.safetensors", framework="pt") as file:
            keys = [key for key in file.keys() if key.startswith(prefix)]  # noqa: SIM118
            found = {key.removeprefix(prefix): file.get_tensor(key) for key in keys}
        assert found.keys() == expected.keys()
        for key, value in expected.items():
            difference = (found[key].double() - value.double()).abs().max().item()
            assert difference <= tolerance * max(1.0, value.double().abs().max().item()), (rank, key, difference)


def test_each_rank_may_compute_its_micro_batches_side_by_side(folder: Path) -> None:
    with one_thread():
        expected = trained("label_smoothing", torch.float32, ALONE, accumulation=4)
    assert_both_ranks_have(expected, folder, "side_by_side/", 1e-6)


def test_some_steps_leave_a_rank_without_a_row() -> None:
    """Or the tests above would not have seen one."""
    second = Ranks()
    second.rank, second.world_size = 1, 2
    steps = loader(CORPUS, second, row_length=12, rows_per_step=4, accumulation=1).steps(Position())
    sizes = [
        sum(batch.num_tokens for batch in step.micro_batches) for _, step in zip(range(STEPS), steps, strict=False)
    ]
    assert 0 in sizes[:-1]
    assert max(sizes) > 0


def test_uneven_data_hangs_nobody_and_every_pair_occurs_once_an_epoch(reports: list[dict[str, Any]]) -> None:
    """201 pairs in rows of several, three epochs; the sample order is that of one process."""
    ledgers = [report["ledger"] for report in reports]
    assert len(ledgers[0]) == len(ledgers[1])
    together = [a + b for a, b in zip(*ledgers, strict=True)]
    alone = [pairs_in(step.micro_batches) for step, _ in zip(uneven(ALONE, 2), together, strict=False)]
    assert together == alone
    seen = [pair for step in together for pair in step]
    assert len(seen) == 3 * 201
    for epoch in range(3):
        assert sorted(seen[201 * epoch : 201 * (epoch + 1)]) == list(range(201))


def test_what_ranks_do_together(reports: list[dict[str, Any]]) -> None:
    for report in reports:
        assert report["sums"] == [[3.0, 30.0], 11, [[3.0]]]
        assert report["largest"] == [1, 0, 143]
        assert report["from_main"] == {"rank": 0, "score": 1 / 3, "best": None}
        assert report["interleaved"] == [[], [0.0], [1.0, 11.0], [2.0, 12.0]]
        assert report["nothing"] == [[], []]
    assert [report["different"] for report in reports] == [None, "rank 1 has not the same as rank 0: training text"]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
