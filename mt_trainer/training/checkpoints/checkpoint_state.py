"""state.json of a checkpoint, as far as choosing one asks for it."""

from typing import Any


def require_state(state: Any) -> dict[str, Any]:
    """The content of `state.json`: an object with the step and the scores on dev.

    Raises:
        ValueError: it is not what a run writes, whatever its hash says.
    """
    if not isinstance(state, dict) or not {"step", "dev"} <= state.keys() or type(state["step"]) is not int:
        raise ValueError("state.json lacks what it must say")
    if not isinstance(state["dev"], dict | None):
        raise ValueError("state.json has no scores on dev where they should be")
    scores = (state["dev"] or {}).values()
    if not all(type(score) is float or (type(score) is int and abs(score) < 2**63) for score in scores):
        raise ValueError("state.json has scores on dev that are no numbers")
    return state
