"""What mt-translate reads, in any bytes and any pieces: the lines of a ten-line oracle, or a place for each bad one."""

import io
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mt_trainer.cli.translate import stream_chunks, translate_lines
from mt_trainer.decoding.translate import Translation
from mt_trainer.errors import DataError, Problem

PARTS = st.sampled_from(
    [b"\n", b"\r\n", b"\r", b"\v", b"\x85", "\u2028".encode(), "\x85".encode(), b"\0", b"\xff", b"\xc3", "ä".encode(),
     "漢".encode(), b"\xef\xbb\xbf", b" ", b"\t", b"a", b"bc"]
)  # fmt: skip
BYTES = st.lists(PARTS | st.binary(max_size=3), max_size=30).map(b"".join)


class Pieces(io.RawIOBase):
    """A stream whose bytes arrive in pieces, as in a pipe."""

    def __init__(self, content: bytes, sizes: Sequence[int]) -> None:
        self.content, self.sizes = content, list(sizes)

    def read1(self, size: int) -> bytes:
        taken = min(size, self.sizes.pop(0) if self.sizes else size)
        piece, self.content = self.content[:taken], self.content[taken:]
        return piece


class Echo:
    """Stands for a translator: every text is its own translation."""

    def translate(self, texts: Sequence[str], *, first_id: int, progress: str | None) -> list[list[Translation]]:
        return [[Translation(text, [], 0.0, 0.0, False)] for text in texts]


def oracle(content: bytes) -> list[bytes]:
    """Split at line feeds only; then what is promised about CR LF, the byte order mark and the last line."""
    *ended, last = content.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    return [line.removesuffix(b"\r") for line in ended] + ([last] if last else [])


def is_text(line: bytes) -> bool:
    try:
        return "\0" not in line.decode()
    except UnicodeDecodeError:
        return False


def check(content: bytes, sizes: list[int]) -> None:
    wanted = oracle(content)
    bad = [number for number, line in enumerate(wanted, 1) if not is_text(line)]
    translator: Any = Echo()
    stream: Any = Pieces(content, sizes)
    texts: list[str] = []
    try:
        for lines in stream_chunks(stream):
            rows = translate_lines(translator, lines, num_before=len(texts), where="stdin")
            texts += [row[0].text for row in rows]
        problems: tuple[Problem, ...] = ()
    except DataError as error:
        problems = error.problems
    places = [str(problem.where).split(":") for problem in problems]
    found = [int(number) for _, number, _ in places]
    assert bool(found) == bool(bad)
    assert found == bad[: len(found)]
    assert all(problem.code == "MT052" and problem.help for problem in problems)
    assert all(0 < int(byte) <= len(wanted[int(number) - 1]) for _, number, byte in places)
    assert texts == [line.decode() for line in (wanted[: len(texts)] if bad else wanted)]


STREAMS = {"content": BYTES, "sizes": st.lists(st.integers(1, 9), max_size=20)}


@settings(max_examples=300, deadline=None)
@given(**STREAMS)
def test_any_bytes_in_any_pieces(content: bytes, sizes: list[int]) -> None:
    check(content, sizes)


@pytest.mark.slow
@settings(max_examples=20_000, deadline=None)
@given(**STREAMS)
def test_many_bytes_in_many_pieces(content: bytes, sizes: list[int]) -> None:
    check(content, sizes)
