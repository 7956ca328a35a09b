"""Milestones where dev has no finite NLL: a divergence, and an average that is not saved."""

import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

from mt_trainer.config.training import TrainingConfig
from mt_trainer.distributed.ranks import ALONE
from mt_trainer.evaluation.validation import Validation
from mt_trainer.objectives import LossSums
from mt_trainer.training.checkpoints.checkpoint import Checkpoint
from mt_trainer.training.diverging.divergence import DivergenceWatch
from mt_trainer.training.milestones import Milestones
from mt_trainer.training.progress import Progress
from mt_trainer.training.records import NoRecords, Window


class OneWeight(torch.nn.Module):
    """As many parameters as the checkpoints of `save` have."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1, 1))


class NoLikelihood:
    """A validator whose model gives no finite NLL."""

    def __init__(self, nll: float) -> None:
        self.nll = torch.tensor(nll)

    def validate(self, teacher_forcing: Any, device: torch.device) -> Validation:
        ten = torch.tensor(10)
        return Validation(LossSums(self.nll, self.nll, ten, ten, None, None, None, None), None)


@pytest.fixture(params=[math.nan, math.inf])
def milestones(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Milestones, list[str]]:
    """Those of a run whose dev has this NLL, and what they say. Nothing can be recorded or saved with them."""
    said: list[str] = []
    limits, records = TrainingConfig(), NoRecords()
    learner = SimpleNamespace(model=OneWeight(), with_evaluated_weights=lambda: torch.no_grad())
    loss = SimpleNamespace(start_step=lambda step: None)
    made = Milestones(
        run=cast(Any, SimpleNamespace(checkpoints=tmp_path / "checkpoints", config=SimpleNamespace(training=limits))),
        data=cast(Any, None),
        learner=cast(Any, learner),
        teacher_forcing=cast(Any, SimpleNamespace(translation_loss=loss)),
        validator=cast(Any, NoLikelihood(request.param)),
        records=records,
        watch=DivergenceWatch(limits, records, said.append),
        device=torch.device("cpu"),
        ranks=ALONE,
        say=said.append,
        clock=lambda: 0.0,
    )
    return made, said


def test_no_likelihood_on_dev_is_a_divergence(milestones: tuple[Milestones, list[str]]) -> None:
    made, said = milestones
    progress, divergence = made.validate_and_save(Progress(step=5), Window())
    assert progress == Progress(step=5)
    assert divergence is not None
    assert divergence.step == 5
    assert divergence.reason.startswith("the perplexity on dev after step 5 is ")
    assert said == []


def test_an_average_without_likelihood_is_not_saved(
    milestones: tuple[Milestones, list[str]], save: Callable[..., Checkpoint], tmp_path: Path
) -> None:
    made, said = milestones
    save(1, bleu=1.0)
    save(2, bleu=2.0)
    made.add_average(2)
    assert said == ["no average: that of 2 checkpoints has no finite perplexity on dev"]
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["step_00000001", "step_00000002"]
