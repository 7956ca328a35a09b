"""Device, precision, threads and seeds."""

import json
from collections.abc import Iterator

import pytest
import torch

from mt_trainer import machine
from mt_trainer.config.runtime import RuntimeConfig
from mt_trainer.errors import ConfigError, ExitCode
from mt_trainer.machine import Machine, environment, is_good_at_bf16, seed_everything, set_up_machine

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def same_settings_afterwards(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def no_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.mark.usefixtures("no_cuda")
def test_cuda_without_cuda_is_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        set_up_machine(RuntimeConfig(device="cuda"))
    [problem] = caught.value.problems
    assert (problem.code, problem.where, caught.value.exit_code) == ("MT004", "runtime.device", ExitCode.USER_INPUT)
    assert "`cpu` or `auto`" in str(problem.help)


@pytest.mark.usefixtures("no_cuda")
def test_auto_takes_the_cpu_where_there_is_nothing_else() -> None:
    assert set_up_machine(RuntimeConfig(device="auto", precision="fp32")).device == CPU


def test_each_process_of_a_machine_takes_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", taken.append)
    config = RuntimeConfig(precision="fp32")
    assert set_up_machine(config, local_rank=1).device == torch.device("cuda", 1)
    assert taken == [torch.device("cuda", 1)]
    with pytest.raises(ConfigError, match=r"MT004.*process 3 of this machine has no GPU: there are 2"):
        set_up_machine(config, local_rank=2)
    assert set_up_machine(RuntimeConfig(device="cpu"), local_rank=2).device == CPU


def test_threads_are_set_and_told() -> None:
    assert set_up_machine(RuntimeConfig(device="cpu", threads=1)).threads == torch.get_num_threads() == 1


@pytest.mark.parametrize(("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_precision_as_asked(precision: str, dtype: torch.dtype) -> None:
    config = RuntimeConfig.model_validate({"device": "cpu", "precision": precision})
    assert set_up_machine(config).dtype == dtype


@pytest.mark.parametrize(("is_good", "dtype"), [(True, torch.bfloat16), (False, torch.float32)])
def test_automatic_precision(is_good: bool, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "is_good_at_bf16", lambda device: is_good)
    assert set_up_machine(RuntimeConfig(device="cpu", precision="auto")).dtype == dtype


@pytest.mark.parametrize(("capability", "is_good"), [((7, 5), False), ((8, 0), True), ((9, 0), True)])
def test_gpus_are_good_at_bf16_from_ampere_on(
    capability: tuple[int, int], is_good: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert is_good_at_bf16(torch.device("cuda")) is is_good


def draw(*key: int) -> list[float]:
    seed_everything(*key)
    return torch.rand(4).tolist()


def test_seeds_are_a_function_of_the_whole_key() -> None:
    assert draw(1, 2, 3) == draw(1, 2, 3)
    # Keys of one length: for numpy's SeedSequence (1,) and (1, 0) are the same.
    keys = [(1, 2, 3), (1, 3, 2), (3, 2, 1), (1, 2, 4), (2, 2, 3), (0, 1, 0), (1, 0, 0), (2**31 - 1, 10**6, 7)]
    assert len({tuple(draw(*key)) for key in keys}) == len(keys)


def test_description() -> None:
    assert Machine(CPU, torch.float32, 1).describe() == "CPU, 1 thread, fp32"
    assert Machine(CPU, torch.bfloat16, 4).describe() == "CPU, 4 threads, bf16"


def test_environment_is_json_and_names_what_matters() -> None:
    record = json.loads(json.dumps(environment(Machine(CPU, torch.float32, 3))))
    assert record["threads"] == 3
    assert record["versions"]["torch"] == torch.__version__.split("+")[0] or "+" in record["versions"]["torch"]
    known = {"python", "platform", "versions", "commit", "device", "cpu_capability", "threads", "command"}
    assert set(record) == known
