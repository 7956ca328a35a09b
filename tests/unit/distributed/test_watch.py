"""Which rank is lost, what is said of it, and how the others end. Real processes: tests/system/test_ranks.py."""

import json
import os
import signal
import subprocess
import threading
import time
from datetime import timedelta
from typing import Any

import pytest
import torch.distributed as dist

from mt_trainer.distributed import watch as module
from mt_trainer.distributed.launch import Launch
from mt_trainer.distributed.lost import has_ended
from mt_trainer.distributed.watch import FAILURE, Heard, Lost, Watch, find_lost
from mt_trainer.errors import DivergedError, MtError, Problem
from mt_trainer.output import send_to_nowhere


def heard(**ages: Any) -> dict[int, Heard]:
    """Ranks by (seconds since heard of, meetings)."""
    return {
        int(name[1:]): Heard(at=100 - age, step=int(name[1:]) + 40, meetings=meetings)
        for name, (age, meetings) in ages.items()
    }


def lost(ranks: dict[int, Heard], *, silence: float = 10, timeout: float = 10, now: float = 100) -> Lost | None:
    return find_lost(ranks, own_rank=0, silence=silence, timeout=timeout, now=now)


def test_nobody_is_lost_while_all_speak_and_keep_up() -> None:
    assert lost(heard(r0=(0, 5), r1=(9.9, 5), r2=(1, 5))) is None


def test_the_rank_that_was_silent_the_longest() -> None:
    assert lost(heard(r0=(50, 5), r1=(11, 5), r2=(30, 5))) == Lost(2, True, 30, 42)
    assert lost(heard(r0=(50, 5), r1=(9, 5))) is None, "a rank does not judge its own silence"


def test_after_a_broken_connection_a_shorter_silence_tells() -> None:
    ranks = heard(r0=(0, 5), r1=(6, 5))
    assert lost(ranks) is None
    assert lost(ranks, silence=5) == Lost(1, True, 6, 41)


def test_a_rank_that_lives_but_does_not_come() -> None:
    """What counts is since when it is behind, not since when it has met the others: validations take their time."""
    ranks = heard(r0=(0, 6), r1=(0, 5), r2=(0, 6))
    assert lost(ranks, now=100) is None
    for each in ranks.values():
        each.at = 111
    assert lost(ranks, now=109) is None
    assert lost(ranks, now=111) == Lost(1, False, 11, 41)


def test_a_rank_that_has_come_after_all_is_not_lost() -> None:
    ranks = heard(r0=(0, 6), r1=(0, 5))
    assert lost(ranks, now=100) is None
    ranks[1].hear({"beat": 1, "step": 41, "meetings": 6, "pid": 1, "group": None}, 105)
    ranks[0].hear({"beat": 1, "step": 41, "meetings": 7, "pid": 1, "group": None}, 109)
    assert lost(ranks, now=112) is None
    assert lost(ranks, now=114) is None


def test_the_rank_itself_can_be_the_one_that_is_waited_for() -> None:
    ranks = heard(r0=(0, 5), r1=(0, 6))
    assert lost(ranks, now=100) is None
    for each in ranks.values():
        each.at = 112
    assert lost(ranks, now=112) == Lost(0, False, 12, 40)


def test_what_is_said_names_rank_and_step() -> None:
    assert Lost(1, True, 12.3, 1037).problem().message == "rank 1 has been silent for 12 s, since step 1,037"
    assert "rank 2 has kept the others waiting for 30 s, since step 7" in Lost(2, False, 30, 7).problem().render()


class Ended(Exception):
    """Instead of the end of this process."""


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> dist.Store:
    def end(code: int) -> None:
        raise Ended(code)

    monkeypatch.setattr(module.os, "_exit", end)
    monkeypatch.setattr(module, "FIRST_SECONDS", 0.1)
    store = dist.HashStore()
    store.set_timeout(timedelta(seconds=5))
    return store


def watch_of(store: dist.Store, rank: int, *, timeout: float = 0.5, group: str | None = None) -> Watch:
    return Watch(store, Launch(rank, 2, rank, group), timeout_seconds=timeout)


def test_ranks_that_do_not_start_are_named(store: dist.Store) -> None:
    with pytest.raises(MtError, match=r"MT160.*of 2 ranks these did not start within 0.2 s: 1"):
        watch_of(store, 0, timeout=0.2).start()


def test_a_silent_rank_ends_this_one(store: dist.Store, capfd: pytest.CaptureFixture[str]) -> None:
    watch_of(store, 1)._speak()
    watch = watch_of(store, 0)
    watch.step = 9
    watch._speak()
    watch._listen(time.monotonic())
    with pytest.raises(Ended, match="1"):
        watch._run()
    assert capfd.readouterr().err.startswith("error[MT160]: rank 1 has been silent for 1 s, since step 9\nhelp: ")
    failure = json.loads(store.get(FAILURE))
    assert (failure["rank"], failure["lost"], failure["exit_code"]) == (0, 1, 1)


@pytest.mark.parametrize(
    ("group", "said"),
    [
        ("0", "rank 1 is gone: its process ended without a word, at step 9\nhelp: the launcher"),
        (None, "rank 1 has been "),
    ],
)
def test_a_rank_that_was_killed_is_gone_where_that_is_known(
    store: dist.Store, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], group: str | None, said: str
) -> None:
    """Nothing is killed in its place: its number may be that of another process by now."""
    other = subprocess.Popen(["sleep", "600"])
    with monkeypatch.context() as patch:
        patch.setattr(module.os, "getpid", lambda: other.pid)
        watch_of(store, 1, group=group)._speak()
    other.kill()
    os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)  # its status is not fetched yet
    watch, killed = watch_of(store, 0, group=group), []
    kill = os.kill
    monkeypatch.setattr(module.os, "kill", lambda pid, number: killed.append(number) if number else kill(pid, number))
    watch.step = 9
    with pytest.raises(Ended):
        watch._run()
    other.wait()
    assert capfd.readouterr().err.startswith(f"error[MT160]: {said}")
    assert killed == []


