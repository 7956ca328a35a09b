"""What a check of settings against each other is made of."""

from collections.abc import Callable
from dataclasses import dataclass

from mt_trainer.config.schema import TrainConfig


@dataclass(frozen=True)
class Contradiction:
    """What does not fit together, and how to mend it."""

    message: str
    help: str


@dataclass(frozen=True)
class Check:
    """A question to a config and the keys it looks at."""

    keys: tuple[str, ...]
    ask: Callable[[TrainConfig], Contradiction | None]
