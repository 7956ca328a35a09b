"""YAML text -> tree of values with their places.

The scalars are those of YAML 1.2's core schema (https://yaml.org/spec/1.2.2/#103-core-schema), so `5e-4` is a number,
`no` is a word, `010` is ten and `12:30` is text; PyYAML alone would follow YAML 1.1. What a config has no use for is
refused: doubled keys, anchors, aliases, tags, several documents, keys that are not text.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from mt_trainer.config.places import Finding, Node, Place, Scalar, printable
from mt_trainer.errors import ConfigError

LARGEST_FILE_BYTES = 256 * 1024
DEEPEST_NESTING = 32
MOST_VALUES = 5000
"""Keys and values of one file; a resolved config has some two hundred."""
LONGEST_INTEGER = 40
"""Digits; Python refuses to read integers of several thousand."""

_LINE_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")  # what PyYAML counts as the end of a line
_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_NUMBER = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
AMBIGUOUS = re.compile(rf"({_INTEGER.pattern}|{_NUMBER.pattern})$")
"""Text that must be quoted to stay text."""

_SPECIAL: dict[str, Scalar] = {
    **dict.fromkeys(["", "~", "null", "Null", "NULL"], None),
    **dict.fromkeys(["true", "True", "TRUE"], True),
    **dict.fromkeys(["false", "False", "FALSE"], False),
    **dict.fromkeys([sign + inf for sign in ("", "+") for inf in (".inf", ".Inf", ".INF")], float("inf")),
    **dict.fromkeys(["-.inf", "-.Inf", "-.INF"], float("-inf")),
    **dict.fromkeys([".nan", ".NaN", ".NAN"], float("nan")),
}


def scalar_of(text: str) -> Scalar:
    """The value of an unquoted YAML scalar by the core schema; anything else is text."""
    if text in _SPECIAL:
        return _SPECIAL[text]
    if len(text) <= LONGEST_INTEGER and _INTEGER.fullmatch(text):
        return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))
    if _NUMBER.fullmatch(text):
        return float(text)
    return text


def read_file(path: Path, shown: str) -> "Document":
    """Read a config file; `shown` is its path as messages name it.

    Raises:
        ConfigError: MT020 with the place where the text stops being YAML, or MT023 when it is not a mapping.
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        data = file.read(LARGEST_FILE_BYTES + 1)
    if len(data) > LARGEST_FILE_BYTES:
        raise _stop(Place(shown), f"the file is larger than {LARGEST_FILE_BYTES // 1024} KiB", "is it a config?")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        column = len(data[: error.start].rpartition(b"\n")[2].decode("utf-8", "replace")) + 1
        place = Place(shown, line, column)
        raise _stop(place, f"byte {error.start} is not valid UTF-8", "save the file as UTF-8") from None
    document = read_text(text, shown)
    if document.root.value is None:
        raise _stop(Place(shown), "the file is empty", "a config needs at least the section `data`")
    if not isinstance(document.root.value, dict):
        message = "a config is a mapping of sections, `data:`, `model:` and so on"
        raise ConfigError(Finding("MT023", document.root.place, message, "write `section:` lines").problem())
    return document


def read_text(text: str, shown: str) -> "Document":
    """Read one YAML document, of any kind.

    Raises:
        ConfigError: MT020 with the place where the text stops being YAML.
    """
    return _Reader(text, shown).document()


@dataclass(frozen=True)
class Document:
    """A parsed file: its tree, the style of its top, and what is refused but did not stop the reading."""

    root: Node
    is_block: bool
    findings: list[Finding] = field(default_factory=list)


def _stop(place: Place, message: str, help: str) -> ConfigError:
    return ConfigError(Finding("MT020", place, message, help).problem())


