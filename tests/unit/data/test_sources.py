"""Reading: what a line is, where a fault is, and that nothing is guessed in silence."""

import gzip
import os
import zlib
from pathlib import Path
from typing import Any

import pytest

from mt_trainer.config.data import HuggingFaceSource, PhrasebookSource, SourceConfig, TextSource, TsvSource
from mt_trainer.data import text_files
from mt_trainer.data.reading import ParallelText
from mt_trainer.data.sources import read_source, require_sources
from mt_trainer.errors import DataError, Problem

EXOTIC = "\r \v \f \x1c \x1d \x1e \x85 \u2028 \u2029"


def parallel(source: SourceConfig, **changes: Any) -> ParallelText:
    return read_source(source, **{"src_lang": "en", "tgt_lang": "de", "on_invalid_text": "stop", **changes})


def text(tmp_path: Path, src: bytes, tgt: bytes, **changes: Any) -> ParallelText:
    (tmp_path / "x.en").write_bytes(src)
    (tmp_path / "x.de").write_bytes(tgt)
    source = TextSource(format="text", src=str(tmp_path / "x.en"), tgt=str(tmp_path / "x.de"))
    return parallel(source, **changes)


def tsv(tmp_path: Path, content: bytes, *, columns: tuple[int, int] = (1, 2), **changes: Any) -> ParallelText:
    (tmp_path / "x.tsv").write_bytes(content)
    path = str(tmp_path / "x.tsv")
    return parallel(TsvSource(format="tsv", path=path, src_column=columns[0], tgt_column=columns[1]), **changes)


def problems(parallel_text: ParallelText) -> tuple[Problem, ...]:
    with pytest.raises(DataError) as caught:
        list(parallel_text.pairs())
    return caught.value.problems


# --- lines ---


def test_only_a_line_feed_ends_a_line(tmp_path: Path) -> None:
    read = text(tmp_path, f"a{EXOTIC}b\nc\n".encode(), f"x\n{EXOTIC}y".encode())
    assert list(read.pairs()) == [(f"a{EXOTIC}b", "x"), ("c", f"{EXOTIC}y")]


def test_a_final_line_feed_opens_no_line(tmp_path: Path) -> None:
    assert list(text(tmp_path, b"a\nb\n", b"x\ny").pairs()) == [("a", "x"), ("b", "y")]
    assert list(text(tmp_path, b"a\n\n", b"x\ny\n").pairs()) == [("a", "x"), ("", "y")]
    assert list(text(tmp_path, b"", b"").pairs()) == []


def test_cr_lf_and_byte_order_mark_are_removed_and_reported(tmp_path: Path) -> None:
    read = text(tmp_path, b"\xef\xbb\xbfa\r\nb\rc\r\nd\r", b"\xef\xbb\xbfx\n\xef\xbb\xbfy\nz\r\n")
    assert list(read.pairs()) == [("a", "x"), ("b\rc", "\ufeffy"), ("d\r", "z")]
    assert [note.partition(": ")[2] for note in read.notes()] == [
        "byte order mark removed",
        "2 of 3 lines ended in CR LF; CR removed",
        "byte order mark removed",
        "1 of 3 lines ended in CR LF; CR removed",
    ]


def test_gz_is_read_as_text_and_the_pairs_can_be_read_again(tmp_path: Path) -> None:
    for side, content in (("en", "a\nb\n"), ("de", "x\ny\n")):
        (tmp_path / f"x.{side}.gz").write_bytes(gzip.compress(content.encode()))
    read = parallel(TextSource(format="text", src=str(tmp_path / "x.en.gz"), tgt=str(tmp_path / "x.de.gz")))
    assert list(read.pairs()) == list(read.pairs()) == [("a", "x"), ("b", "y")]


# --- faults ---


def test_everything_that_is_missing_is_named_at_once(tmp_path: Path) -> None:
    (tmp_path / "here").write_text("a\n")
    sources: list[SourceConfig] = [
        TextSource(format="text", src=str(tmp_path / "here"), tgt=str(tmp_path / "lost1")),
        TsvSource(format="tsv", path=str(tmp_path / "lost2")),
        TsvSource(format="tsv", path=str(tmp_path)),
        HuggingFaceSource(format="huggingface", path=str(tmp_path / "lost3"), split="train"),
    ]
    with pytest.raises(DataError) as caught:
        require_sources({f"data.train.{i}": parallel(source) for i, source in enumerate([*sources, sources[0]])})
    wanted = [tmp_path / "lost1", tmp_path / "lost2", tmp_path, tmp_path / "lost3"]
    assert [problem.where for problem in caught.value.problems] == [str(path) for path in wanted]
    assert {problem.code for problem in caught.value.problems} == {"MT050"}
    assert caught.value.exit_code == 2
    helps = [problem.help or "" for problem in caught.value.problems]
    assert helps[0] == "it is named by `data.train.0`, `data.train.4`; paths are relative to the working directory"
    assert helps[3] == "it is named by `data.train.3`; paths are relative to the working directory"


