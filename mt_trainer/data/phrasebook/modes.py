"""Tenses and modal verbs, and which of them a verb admits by its character."""

from enum import Enum


class Mode(Enum):
    """Tense or modality of a clause; the value shows English and German."""

    NOW = "is reading, liest"
    HABIT = "reads every day, liest jeden Tag"
    PAST = "read, hat gelesen"
    FUTURE = "will read, wird lesen"
    CAN = "can read, kann lesen"
    MUST = "has to read, muss lesen"
    WANT = "wants to read, will lesen"
    SHOULD = "should read, sollte lesen"
    MAY = "is allowed to read, darf lesen"
    WISH = "would like to read, möchte lesen"


_MODALS = (Mode.CAN, Mode.MUST, Mode.WANT, Mode.SHOULD, Mode.MAY, Mode.WISH)
ACTION = (Mode.NOW, Mode.NOW, Mode.NOW, Mode.PAST, Mode.PAST, Mode.PAST, Mode.FUTURE, *_MODALS)
# Verbs of other characters than actions, with the modes that make sense.
CHARACTERS: dict[str, tuple[Mode, ...]] = {
    "duty": (Mode.NOW, Mode.NOW, Mode.PAST, Mode.PAST, Mode.FUTURE, Mode.CAN, Mode.MUST, Mode.SHOULD),
    "event": (Mode.NOW, Mode.PAST),
    "success": (Mode.PAST, Mode.PAST, Mode.CAN),
    "accident": (Mode.PAST,),
    "state": (Mode.NOW,),
    "past": (Mode.NOW, Mode.NOW, Mode.PAST),
    "perception": (Mode.NOW, Mode.PAST, Mode.CAN),
    "ability": (Mode.NOW, Mode.CAN),
}
STATES_OF_AFFAIRS = frozenset({"state", "past", "perception", "ability"})
