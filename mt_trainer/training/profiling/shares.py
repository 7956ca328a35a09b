"""Calls of some steps summed up: by phase, by kind of work, by operator, and against the floor.

On a CPU the times of threads side by side are divided by their number: so long do they take together. On a GPU all
times are those of its kernels, and the rest of a step is when it has nothing to do.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from mt_trainer.training.phases import Phase
from mt_trainer.training.profiling.calls import AUTOGRAD, PHASES, STEP, Call
from mt_trainer.training.profiling.kinds import Kind, kind_of, operations_of

WAITING = "threads waiting for each other"
BETWEEN = "between these"
MARKS = frozenset({STEP, *PHASES})


@dataclass
class Sum:
    """Of calls: their own seconds, operations of matrix products, and how many calls they were."""

    seconds: float = 0.0
    operations: float = 0.0
    calls: float = 0.0

    def add(self, call: Call, weight: float) -> None:
        """One more, whose time counts so much."""
        self.seconds += weight * call.own_seconds
        self.operations += operations_of(call)
        self.calls += call.span_seconds > 0  # on a GPU an operator is listed beside its kernels, which have no span

    def over(self, number: int) -> "Sum":
        """One of `number` equal parts."""
        return Sum(self.seconds / number, self.operations / number, self.calls / number)


@dataclass(frozen=True)
class Shares:
    """Where the time of some steps went; all numbers are those of one step, on average.

    Attributes:
        step_seconds: of a step, while it was profiled.
        phases: seconds by name; with what is between them they make up the step.
        kinds: of the operators, those in the wait for data left out.
        operators: the same by name, those that took longest first.
    """

    step_seconds: float
    phases: dict[str, float]
    kinds: dict[Kind, Sum]
    operators: dict[str, Sum]

    @property
    def waiting_seconds(self) -> float:
        """For data, and of threads for each other."""
        return self.phases.get(Phase.DATA, 0.0) + self.phases.get(WAITING, 0.0)

    @property
    def operator_seconds(self) -> float:
        """In operators."""
        return sum(each.seconds for each in self.kinds.values())

    @property
    def product_seconds(self) -> float:
        """In matrix products, those of attention included."""
        return sum(self.kinds[kind].seconds for kind in (Kind.PRODUCTS, Kind.ATTENTION) if kind in self.kinds)

    def against_floor(self, floor_seconds: float, rate: float) -> dict[str, float]:
        """The step taken apart, in seconds that add up to it.

        Args:
            floor_seconds: that the real tokens of a step need at least.
            rate: operations a second of matrix products alone.
        """
        at_rate = sum(each.operations for each in self.kinds.values()) / rate
        return {
            "the floor: real tokens at the full rate": floor_seconds,
            "padding, and what the objective adds": at_rate - floor_seconds,
            "matrix products below the full rate": self.product_seconds - at_rate,
            "everything else": self.step_seconds - self.product_seconds,
        }


def shares_of(calls: Sequence[Call], *, step_seconds: float, num_threads: int, is_cuda: bool) -> Shares:
    """Sums over the steps that the calls were made in.

    Args:
        step_seconds: of a step, on average and by the clock: on a GPU a mark ends when all is launched, not done.
        num_threads: of the threads that compute side by side; 1 where there are none.
    """
    number = sum(call.name == STEP for call in calls)
    operators = [call for call in calls if call.name not in MARKS and Phase.DATA not in call.inside]
    phases = _phases_on_gpu(operators) if is_cuda else _phases(calls, num_threads)
    kinds: dict[Kind, Sum] = defaultdict(Sum)
    names: dict[str, Sum] = defaultdict(Sum)
    for call in operators:
        weight = 1.0 if call.is_main or is_cuda else 1 / num_threads
        kinds[kind_of(call)].add(call, weight)
        names[call.name].add(call, weight)
    longest = sorted(names, key=lambda name: -names[name].seconds)
    return Shares(
        step_seconds=step_seconds,
        phases={name: seconds / number for name, seconds in phases.items()},
        kinds={kind: kinds[kind].over(number) for kind in Kind if kind in kinds},
        operators={name: names[name].over(number) for name in longest},
    )


def _phases(calls: Iterable[Call], num_threads: int) -> Mapping[str, float]:
    """From their marks. What remains of forward and backward side by side is the wait of threads that have ended."""
    found: dict[str, float] = defaultdict(float)
    for call in calls:
        if call.name in MARKS:
            found[call.name] += call.span_seconds / (1 if call.is_main else num_threads)
    if Phase.SIDE_BY_SIDE in found:
        found[WAITING] = found[Phase.SIDE_BY_SIDE] - found[Phase.FORWARD] - found[Phase.BACKWARD]
    order = [Phase.DATA, Phase.FORWARD, Phase.BACKWARD, WAITING, Phase.GRADIENTS, Phase.UPDATE, Phase.AVERAGE]
    return {str(name): found[name] for name in order if name in found}


def _phases_on_gpu(operators: Iterable[Call]) -> Mapping[str, float]:
    """From the marks that kernels were started in. What autograd starts, in a thread of its own, is of backward."""
    found: dict[str, float] = {}
    for call in operators:
        inside = [name for name in call.inside if name in MARKS and name != STEP]
        is_of_autograd = any(name.startswith(AUTOGRAD) for name in call.inside)
        name = inside[-1] if inside else Phase.BACKWARD if is_of_autograd else BETWEEN
        found[str(name)] = found.get(str(name), 0.0) + call.own_seconds
    return {name: found[name] for name in (*Phase, BETWEEN) if name in found}
