"""What compare_objectives.py compares: objectives in YAML, and the settings of a run that is the recipe in small."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import yaml

from mt_trainer.config import TrainConfig, load_config

OBJECTIVES = (
    "cross_entropy={name: cross_entropy}",
    "label_smoothing={name: label_smoothing, epsilon: 0.1}",
    "tailr={name: tailr, gamma: 0.1, min_weight: 0.3, epsilon: 0.1}",
    "cross_entropy_then_brier=[{name: cross_entropy, until_step: 72%}, {name: brier}]",
)
"""What is compared if nothing is named. Shao et al. (ICML 2024) change to Brier after 13,000 of 18,000 steps."""

SCALED = ("optim.schedule.warmup_steps", "optim.schedule.decay_steps", "training.validate_every_steps")

OTHER_LIMITS = tuple(f"training.{name}=null" for name in ("max_epochs", "max_tokens", "max_seconds", "patience"))
"""The number of steps alone says when a run ends."""


@dataclass(frozen=True)
class Comparison:
    """What is compared.

    Attributes:
        config: file or recipe that all runs share.
        overrides: for it, such as `model.dropout=0.1`.
        objectives: in YAML, by name; the others are compared with the first.
        seeds: a run of each objective for each.
        minutes, num_steps: length of a run; one of them.
        out: folder of the runs.
    """

    config: str
    overrides: tuple[str, ...]
    objectives: dict[str, str]
    seeds: tuple[int, ...]
    minutes: float | None
    num_steps: int | None
    out: Path

    @cached_property
    def recipe(self) -> TrainConfig:
        """The config before an objective and a number of steps are chosen."""
        return load_config(self.config, self.overrides)

    def overrides_for(self, name: str, num_steps: int) -> list[str]:
        """All overrides of a run of so many steps with an objective."""
        recipe_steps = self.recipe.training.max_steps
        scaled = []
        for key in SCALED:
            section, _, last = key.rpartition(".")
            value = getattr(
                self.recipe.optim.schedule if section == "optim.schedule" else self.recipe.training, last, 0
            )
            if value and recipe_steps is not None:
                scaled.append(f"{key}={max(1, round(value / recipe_steps * num_steps))}")
        objective = with_shares(self.objectives[name], num_steps)
        # null first: else an objective of the same name would keep what the recipe says of it
        chosen = ["objective=null", f"objective={objective}"]
        return [*self.overrides, *OTHER_LIMITS, f"training.max_steps={num_steps}", *scaled, *chosen]


def with_shares(text: str, num_steps: int) -> str:
    """The text with `72%` replaced by that share of the steps: at least one step, unless it is a share of 0."""

    def steps(match: re.Match[str]) -> str:
        share = float(match[1]) / 100
        return str(max(1, round(share * num_steps)) if share else 0)

    return re.sub(r"\b(\d+(?:\.\d+)?)%", steps, text)


def absolute_ends(text: str) -> list[str]:
    """The `until_step` of an objective in YAML that are numbers of steps, not shares of them."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError:
        return []  # load_config says what is wrong with it
    entries = [entry for each in _collections(node) if isinstance(each, yaml.MappingNode) for entry in each.value]
    numbers = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
    return [value.value for key, value in entries if key.value == "until_step" and value.tag in numbers]


def read_objective(text: str) -> tuple[str, str]:
    """Name and YAML, on one line, of `name={...}`, `name=[...]` or `name=file.yaml`.

    Raises:
        ValueError: it is none of them.
    """
    name, equals, value = text.partition("=")
    if not equals or not re.fullmatch(r"[\w.-]+", name):
        raise ValueError(f"not of the form name={{...}} or name=file.yaml: {text}")
    if value.lstrip().startswith(("{", "[")):
        return name, value
    node = yaml.compose(Path(value).read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    for collection in _collections(node):
        collection.flow_style = True
    return name, yaml.serialize(node, width=float("inf")).strip()


def _collections(node: yaml.Node | None) -> Iterator[yaml.CollectionNode]:
    """The mappings and lists of a tree."""
    if isinstance(node, yaml.CollectionNode):
        yield node
        for entry in node.value:
            for child in entry if isinstance(entry, tuple) else (entry,):
                yield from _collections(child)
