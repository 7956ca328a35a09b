"""Where a value was written: the tree of a config with the place of every key, so that a message can point at it."""

from dataclasses import dataclass, replace
from typing import Any

from mt_trainer.errors import Problem

Scalar = None | bool | int | float | str

WIDEST_EXCERPT = 120
"""Characters of a line that a message shows at most."""


def printable(text: str) -> str:
    """`text` with tabs as blanks and characters a terminal might obey or cannot encode as escapes."""
    shown = text.replace("\t", " ")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in shown)


@dataclass(frozen=True)
class Place:
    """A stretch of one line of a file, or a whole `--set key=value` (then `line` is 0)."""

    source: str
    line: int = 0
    column: int = 0
    width: int = 1
    text: str = ""

    @property
    def where(self) -> str:
        """`file:line:column`, both counted from 1, or the `--set` as it was given."""
        source = printable(self.source)
        return f"{source}:{self.line}:{self.column}" if self.line else source

    @property
    def excerpt(self) -> str | None:
        """The line with its number, and the stretch underlined."""
        if not self.line or not self.text.strip():
            return None
        start = max(0, self.column - 1 - WIDEST_EXCERPT // 2) if len(self.text) > WIDEST_EXCERPT else 0
        before = printable(self.text[start : self.column - 1])
        stretch = printable(self.text[self.column - 1 : min(self.column - 1 + self.width, start + WIDEST_EXCERPT)])
        after = printable(self.text[self.column - 1 + self.width : start + WIDEST_EXCERPT])
        underline = " " * len(before) + "^" * max(1, len(stretch))
        return f"{self.line:>5} | {(before + stretch + after).rstrip()}\n      | {underline}"

    def wider(self, width: int) -> "Place":
        """The same place with another width."""
        return replace(self, width=max(1, width))


@dataclass(frozen=True)
class Node:
    """A value with the place of itself and, in a mapping, of its key."""

    value: "Scalar | list[Node] | dict[str, Node]"
    place: Place
    key_place: Place | None = None

    def child(self, part: str | int) -> "Node | None":
        """The entry under a key or list index, if there is one."""
        if isinstance(self.value, dict):
            return self.value.get(str(part))
        if isinstance(self.value, list) and str(part).isdecimal() and int(part) < len(self.value):
            return self.value[int(part)]
        return None

    def plain(self) -> Any:
        """The bare values; lists become tuples."""
        if isinstance(self.value, dict):
            return {key: node.plain() for key, node in self.value.items()}
        if isinstance(self.value, list):
            return tuple(node.plain() for node in self.value)
        return self.value


@dataclass(frozen=True)
class Finding:
    """A problem and the place it points at; turned into a `Problem` once all are known and sorted."""

    code: str
    place: Place
    message: str
    help: str | None = None

    def problem(self) -> Problem:
        """What the user sees."""
        return Problem(self.code, self.message, where=self.place.where, excerpt=self.place.excerpt, help=self.help)
