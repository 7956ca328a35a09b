"""What a profile shows: aligned tables, times in milliseconds of one step."""

from collections.abc import Sequence

from mt_trainer.training.matmul_rate import show_rate
from mt_trainer.training.profiling.shares import BETWEEN, Shares

NUM_OPERATORS = 12
"""Of the longest ones that are shown."""


def show_shares(shares: Shares, *, floor_seconds: float, rate: float, is_cuda: bool) -> str:
    """Four tables: phases, kinds of work, operators, and the step against its floor.

    Args:
        floor_seconds: that the real tokens of a step need at least.
        rate: operations a second of matrix products alone.
        is_cuda: whether the times are those of a GPU.
    """
    step = shares.step_seconds
    rest = "the GPU has nothing to do" if is_cuda else BETWEEN
    phases = {**shares.phases, rest: step - sum(shares.phases.values()), "a step": step}
    tables = [_table(["phase", "ms", "share"], [[name, *_time(each, step)] for name, each in phases.items()])]

    kinds = [
        [kind.value, *_time(each.seconds, step), *_products(each.seconds, each.operations, rate)]
        for kind, each in shares.kinds.items()
    ]
    waiting = 0.0 if is_cuda else shares.waiting_seconds
    if not is_cuda:
        kinds.append(["waiting: data, other threads", *_time(waiting, step)])
    rest = rest if is_cuda else "Python, between operators"
    kinds.append([rest, *_time(step - waiting - shares.operator_seconds, step)])
    tables.append(_table(["kind of work", "ms", "share", "ms at full rate", "rate reached"], kinds))

    operators = [
        [name if len(name) <= 60 else name[:57] + "...", *_time(each.seconds, step), f"{each.calls:,.0f}"]
        for name, each in list(shares.operators.items())[:NUM_OPERATORS]
    ]
    tables.append(_table(["operator, without those it calls", "ms", "share", "calls"], operators))

    floor = [[name, *_time(each, step)] for name, each in shares.against_floor(floor_seconds, rate).items()]
    tables.append(_table([f"against the floor, at {show_rate(rate)}", "ms", "share"], floor))
    return "\n\n".join(tables)


def _time(seconds: float, step_seconds: float) -> list[str]:
    return [f"{1000 * seconds:,.1f}", f"{100 * seconds / step_seconds:.0f} %"]


def _products(seconds: float, operations: float, rate: float) -> list[str]:
    """How long the matrix products would take at the full rate, and the rate that they have."""
    if not operations or not seconds:
        return []
    return [f"{1000 * operations / rate:,.1f}", show_rate(operations / seconds)]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The first column to the left, the others to the right; a row may have fewer cells."""
    widths = [max(len(row[i]) for row in [head, *rows] if i < len(row)) for i in range(len(head))]
    lines = []
    for row in [head, *rows]:
        cells = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=False)]
        lines.append("  ".join([row[0].ljust(widths[0]), *cells]).rstrip())
    return "\n".join(lines)