class _Reader:
    """Builds the tree from PyYAML's events, which know their places and expand nothing."""

    def __init__(self, text: str, shown: str) -> None:
        self.shown = shown
        self.lines = _LINE_BREAK.split(text)
        self.findings: list[Finding] = []
        self.num_values = 0
        try:
            self.loader = yaml.SafeLoader(text)
        except yaml.reader.ReaderError as error:
            before = _LINE_BREAK.split(text[: error.position])
            place = self._place(len(before) - 1, len(before[-1]), 1)
            raise _stop(place, f"the character U+{ord(text[error.position]):04X} is not allowed", "delete it") from None

    def document(self) -> Document:
        self._next()
        if isinstance(self._peek(), yaml.StreamEndEvent):
            return Document(Node(None, self._place(0, 0, 1)), is_block=False)
        self._next()
        first = self._peek()
        is_block = isinstance(first, yaml.CollectionStartEvent) and not first.flow_style
        root = self._node(0)
        self._next()
        extra = self._peek()
        if not isinstance(extra, yaml.StreamEndEvent):
            raise self._fatal(extra, "a second document starts here", "keep one document in a file")
        return Document(root, is_block, self.findings)

    def _node(self, depth: int) -> Node:
        event = self._next()
        if depth > DEEPEST_NESTING:
            raise self._fatal(event, f"nested more than {DEEPEST_NESTING} levels deep", "check the brackets")
        self.num_values += 1
        if self.num_values > MOST_VALUES:
            raise self._fatal(event, f"more than {MOST_VALUES:,} keys and values", "is it a config?")
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            self._refuse(
                event, "anchors (`&`) and aliases (`*`) are not allowed", "write the value out, or use `extends`"
            )
        if getattr(event, "tag", None) is not None:
            self._refuse(event, f"the tag `{printable(event.tag)}` is not allowed", "leave the tag out")
        place = self._place_of(event)
        if isinstance(event, yaml.MappingStartEvent):
            return Node(self._mapping(depth), place)
        if isinstance(event, yaml.SequenceStartEvent):
            items: list[Node] = []
            while not isinstance(self._peek(), yaml.SequenceEndEvent):
                items.append(self._node(depth + 1))
            self._next()
            return Node(items, place)
        if isinstance(event, yaml.ScalarEvent):
            return Node(self._scalar(event), place)
        return Node(None, place)

    def _scalar(self, event: Any) -> Scalar:
        if event.style is not None:
            value: Scalar = event.value
        elif event.value.lstrip("+-").isdecimal() and len(event.value) > LONGEST_INTEGER:
            self._refuse(event, f"a number of more than {LONGEST_INTEGER} digits", "put it in quotes if it is text")
            value = None
        else:
            value = scalar_of(event.value)
        if isinstance(value, str) and any("\ud800" <= c <= "\udfff" for c in value):
            try:  # JSON writes characters beyond U+FFFF as a pair of escapes
                value = value.encode("utf-16-le", "surrogatepass").decode("utf-16-le")
            except UnicodeDecodeError:
                self._refuse(event, "half of a surrogate pair is not a character", "write the character itself")
                value = None
        return value

    def _mapping(self, depth: int) -> dict[str, Node]:
        entries: dict[str, Node] = {}
        while not isinstance(self._peek(), yaml.MappingEndEvent):
            key_event = self._peek()
            key = self._node(depth + 1)
            node = self._node(depth + 1)
            if not isinstance(key.value, str):
                self._refuse(key_event, "a key must be text", 'put it in quotes, as in `"2016": ...`')
            elif key.value in entries:
                first = entries[key.value].key_place
                assert first is not None
                message = (
                    f"the key `{printable(key.value)}` stands twice, in line {first.line} and in line {key.place.line}"
                )
                self.findings.append(Finding("MT025", key.place, message, "keep one of them"))
            else:
                entries[key.value] = Node(node.value, node.place, key_place=key.place)
        self._next()
        return entries

    def _peek(self) -> Any:
        return self._guarded(self.loader.peek_event)

    def _next(self) -> Any:
        return self._guarded(self.loader.get_event)

    def _guarded(self, read: Any) -> Any:
        """PyYAML's errors as ours. It lets plain ones escape, as for a character number beyond Unicode."""
        try:
            return read()
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark or self.loader.get_mark()
            message, advice = str(error.problem or error.context), "check the indentation, colons and quotes here"
            if "\\t" in message:
                message, advice = "a tab cannot be used for indentation", "indent with spaces"
            elif "mapping values" in message:
                message, advice = "a second `: ` in one line", "put a value that contains `: ` in quotes"
        except (ValueError, OverflowError, IndexError):
            mark, message, advice = (
                self.loader.get_mark(),
                "a character number that does not exist",
                "check the escapes",
            )
        findings = [
            *self.findings,
            Finding("MT020", self._place(mark.line, mark.column, 1), printable(message), advice),
        ]
        raise ConfigError([finding.problem() for finding in findings]) from None

    def _refuse(self, event: Any, message: str, help: str) -> None:
        self.findings.append(Finding("MT020", self._place_of(event), message, help))

    def _fatal(self, event: Any, message: str, help: str) -> ConfigError:
        self._refuse(event, message, help)
        return ConfigError([finding.problem() for finding in self.findings])

    def _place_of(self, event: Any) -> Place:
        start, end = event.start_mark, event.end_mark
        line = self.lines[start.line] if start.line < len(self.lines) else ""
        last = end.column if end.line == start.line else len(line.rstrip())
        return self._place(start.line, start.column, last - start.column)

    def _place(self, line: int, column: int, width: int) -> Place:
        text = self.lines[line] if line < len(self.lines) else ""
        return Place(self.shown, line + 1, column + 1, max(1, width), text)