def test_invalid_utf8_is_located(tmp_path: Path) -> None:
    [problem] = problems(text(tmp_path, b"a\nb\n", "x\nöl \xff".encode("latin-1")))
    assert problem.code == "MT052"
    assert problem.where == f"{tmp_path / 'x.de'}:2:1"
    assert "byte 1 of the line: f6 " in problem.message


def test_nul_is_not_text(tmp_path: Path) -> None:
    [problem] = problems(text(tmp_path, b"a\nb\0c\n", b"x\ny\n"))
    assert (problem.code, problem.where) == ("MT052", f"{tmp_path / 'x.en'}:2:2")


def test_several_faults_are_shown_and_many_are_counted(tmp_path: Path) -> None:
    found = problems(text(tmp_path, b"a\xff\n" * 3, b"x\n" * 3))
    assert [str(problem.where).rpartition("x.en:")[2] for problem in found] == ["1:2", "2:2", "3:2"]
    found = problems(text(tmp_path, b"a\xff\n" * 1000, b"x\n" * 1000))
    assert len(found) == 6
    assert "995 more" in found[-1].message


def test_invalid_text_can_be_skipped_as_a_pair(tmp_path: Path) -> None:
    read = text(tmp_path, b"a\nb\xc3\nc\nd\0\n", b"x\ny\nz\xff\nw\n", on_invalid_text="skip")
    assert list(read.pairs()) == [("a", "x")]
    assert read.num_invalid == 3
    assert list(read.pairs()) == [("a", "x")]
    assert read.num_invalid == 3


@pytest.mark.parametrize("keep", [0, 3, 9, 10, 25, 60, 120, -9, -8, -4, -1])
def test_a_truncated_gz_is_detected(tmp_path: Path, keep: int) -> None:
    packed = gzip.compress(b"".join(b"line %d is here\n" % (number * number) for number in range(200)))
    (tmp_path / "x.gz").write_bytes(packed[:keep])
    [problem] = problems(parallel(TsvSource(format="tsv", path=str(tmp_path / "x.gz"), tgt_column=1)))
    assert (problem.code, problem.where) == ("MT053", str(tmp_path / "x.gz"))


@pytest.mark.parametrize("keep", [0.2, 0.5, 0.9])
def test_a_truncated_gz_names_the_last_whole_line(tmp_path: Path, keep: float) -> None:
    """More than a megabyte: none of it is lost with the end."""
    text = b"".join(b"line %d is here, %d\n" % (number, number * number % 7919) for number in range(100_000))
    packed = gzip.compress(text)[: int(keep * len(gzip.compress(text)))]
    (tmp_path / "x.gz").write_bytes(packed)
    [problem] = problems(parallel(TsvSource(format="tsv", path=str(tmp_path / "x.gz"), tgt_column=1)))
    num_whole = zlib.decompressobj(wbits=31).decompress(packed).count(b"\n")
    assert problem.message.startswith(f"the compressed file is truncated or damaged after line {num_whole:,}: ")


@pytest.mark.parametrize("place", [30, -6, -2])
def test_a_damaged_gz_is_detected(tmp_path: Path, place: int) -> None:
    packed = bytearray(gzip.compress(b"".join(b"line %d is here\n" % (number * number) for number in range(200))))
    packed[place] ^= 0x55
    (tmp_path / "x.gz").write_bytes(packed)
    with pytest.raises(DataError, match="MT053") as caught:
        list(parallel(TsvSource(format="tsv", path=str(tmp_path / "x.gz"), tgt_column=1)).pairs())
    assert caught.value.exit_code == 4


def sentence_lengths(count: int) -> list[int]:
    """Lengths without a pattern: 10 to 109 letters."""
    return [10 + (number * 7919) % 100 for number in range(count)]


