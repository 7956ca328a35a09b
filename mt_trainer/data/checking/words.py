"""A text as alignment sees it: its words, its numbers, its length and how it ends."""

import math
import re
from typing import NamedTuple

LOOKED_AT = 10_000
"""Characters of a line that are looked at: one line of many megabytes must not hold everything up."""

MAX_WORDS = 60
"""Different words of a line that are looked at, the first ones."""

_WORD = re.compile(
    r"(\d+(?:[.,:]\d+)*)"  # a number
    r"|[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff]"  # scripts without spaces: each character
    r"|[^\W\d_]+"
)
_SEPARATORS = str.maketrans("", "", ".,:")
_END_MARKS = {"?": "?", "!": "!", ".": ".", ":": ":", "？": "?", "！": "!", "。": ".", "…": ".", "؟": "?", ";": ";"}
_CLOSING = "\"'”“’»«)]› "


class Features(NamedTuple):
    """What of a text can tell whether another one translates it."""

    words: frozenset[str]
    """Without case; numbers among them, without separators."""
    numbers: frozenset[str]
    log_length: float
    """ln(1 + characters)."""
    end_mark: str
    """The mark that ends the text, else ""."""


def features_of(text: str) -> Features:
    """The features of one line, by its first `LOOKED_AT` characters."""
    length = len(text)
    if length > LOOKED_AT:
        text = text[:LOOKED_AT]
    words: set[str] = set()
    numbers: set[str] = set()
    for match in _WORD.finditer(text.casefold()):
        word = match[0]
        if match[1] is not None:
            word = word.translate(_SEPARATORS)
            numbers.add(word)
        words.add(word)
        if len(words) >= MAX_WORDS:
            break
    end = text.rstrip(_CLOSING)
    return Features(frozenset(words), frozenset(numbers), math.log1p(length), _END_MARKS.get(end[-1:], ""))
