"""The phases of a step, marked so that `mt-train --profile` finds them; otherwise a mark does next to nothing."""

from enum import StrEnum

from torch.profiler import record_function


class Phase(StrEnum):
    """What a step does, in order."""

    DATA = "waiting for data"
    FORWARD = "forward"
    BACKWARD = "backward"
    SIDE_BY_SIDE = "micro-batches side by side"
    """Forward and backward of all micro-batches, where each has a thread."""
    GRADIENTS = "sum of the gradients"
    UPDATE = "clip and update"
    AVERAGE = "moving average"


def phase(name: Phase) -> record_function:
    """Marks what happens inside the block, on this thread."""
    return record_function(name.value)