@pytest.mark.parametrize("place", [0, 1, 250, 700, 998])
@pytest.mark.parametrize("count", [1, 3])
def test_unequal_lengths_give_both_counts_and_the_place(tmp_path: Path, place: int, count: int) -> None:
    lengths = sentence_lengths(1000)
    src = b"".join(b"a" * length + b"\n" for length in lengths)
    kept = lengths[:place] + lengths[place + count :]
    tgt = b"".join(b"x" * int(1.1 * length + length % 3) + b"\n" for length in kept)
    [problem] = problems(text(tmp_path, src, tgt))
    assert problem.code == "MT051"
    assert "x.en has 1,000 lines" in problem.message
    assert problem.message.endswith(f"x.de has {len(kept)}")
    found = int(str(problem.where).rpartition(":")[2])
    assert abs(found - (place + 1)) <= 2


def test_a_cut_end_is_recognised(tmp_path: Path) -> None:
    lines = [b"a" * length for length in sentence_lengths(300)]
    [problem] = problems(text(tmp_path, b"\n".join(lines), b"\n".join(lines[:200])))
    assert "its last 100 may be missing" in str(problem.help)
    assert problem.where == f"{tmp_path / 'x.en'}:201"


def test_where_much_is_lost_no_line_is_named(tmp_path: Path) -> None:
    lines = [b"a" * length for length in sentence_lengths(300)]
    [problem] = problems(text(tmp_path, b"\n".join(lines), b"\n".join(lines[50:])))
    assert problem.help == "are they the two sides of one text?"
    assert problem.where == str(tmp_path / "x.en")


@pytest.mark.parametrize(("src", "tgt"), [(b"", b"x\n"), (b"a\nb", b"x"), (b"a\n", b"x\n\n")])
def test_small_files_of_unequal_length(tmp_path: Path, src: Any, tgt: Any) -> None:
    assert [problem.code for problem in problems(text(tmp_path, src, tgt))] == ["MT051"]


# --- tab-separated ---


def test_tsv_columns_are_counted_from_1(tmp_path: Path) -> None:
    content = "1\tHello\tHallo\tx\r\n\n2\tBye\t \u2028Tschüs\n".encode()
    read = tsv(tmp_path, content, columns=(3, 2))
    assert list(read.pairs()) == [("Hallo", "Hello"), ("", ""), (" \u2028Tschüs", "Bye")]


def test_a_tsv_row_with_too_few_columns_is_located(tmp_path: Path) -> None:
    content = b"a\tx\nb\nc\tz\n"
    [problem] = problems(tsv(tmp_path, content))
    assert (problem.code, problem.where) == ("MT055", f"{tmp_path / 'x.tsv'}:2")
    read = tsv(tmp_path, content, on_invalid_text="skip")
    assert (list(read.pairs()), read.num_invalid) == ([("a", "x"), ("c", "z")], 1)


# --- fingerprints ---


def test_a_changed_byte_changes_the_fingerprint_whatever_size_and_date_say(tmp_path: Path) -> None:
    read = text(tmp_path, b"a\nb\n", b"x\ny\n")
    before, times = read.fingerprint, (tmp_path / "x.de").stat()
    (tmp_path / "x.de").write_bytes(b"x\nz\n")
    os.utime(tmp_path / "x.de", ns=(times.st_atime_ns, times.st_mtime_ns))
    assert read.fingerprint != before
    (tmp_path / "x.de").write_bytes(b"x\ny\n")
    assert read.fingerprint == before


# --- the phrasebook ---


def test_the_phrasebook_needs_english_and_german() -> None:
    french = parallel(PhrasebookSource(format="phrasebook", split="dev"), tgt_lang="fr")
    assert [problem.code for problem in french.missing()] == ["MT026"]


def test_the_phrasebook_in_both_directions() -> None:
    source = PhrasebookSource(format="phrasebook", split="dev", max_pairs=3)
    forth, back = parallel(source), parallel(source, src_lang="de", tgt_lang="en")
    pairs = list(forth.pairs())
    assert len(pairs) == 3
    assert [(tgt, src) for src, tgt in back.pairs()] == pairs
    assert forth.fingerprint != back.fingerprint


def test_a_line_that_does_not_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_files, "LONGEST_LINE_BYTES", 10)
    (tmp_path / "fine").write_bytes(b"012345678\n0123456789")
    assert [len(line) for line in text_files.TextFile(str(tmp_path / "fine")).lines()] == [9, 10]
    (tmp_path / "long").write_bytes(b"a\nb\n01234567890\nc\n")
    with pytest.raises(DataError) as caught:
        list(text_files.TextFile(str(tmp_path / "long")).lines())
    [problem] = caught.value.problems
    assert (problem.code, problem.where) == ("MT050", f"{tmp_path}/long:3")
