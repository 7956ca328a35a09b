"""What is kept of a divergence, so that it can be gone through again: `crash/step_N.json` in the run folder.

The checkpoint that a capsule names stays as long as the capsule does.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError
from torch import Tensor

from mt_trainer.artefacts import LARGEST_JSON_BYTES, read_at_most
from mt_trainer.data.loader import Position
from mt_trainer.errors import CheckpointError, Problem
from mt_trainer.files import write_whole
from mt_trainer.training.progress import Stretch
from mt_trainer.training.step import StepResult

DECISIVE_PACKAGES = ("mt_trainer", "torch", "numpy")
"""Whose version decides about the last bits."""


@dataclass(frozen=True)
class Base:
    """The checkpoint that a replay starts from: its name, and SHA-256 of its manifest, which covers all of it."""

    name: Annotated[str, Field(pattern=r"^step_[0-9]{8,}$")]
    manifest_sha256: str


@dataclass(frozen=True)
class RunMachine:
    """What a run was computed with: all that decides about the last bits."""

    threads: Annotated[int, Field(ge=1, le=4096)]
    python: str
    device: str
    cpu_capability: str
    versions: dict[str, str]
    world_size: Annotated[int, Field(ge=1, le=65536)] = 1

    @classmethod
    def of(cls, environment: Mapping[str, Any]) -> "RunMachine":
        """From what `environment.json` has."""
        return cls(**{field.name: environment[field.name] for field in fields(cls) if field.name in environment})

    def differences(self, here: "RunMachine") -> list[str]:
        """What is not the same in another place, a line each; how the work is shared out is not looked at."""
        pairs = [(name, getattr(self, name), getattr(here, name)) for name in ("python", "device", "cpu_capability")]
        pairs += [(name, self.versions.get(name), here.versions.get(name)) for name in DECISIVE_PACKAGES]
        return [f"{name} was {before}, here it is {now}" for name, before, now in pairs if before != now]


@dataclass(frozen=True)
class Capsule:
    """A step where training diverged, and all that its numbers are a function of.

    Attributes:
        step: counted from 1.
        reason: why the run could not go on.
        seed: of the run; dropout is seeded by (seed, step, index of the micro-batch).
        lr: learning rate of the step.
        position: where the data stood before the step.
        left_out: data that the run passed over before.
        micro_batches: for each its rows, for each row the indexes of its pairs in the encoded corpus.
        sums: the sums of the step and the norm of its gradient, see `numbers_of`; empty if the process that wrote the
            capsule had not taken the step.
        base: None for the start of the run.
        hashes: of config, corpus, tokenizer, teacher and the files of the objective; None where there is none.
        machine: what it was computed with.
    """

    step: int
    reason: str
    seed: int
    lr: float
    position: Position
    left_out: tuple[Stretch, ...]
    micro_batches: list[list[list[int]]]
    sums: dict[str, dict[str, str]]
    base: Base | None
    hashes: dict[str, str | None]
    machine: RunMachine
    format: Literal[1] = 1


def numbers_of(result: StepResult) -> dict[str, dict[str, str]]:
    """The sums of a step and the norm of its gradient: each as people read it, and its bits in hexadecimal.

    The bits tell apart what people read as the same, such as the kinds of NaN.
    """
    numbers = {name: value for name, value in result.sums._asdict().items() if value is not None}
    return {name: _number(value) for name, value in {**numbers, "grad_norm": result.grad_norm}.items()}


def _number(value: Tensor) -> dict[str, str]:
    array = value.detach().cpu().numpy()
    return {"value": repr(array.item()), "bits": array.tobytes()[::-1].hex()}


def write_capsule(folder: Path, capsule: Capsule, *, num_roll_backs: int) -> Path:
    """Write it into the folder of capsules, under a name that says the step, and after how many roll-backs it was.

    Raises:
        OSError: when the disk does not take it.
    """
    again = f"_{num_roll_backs}" if num_roll_backs else ""
    path = folder / f"step_{capsule.step:08d}{again}.json"
    folder.mkdir(exist_ok=True)
    write_whole(path, (json.dumps(asdict(capsule), indent=1) + "\n").encode())
    return path


def load_capsule(path: Path) -> Capsule:
    """Read a capsule.

    Raises:
        CheckpointError: MT121, when it cannot be read or is none.
    """
    try:
        return TypeAdapter(Capsule).validate_json(read_at_most(path, LARGEST_JSON_BYTES))
    except ValidationError as error:
        first = error.errors()[0]
        reason = ".".join(map(str, first["loc"])) + f": {first['msg']}" if first["loc"] else first["msg"]
    except (OSError, ValueError) as error:
        reason = str(getattr(error, "strerror", None) or error)
    help_ = "give a file from the folder `crash` of a run, as mt-train wrote it"
    raise CheckpointError(Problem("MT121", f"not a capsule that can be read: {reason}", where=str(path), help=help_))


def checkpoints_of_capsules(folder: Path) -> set[str]:
    """The names of the checkpoints that capsules in a folder need; a file that is no capsule needs none."""
    names = set()
    for path in folder.glob("*.json"):
        try:
            base = load_capsule(path).base
        except CheckpointError:
            continue
        if base is not None:
            names.add(base.name)
    return names
