"""What torch's profiler has seen, as calls: what each ran inside, how long it took itself, what it was given."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from torch.autograd.profiler_util import FunctionEvent

from mt_trainer.training.phases import Phase

STEP = "step"
"""The mark around each step that is profiled."""

PHASES = frozenset(Phase)
AUTOGRAD = "autograd::engine"
"""How the names begin of what the thread runs that goes through backward on a GPU: it has no marks."""


@dataclass(frozen=True)
class Call:
    """An operator that ran, or a mark.

    Attributes:
        name: of the operator; of a kernel, where a GPU was given one without an operator.
        inside: the operators and marks that it ran inside, the outermost first.
        is_main: whether it ran on the thread that takes the steps.
        own_seconds: it took without what it called; on a GPU the time of its kernels.
        span_seconds: from its beginning to its end, on the CPU.
        shapes: of its arguments; [] for one that is no tensor.
    """

    name: str
    inside: tuple[str, ...]
    is_main: bool
    own_seconds: float
    span_seconds: float
    shapes: tuple[tuple[int, ...], ...] = ()


def calls_of(events: Iterable[FunctionEvent], *, is_cuda: bool) -> list[Call]:
    """The calls of the steps, and their marks; a kernel of a GPU is one of the operator it is of.

    Of the thread that takes the steps, these are the calls inside the marks `STEP`, and these themselves; of others
    those inside a phase or the engine of autograd. What else runs meanwhile, such as the copy of the next step, is left
    out.
    """
    on_cpu = [event for event in events if event.device_type.name == "CPU" and not event.is_async]
    main = next(event.thread for event in on_cpu if event.name == STEP)
    insides: dict[int, tuple[str, ...]] = {}
    calls: list[Call] = []
    for event in sorted(on_cpu, key=lambda event: event.time_range.start):
        inside = _inside(event, insides)
        span, shapes = event.time_range.elapsed_us() / 1e6, _shapes(event.input_shapes)
        own = 0.0 if is_cuda else event.self_cpu_time_total / 1e6
        calls.append(Call(event.name, inside, event.thread == main, own, span, shapes))
        if is_cuda:
            calls += _kernels(event, inside, event.thread == main, shapes)
    return [call for call in calls if _is_of_step(call)]


def _is_of_step(call: Call) -> bool:
    names = (*call.inside, call.name)
    if call.is_main:
        return STEP in names
    return not PHASES.isdisjoint(names) or any(name.startswith(AUTOGRAD) for name in names)


def _inside(event: FunctionEvent, known: dict[int, tuple[str, ...]]) -> tuple[str, ...]:
    parent = event.cpu_parent
    if parent is None:
        return ()
    if id(parent) not in known:
        known[id(parent)] = (*_inside(parent, known), parent.name)
    return known[id(parent)]


def _kernels(event: FunctionEvent, inside: tuple[str, ...], is_main: bool, shapes: Any) -> Iterable[Call]:
    """What an operator gave a GPU to do. Of a mark, these are kernels without an operator: they keep their own names.

    The span of a mark on the GPU, which is listed among its kernels under its name, is none.
    """
    for kernel in event.kernels:
        if kernel.name != event.name:
            is_operator = event.name.startswith("aten::")
            name, around = (event.name, inside) if is_operator else (kernel.name, (*inside, event.name))
            yield Call(name, around, is_main, kernel.duration / 1e6, 0.0, shapes if is_operator else ())


def _shapes(shapes: Sequence[Any] | None) -> tuple[tuple[int, ...], ...]:
    """As tuples; lists of tensors are left empty."""
    return tuple(tuple(size for size in shape if isinstance(size, int)) for shape in shapes or ())
