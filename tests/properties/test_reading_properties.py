"""Reading against an oracle in one line, and blank lines that must never shift pairs."""

import gzip
import tempfile
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mt_trainer.config.data import TextSource
from mt_trainer.data.cleaning import Verdict, count_verdicts, judge_texts
from mt_trainer.data.encoding import kept_pairs
from mt_trainer.data.reading import ParallelText
from mt_trainer.data.sources import read_source

SEPARATORS = ["\n", "\r", "\r\n", "\v", "\f", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029", "\t", " ", "\ufeff"]
TEXTS = st.lists(st.one_of(st.sampled_from(SEPARATORS), st.sampled_from(["a", "ä", "漢", "bc"])), max_size=30).map(
    "".join
)
BYTES = st.lists(
    st.one_of(st.sampled_from([each.encode() for each in SEPARATORS]), st.binary(min_size=1, max_size=3)), max_size=20
).map(b"".join)


def oracle(content: bytes) -> list[bytes]:
    """Split at line feeds only; then what is promised about CR LF, the byte order mark and the last line."""
    lines = content.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    ended, last = lines[:-1], lines[-1]
    return [line.removesuffix(b"\r") for line in ended] + ([last] if last else [])


def read(
    folder: Path, src: bytes, tgt: bytes, *, packed: bool, on_invalid_text: Literal["stop", "skip"]
) -> ParallelText:
    names = [folder / f"{side}{'.gz' if packed else ''}" for side in ("src", "tgt")]
    for name, content in zip(names, (src, tgt), strict=True):
        name.write_bytes(gzip.compress(content) if packed else content)
    source = TextSource(format="text", src=str(names[0]), tgt=str(names[1]))
    return read_source(source, src_lang="en", tgt_lang="de", on_invalid_text=on_invalid_text)


@settings(max_examples=300, deadline=None)
@given(src=TEXTS, packed=st.booleans())
def test_lines_are_those_of_the_oracle(src: Any, packed: bool) -> None:
    wanted = [line.decode() for line in oracle(src.encode())]
    numbers = "".join(f"{number}\n" for number in range(len(wanted)))
    with tempfile.TemporaryDirectory() as folder:
        text = read(Path(folder), src.encode(), numbers.encode(), packed=packed, on_invalid_text="stop")
        assert list(text.pairs()) == [(line, str(number)) for number, line in enumerate(wanted)]


@pytest.mark.slow
@settings(max_examples=10_000, deadline=None)
@given(src=TEXTS, packed=st.booleans())
def test_many_lines_are_those_of_the_oracle(src: Any, packed: bool) -> None:
    test_lines_are_those_of_the_oracle.hypothesis.inner_test(src, packed)


def valid(line: bytes) -> bool:
    try:
        return "\0" not in line.decode()
    except UnicodeDecodeError:
        return False


@settings(max_examples=300, deadline=None)
@given(src=BYTES)
def test_any_bytes_are_read_or_skipped_as_a_pair(src: Any) -> None:
    lines = oracle(src)
    numbers = "".join(f"{number}\n" for number in range(len(lines))).encode()
    wanted = [(line.decode(), str(number)) for number, line in enumerate(lines) if valid(line)]
    with tempfile.TemporaryDirectory() as folder:
        text = read(Path(folder), src, numbers, packed=False, on_invalid_text="skip")
        assert list(text.pairs()) == wanted
        assert text.num_invalid == len(lines) - len(wanted)


BLANKS = st.sampled_from(["", " ", "\t", "\u3000", "\r", "\u2028", "\v\f"])
LINES = st.lists(st.tuples(st.one_of(st.none(), BLANKS), st.one_of(st.none(), BLANKS)), max_size=40)


@settings(max_examples=200, deadline=None)
@given(blanks=LINES, packed=st.booleans())
def test_blank_lines_on_either_side_never_shift_a_pair(
    blanks: list[tuple[str | None, str | None]], packed: bool
) -> None:
    """Where there is no blank, line i holds `i` on both sides; whatever is kept must be such a pair."""
    sides = [[blank[side] if blank[side] is not None else f"{i}" for i, blank in enumerate(blanks)] for side in (0, 1)]
    src, tgt = ("".join(f"{line}\n" for line in side).encode() for side in sides)
    with tempfile.TemporaryDirectory() as folder:
        text = read(Path(folder), src, tgt, packed=packed, on_invalid_text="stop")
        verdicts = judge_texts(text.pairs(), max_length=100, drop_identical=False, drop_duplicates=True)
        kept = list(kept_pairs([text], verdicts))
    wanted = [i for i, blank in enumerate(blanks) if blank == (None, None)]
    assert kept == [(f"{i}", f"{i}") for i in wanted]
    counts = count_verdicts(verdicts, invalid_text=0)
    assert (counts.read, counts.kept, counts.blank) == (len(blanks), len(wanted), len(blanks) - len(wanted))


@pytest.mark.slow
@settings(max_examples=10_000, deadline=None)
@given(src=BYTES)
def test_many_bytes_are_read_or_skipped_as_a_pair(src: Any) -> None:
    test_any_bytes_are_read_or_skipped_as_a_pair.hypothesis.inner_test(src)


SIDES = st.one_of(st.sampled_from(["", " ", "\u3000", "a", "b"]), st.text(max_size=5))


@settings(max_examples=300, deadline=None)
@given(pairs=st.lists(st.tuples(SIDES, SIDES), max_size=30), drop_duplicates=st.booleans())
def test_cleaning_judges_each_pair_where_it_stands(pairs: list[tuple[str, str]], drop_duplicates: bool) -> None:
    verdicts = judge_texts(pairs, max_length=100, drop_identical=False, drop_duplicates=drop_duplicates)
    assert len(verdicts) == len(pairs)
    seen: set[tuple[str, str]] = set()
    for pair, verdict in zip(pairs, verdicts, strict=True):
        if not pair[0].strip() or not pair[1].strip():
            assert verdict == Verdict.BLANK
        elif drop_duplicates and pair in seen:
            assert verdict == Verdict.DUPLICATE
        else:
            assert verdict == Verdict.KEPT
            seen.add(pair)
