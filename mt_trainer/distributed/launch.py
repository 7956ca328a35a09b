"""As which process of how many this one was started: what torchrun, or another launcher, says in the environment."""

import os
from dataclasses import dataclass

from mt_trainer.errors import ConfigError, Problem

VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


@dataclass(frozen=True)
class Launch:
    """The place of a process among those of a run.

    Attributes:
        rank: its number in the run, from 0.
        world_size: how many there are.
        local_rank: its number on its machine, which chooses the GPU.
        group: the number of the launcher that started it, one a machine; None where it has none.
    """

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0
    group: str | None = None


def find_launch() -> Launch:
    """What the environment says; a process that no launcher started is alone.

    Raises:
        ConfigError: MT006, when a variable that several processes need is missing or not a number.
    """
    if os.environ.get("WORLD_SIZE", "1") == "1":
        return Launch()
    numbers: dict[str, int] = {}
    problems: list[Problem] = []
    for name in VARIABLES:
        value = os.environ.get(name)
        if value is None:
            message = f"WORLD_SIZE is {os.environ['WORLD_SIZE']}, but {name} is not set"
        elif name != "MASTER_ADDR" and not value.isdecimal():
            message = f"{name} is `{value}`, not a number"
        else:
            numbers[name] = int(value) if value.isdecimal() else 0
            continue
        problems.append(Problem("MT006", message, help="start it with torchrun, which sets them, or unset WORLD_SIZE"))
    if problems:
        raise ConfigError(problems)
    return Launch(numbers["RANK"], numbers["WORLD_SIZE"], numbers["LOCAL_RANK"], os.environ.get("GROUP_RANK"))


def require_one_process(what: str) -> None:
    """Refuse to do a thing several times over.

    Args:
        what: subject of the message, such as `a dry run`.

    Raises:
        ConfigError: MT006, under a launcher of several processes.
    """
    if os.environ.get("WORLD_SIZE", "1") != "1":
        message = f"{what} takes one process; this one was started as one of several"
        raise ConfigError(Problem("MT006", message, help="start it without torchrun"))
