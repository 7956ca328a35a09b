"""Muon against AdamW: the same model, data and steps; NLL on dev, and what a step takes.

    python benchmarks/optimizers.py [--steps 400] [--lr 1e-3 3e-3] [--threads 2]    # --cuda: on a GPU
    python benchmarks/optimizers.py --src train.en.gz --tgt train.de.gz --dev-src dev.en --dev-tgt dev.de
    python benchmarks/optimizers.py --quick                                         # a toy

An ablation: mt_trainer trains with AdamW. `muon` is `torch.optim.Muon` (Jordan et al., 2024; its rate adjusted to the
size of AdamW's updates) for the matrices inside the layers, and AdamW for embeddings, norms and biases. Each rate is
tried with both. All candidates take their steps in turn, so that what slows the machine down slows all of them. The
text is the built-in phrasebook unless files are given; the columns:

  nll dev    nats per target token after the last step, without dropout
  ms/step    median, with the least and the largest, the first tenth of the steps left out
"""

import argparse
import json
import statistics
import tempfile
import time
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from mt_trainer.config import TrainConfig, load_config
from mt_trainer.config.optim import OptimConfig
from mt_trainer.data.loader import Position, pad_pairs
from mt_trainer.data.prepare import PreparedData, prepare_data
from mt_trainer.distributed.ranks import ALONE
from mt_trainer.machine import Machine, set_up_machine
from mt_trainer.objectives import LossSums
from mt_trainer.objectives.loss_sums import add_sums
from mt_trainer.optim import build_optimizer
from mt_trainer.training.assembly import Parts, assemble
from mt_trainer.training.step import train_step
from peers.machine import about_machine

MOMENTUM = 0.95
"""Of Muon: torch's default."""


class MuonAndAdamW:
    """Muon for the matrices inside the layers, AdamW for the rest; as much of an optimizer as `train_step` asks for."""

    def __init__(self, config: OptimConfig, model: nn.Module) -> None:
        names = {id(parameter): name for name, parameter in model.named_parameters()}
        layers = [p for p in model.parameters() if p.ndim == 2 and names[id(p)].startswith(("encoder.", "decoder."))]
        inside = {id(p) for p in layers}
        rest = nn.ParameterList([p for p in model.parameters() if id(p) not in inside])
        self._both: tuple[torch.optim.Optimizer, torch.optim.Optimizer] = (
            torch.optim.Muon(
                layers,
                lr=0.0,
                weight_decay=config.weight_decay,
                momentum=MOMENTUM,
                adjust_lr_fn="match_rms_adamw",
            ),
            build_optimizer(config, rest),
        )

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """Those of both."""
        return [group for optimizer in self._both for group in optimizer.param_groups]

    def step(self) -> None:
        """Both."""
        for optimizer in self._both:
            optimizer.step()

    def zero_grad(self, *, set_to_none: bool) -> None:
        """Both."""
        for optimizer in self._both:
            optimizer.zero_grad(set_to_none=set_to_none)


@dataclass
class Candidate:
    """A model in training, from the same weights as all others."""

    name: str
    lr: float
    parts: Parts
    optimizer: torch.optim.AdamW
    seconds: list[float] = field(default_factory=list)


def config_of(options: argparse.Namespace, folder: Path) -> TrainConfig:
    """The run that all candidates share, but for the optimizer."""
    if options.src is None:
        train, dev = {"format": "phrasebook", "split": "train"}, {"format": "phrasebook", "split": "dev"}
    else:
        train = {"format": "text", "src": options.src, "tgt": options.tgt}
        dev = {"format": "text", "src": options.dev_src, "tgt": options.dev_tgt}
    settings: dict[str, Any] = {
        "data": {"src_lang": "en", "tgt_lang": "de", "train": train, "dev": dev, "max_length": options.max_length},
        "tokenizer": {"vocab_size": options.vocab_size},
        "model": {"preset": options.preset},
        "training": {"batch_tokens": options.batch_tokens, "max_steps": options.steps, "accumulation": options.threads},
        "runtime": {
            "device": "cuda" if options.cuda and torch.cuda.is_available() else "cpu",
            "threads": options.threads,
            "cache_folder": str(folder / "cache"),
        },
    }
    file = folder / "config.yaml"
    file.write_text(json.dumps(settings), encoding="utf-8")  # JSON is YAML
    return load_config(file)


