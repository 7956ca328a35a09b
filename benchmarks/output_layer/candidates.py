"""An output layer with its loss in several forms: bare matrix products, torch's, ours, and naive code."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from mt_trainer.objectives import TranslationLoss, logit_statistics
from mt_trainer.objectives.objective import Objective, Source
from mt_trainer.objectives.sentences import previous_targets
from mt_trainer.objectives.token_inputs import TokenInputs
from mt_trainer.objectives.translation_loss import with_normed_embedding

SENTENCE_TOKENS = 25
NUM_TEACHER_PIECES = 12

Run = Callable[[], None]


@dataclass(frozen=True)
class Layer:
    """An output layer with its inputs: hidden states [N, D] and a weight [V, D] that learn, labels [N]."""

    hidden: Tensor
    weight: Tensor
    labels: Tensor
    dtype: torch.dtype

    @property
    def sentences(self) -> Tensor:
        """[N], sentences of equal length."""
        return torch.arange(len(self.labels), device=self.labels.device) // SENTENCE_TOKENS

    def logits(self) -> Tensor:
        """[N, V], in the precision of the matmuls."""
        with torch.autocast(self.hidden.device.type, torch.bfloat16, enabled=self.dtype == torch.bfloat16):
            return self.hidden @ self.weight.t()

    def inputs(self, source: Source) -> TokenInputs:
        """What an objective reads of the tokens, made up where it is the work of a model."""
        labels = self.labels
        match source:
            case Source.PREVIOUS_TARGETS:
                return TokenInputs(labels, *previous_targets(labels, self.sentences))
            case Source.EVALUATION_PASS:
                return TokenInputs(labels, weight_nll=torch.ones_like(labels, dtype=torch.float32))
            case Source.TEACHER:
                shape = (len(labels), NUM_TEACHER_PIECES)
                ids = torch.randint(len(self.weight), shape, device=labels.device)
                return TokenInputs(labels, ids, torch.full(shape, 1 / NUM_TEACHER_PIECES, device=labels.device))
            case _:
                return TokenInputs(labels)


def make_layer(num_tokens: int, width: int, vocab_size: int, dtype: torch.dtype, device: torch.device) -> Layer:
    generator = torch.Generator().manual_seed(1)
    hidden = torch.randn(num_tokens, width, generator=generator).to(device)
    weight = (torch.randn(vocab_size, width, generator=generator) / width**0.5).to(device)
    labels = torch.randint(1, vocab_size, (num_tokens,), generator=generator).to(device)
    return Layer(hidden.requires_grad_(), weight.requires_grad_(), labels, dtype)


def three_matmuls(hidden: Tensor, weight: Tensor, rows: int) -> None:
    """Logits, gradient of the hidden state, gradient of the weight; in parts, so that memory counts less."""
    for part in hidden.split(rows):
        logits = part @ weight.t()
        _ = logits @ weight, logits.t() @ part


def torch_cross_entropy(layer: Layer) -> None:
    F.cross_entropy(layer.logits().float(), layer.labels, label_smoothing=0.1).backward()


def of_objective(layer: Layer, loss: TranslationLoss, inputs: TokenInputs) -> None:
    """What a training step does."""
    sums = loss.sums(layer.hidden, layer.weight, inputs, sentences=layer.sentences, matmul_dtype=layer.dtype)
    (sums.loss / sums.num_tokens).backward()
    loss.end_step()


def naive(layer: Layer, objective: Objective, inputs: TokenInputs) -> None:
    """The definition; what a truncation leaves out is left in."""
    constants = objective.constants
    if objective.embeds_with_output:
        constants = with_normed_embedding(constants, layer.weight)
    found = logit_statistics(layer.logits(), inputs, constants=constants, needs=objective.needs)
    objective.function(found).mean().backward()


def matmuls_of(layer: Layer) -> dict[str, Run]:
    hidden, weight = (factor.detach().to(layer.dtype) for factor in (layer.hidden, layer.weight))
    forms = {"whole": len(hidden), "parts": 1024}
    return {f"matmuls, {name}": partial(three_matmuls, hidden, weight, rows) for name, rows in forms.items()}


def candidates(layer: Layer, objectives: dict[str, Objective]) -> dict[str, Run]:
    runs = matmuls_of(layer) | {"F.cross_entropy": partial(torch_cross_entropy, layer)}
    for name, objective in objectives.items():
        inputs = layer.inputs(objective.source)
        loss = TranslationLoss(len(layer.weight), objective=objective).to(layer.hidden.device)
        runs[name] = partial(of_objective, layer, loss, inputs)
        runs[f"{name}, naive"] = partial(naive, layer, objective, inputs)
    return runs


def gpu_rivals(layer: Layer) -> dict[str, Run]:
    """Compiled cross-entropy, and Liger's where it is installed."""

    def cross_entropy(hidden: Tensor, weight: Tensor) -> Tensor:
        return F.cross_entropy((hidden @ weight.t()).float(), layer.labels, label_smoothing=0.1)

    compiled = torch.compile(cross_entropy)

    def run_compiled() -> None:
        with torch.autocast("cuda", torch.bfloat16, enabled=layer.dtype == torch.bfloat16):
            loss = compiled(layer.hidden, layer.weight)
        loss.backward()

    runs: dict[str, Run] = {"compiled F.CE": run_compiled}
    try:
        transformers = importlib.import_module("liger_kernel.transformers")
    except ImportError:
        print("Liger is left out: `liger_kernel` is not installed")
        return runs
    liger = transformers.LigerFusedLinearCrossEntropyLoss(label_smoothing=0.1)

    def run_liger() -> None:
        with torch.autocast("cuda", torch.bfloat16, enabled=layer.dtype == torch.bfloat16):
            loss = liger(layer.weight, layer.hidden, layer.labels)
        loss.backward()

    return runs | {"Liger": run_liger}
