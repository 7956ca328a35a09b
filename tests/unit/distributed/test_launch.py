"""What a launcher says in the environment."""

import pytest

from mt_trainer.distributed.launch import VARIABLES, Launch, find_launch, require_one_process
from mt_trainer.errors import ConfigError

TORCHRUN = {
    "RANK": "3",
    "WORLD_SIZE": "4",
    "LOCAL_RANK": "1",
    "GROUP_RANK": "1",
    "MASTER_ADDR": "127.0.0.1",
    "MASTER_PORT": "29500",
}


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name, value in TORCHRUN.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def test_a_process_without_launcher_is_alone(launched: pytest.MonkeyPatch) -> None:
    for name in TORCHRUN:
        launched.delenv(name)
    assert find_launch() == Launch(rank=0, world_size=1, local_rank=0, group=None)
    require_one_process("a dry run")


def test_one_process_of_torchrun_is_alone_too(launched: pytest.MonkeyPatch) -> None:
    launched.setenv("WORLD_SIZE", "1")
    assert find_launch() == Launch()


@pytest.mark.usefixtures("launched")
def test_torchrun_is_understood() -> None:
    assert find_launch() == Launch(rank=3, world_size=4, local_rank=1, group="1")


@pytest.mark.parametrize("name", [name for name in VARIABLES if name != "WORLD_SIZE"])
def test_a_variable_that_is_missing_is_named(name: str, launched: pytest.MonkeyPatch) -> None:
    launched.delenv(name)
    with pytest.raises(ConfigError, match=rf"MT006.*WORLD_SIZE is 4, but {name} is not set"):
        find_launch()


def test_all_that_is_wrong_is_said_at_once(launched: pytest.MonkeyPatch) -> None:
    launched.setenv("WORLD_SIZE", "two")
    launched.setenv("RANK", "-1")
    with pytest.raises(ConfigError) as caught:
        find_launch()
    assert [problem.message for problem in caught.value.problems] == [
        "RANK is `-1`, not a number",
        "WORLD_SIZE is `two`, not a number",
    ]


@pytest.mark.usefixtures("launched")
def test_what_takes_one_process_refuses_several() -> None:
    with pytest.raises(ConfigError, match=r"MT006.*a dry run takes one process"):
        require_one_process("a dry run")