def candidates(config: TrainConfig, data: PreparedData, machine: Machine, rates: list[float]) -> list[Candidate]:
    """Both optimizers with every rate."""
    found = []
    for lr in rates:
        for name in ("adamw", "muon"):
            parts = assemble(config, data, machine, None, ALONE)
            optimizer = parts.learner.optimizer
            if name == "muon":
                optimizer = cast(torch.optim.AdamW, MuonAndAdamW(config.optim, parts.learner.model))
            found.append(Candidate(name, lr, parts, optimizer))
    return found


def take_steps(every: list[Candidate], machine: Machine, options: argparse.Namespace) -> None:
    """All steps of all candidates, with a linear warmup over the first tenth and a linear decay to 0."""
    warmup = max(1, options.steps // 10)
    for step, batches in enumerate(islice(every[0].parts.loader.steps(Position()), options.steps), start=1):
        share = min(step / warmup, (options.steps - step + 1) / (options.steps - warmup + 1))
        for candidate in every:
            start = time.perf_counter()
            result = train_step(
                candidate.parts.teacher_forcing,
                candidate.optimizer,
                batches,
                step=step,
                lr=candidate.lr * share,
                clip_norm=1.0,
                seed=1,
                device=machine.device,
                workers=candidate.parts.workers,
            )
            if not bool(result.is_finite):
                raise SystemExit(f"{candidate.name} with lr {candidate.lr:g}: step {step} is not finite")
            candidate.seconds.append(time.perf_counter() - start)


@torch.no_grad()
def dev_nll(candidate: Candidate, data: PreparedData, machine: Machine) -> float:
    """Nats per target token."""
    src, tgt = data.tokenizers.src, data.tokenizers.tgt
    pairs = list(zip(src.encode(data.dev.src_texts), tgt.encode(data.dev.tgt_texts), strict=True))
    total: LossSums | None = None
    teacher_forcing = candidate.parts.teacher_forcing.eval()
    for batch in pad_pairs(pairs, batch_tokens=4096, pad_id=tgt.pad_id, bos_id=tgt.bos_id, eos_id=tgt.eos_id):
        total = add_sums(total, teacher_forcing(batch.to(machine.device), with_diagnostics=False))
    assert total is not None
    nll: Tensor = total.nll / total.num_tokens
    return float(nll)


def main() -> None:
    """Train all, print, and write the numbers where that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("steps", 400), ("batch-tokens", 4096), ("max-length", 64), ("threads", 2)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--vocab-size", type=int, default=2000)
    parser.add_argument("--preset", default="transformer_tiny")
    parser.add_argument("--lr", type=float, nargs="+", default=[1e-3, 3e-3])
    for name in ("src", "tgt", "dev-src", "dev-tgt"):
        parser.add_argument(f"--{name}", metavar="FILE")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all numbers there")
    parser.add_argument("--cuda", action="store_true", help="on the GPU, where there is one")
    parser.add_argument("--quick", action="store_true", help="a toy")
    options = parser.parse_args()
    if len({file is None for file in (options.src, options.tgt, options.dev_src, options.dev_tgt)}) > 1:
        parser.error("give all of --src, --tgt, --dev-src and --dev-tgt, or none of them")
    if options.quick:
        options.steps, options.batch_tokens, options.max_length, options.lr = 4, 256, 64, [1e-3]
    with tempfile.TemporaryDirectory() as folder:
        config = config_of(options, Path(folder))
        machine = set_up_machine(config.runtime)
        data = prepare_data(config, announce=lambda line: None)
        every = candidates(config, data, machine, options.lr)
        take_steps(every, machine, options)
        report = []
        print(
            f"torch {torch.__version__}, {machine.describe()}, {options.steps} steps of {options.batch_tokens:,} tokens"
        )
        for candidate in every:
            counted = sorted(1e3 * seconds for seconds in candidate.seconds[options.steps // 10 :])
            nll, middle = dev_nll(candidate, data, machine), statistics.median(counted)
            report.append({"optimizer": candidate.name, "lr": candidate.lr, "nll_dev": nll, "ms": counted})
            print(
                f"{candidate.name:<6} lr {candidate.lr:.0e}  nll dev {nll:.4f}  "
                f"{middle:8.1f} ms/step ({counted[0]:.1f} to {counted[-1]:.1f})"
            )
    if options.json is not None:
        options.json.write_text(json.dumps({"machine": about_machine(), "results": report}, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
