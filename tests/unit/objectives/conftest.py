"""Values and gradients that official code gave in float64 (`tests/golden/objectives.json`)."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor


@dataclass(frozen=True)
class Golden:
    content: dict[str, Any]

    @cached_property
    def cases(self) -> dict[str, dict[str, Any]]:
        return {case["id"]: case for case in self.content["cases"]}

    @cached_property
    def logits(self) -> Tensor:
        """[9, 11]"""
        return torch.tensor(self.content["inputs"]["logits_a"], dtype=torch.float64)

    @cached_property
    def labels(self) -> Tensor:
        """[9], two of them padding, id 0"""
        return torch.tensor(self.content["inputs"]["targets"])

    @cached_property
    def mask(self) -> Tensor:
        return self.labels != 0

    @cached_property
    def unigram(self) -> Tensor:
        return torch.tensor(self.content["inputs"]["unigram"], dtype=torch.float64)

    def expected(self, case: str) -> tuple[float, Tensor]:
        """Its loss and its gradient [9, 11]."""
        return self.cases[case]["loss"], torch.tensor(self.cases[case]["grad_logits"], dtype=torch.float64)

    def divisor(self, case: str) -> int:
        """7 tokens for a mean, 1 for a sum."""
        normalisation = self.cases[case]["normalisation"]
        return 7 if normalisation.startswith("mean") or "/ number of" in normalisation else 1


@pytest.fixture(scope="session")
def golden() -> Golden:
    path = Path(__file__).resolve().parents[2] / "golden" / "objectives.json"
    return Golden(json.loads(path.read_text(encoding="utf-8")))


@pytest.fixture
def in_float64() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)