def test_a_process_has_ended() -> None:
    other = subprocess.Popen(["sleep", "600"])
    assert not has_ended(other.pid)
    other.kill()
    os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)
    assert has_ended(other.pid)
    other.wait()
    assert has_ended(other.pid)


@pytest.mark.parametrize(("group", "is_killed"), [("0", True), (None, False)])
def test_a_silent_rank_of_the_same_launcher_is_killed(
    store: dist.Store, monkeypatch: pytest.MonkeyPatch, group: str | None, is_killed: bool
) -> None:
    """So that one that was only stopped never wakes up in the middle of another run."""
    killed: list[tuple[int, int]] = []
    monkeypatch.setattr(module.os, "kill", lambda *arguments: killed.append(arguments) if arguments[1] else None)
    watch_of(store, 1, group=group)._speak()
    watch = watch_of(store, 0, group=group)
    with pytest.raises(Ended):
        watch._run()
    assert killed == ([(os.getpid(), signal.SIGKILL)] if is_killed else [])


def test_what_another_rank_died_of_is_told_in_one_line(store: dist.Store, capfd: pytest.CaptureFixture[str]) -> None:
    other, watch = watch_of(store, 1), watch_of(store, 0)
    other.report(DivergedError(Problem("MT120", "not finite", help="lower it")))
    watch.is_idle.set()
    with pytest.raises(Ended, match="3"):
        watch._run()
    assert capfd.readouterr().err == "rank 0 ends because rank 1 did: error[MT120]: not finite\n"


def test_a_rank_that_comes_to_its_own_end_is_left_alone(store: dist.Store) -> None:
    other, watch = watch_of(store, 1), watch_of(store, 0)
    other.report(ValueError("oh"))
    watch.stop()
    watch._follow(json.loads(store.get(FAILURE)))


def test_the_same_problem_on_all_ranks_is_shown_once(store: dist.Store) -> None:
    watch_of(store, 0).report(DivergedError(Problem("MT120", "not finite", where="crash/step_8.json")))
    with pytest.raises(SystemExit) as caught:
        watch_of(store, 1).report(DivergedError(Problem("MT120", "not finite")))
    assert caught.value.code == 3
    watch_of(store, 1).report(DivergedError(Problem("MT120", "another one")))


def test_the_main_rank_is_the_one_that_shows_it(store: dist.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is later here, because it writes something down first."""
    monkeypatch.setattr(module, "FIRST_SECONDS", 60)
    error = DivergedError(Problem("MT120", "not finite"))
    main = threading.Timer(0.3, watch_of(store, 0).report, [error])
    main.start()
    with pytest.raises(SystemExit):
        watch_of(store, 1).report(error)
    assert json.loads(store.get(FAILURE))["rank"] == 0
    main.join()


def test_a_rank_that_a_signal_ended_lets_the_others_unwind(store: dist.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[int] = []
    monkeypatch.setattr(module.os, "kill", lambda pid, number: sent.append(number))
    monkeypatch.setattr(module, "GRACE_SECONDS", 0.1)
    watch_of(store, 1).report(SystemExit(143))
    with pytest.raises(Ended, match="143"):
        watch_of(store, 0)._run()
    assert sent == [signal.SIGTERM]


def test_a_rank_that_was_held_up_itself_judges_nobody(store: dist.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a pause of the whole machine everybody seems to have been silent."""
    watch_of(store, 1)._speak()
    watch = watch_of(store, 0, timeout=50)
    watch._speak()
    watch._listen(time.monotonic())
    real, pauses = time.monotonic, iter([0.0, 1000.0])
    jump = 0.0

    def clock() -> float:
        nonlocal jump
        jump += next(pauses, 0.0)
        return real() + jump

    monkeypatch.setattr(module.time, "monotonic", clock)
    rounds = iter([False, True])
    monkeypatch.setattr(watch._stopped, "wait", lambda seconds: next(rounds))
    watch._run()


@pytest.mark.parametrize("is_accused", [False, True])
def test_a_rank_ends_though_nobody_reads_what_it_says(
    store: dist.Store, monkeypatch: pytest.MonkeyPatch, is_accused: bool
) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    with os.fdopen(write_end, "w") as stream:
        monkeypatch.setattr(module.sys, "stderr", stream)
        watch = watch_of(store, 0)
        watch._speak()
        watch_of(store, 1)._speak()
        with pytest.raises(Ended):
            watch._accuse(Lost(1, True, 12, 9)) if is_accused else watch._end("a line")
        send_to_nowhere(stream)


def test_a_store_that_has_gone_ends_the_rank(store: dist.Store, capfd: pytest.CaptureFixture[str]) -> None:
    class Gone:
        def set(self, key: str, value: str) -> None:
            raise dist.DistNetworkError("Connection reset by peer")

    watch = Watch(Gone(), Launch(0, 2, 0), timeout_seconds=0.1)  # type: ignore[arg-type]
    with pytest.raises(Ended, match="1"):
        watch._run()
    assert "error[MT160]: the launcher has ended: its store no longer answers" in capfd.readouterr().err
