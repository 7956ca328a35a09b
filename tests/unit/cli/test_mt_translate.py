"""mt-translate around a stand-in for the trained run: streams, order, files, faults."""

import gzip
import io
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from mt_trainer.cli import finished_run
from mt_trainer.cli.command import showing_problems
from mt_trainer.cli.translate import stream_chunks, translate
from mt_trainer.decoding.translate import Translation

Invoke = Callable[..., tuple[int, bytes, str]]


class Reverser:
    """Stands for a translator: reversed texts, n_best times with falling scores."""

    def __init__(self, n_best: int) -> None:
        self.n_best = n_best
        self.first_ids: list[int] = []

    def translate(self, texts: Sequence[str], *, first_id: int, progress: str | None) -> list[list[Translation]]:
        self.first_ids.append(first_id)
        return [
            [Translation(text[::-1], [], -1.5 - n, -1.5 - n, "cut" in text) for n in range(self.n_best)]
            for text in texts
        ]


@pytest.fixture
def invoke(monkeypatch: pytest.MonkeyPatch) -> Invoke:
    def config_of_run(folder: Path, overrides: list[str]) -> Any:
        settings = dict(each.split("=") for each in overrides)
        return int(settings.get("decoding.n_best", 1))

    def open_run(folder: Path, config: int, *, checkpoint: str) -> Any:
        return SimpleNamespace(translator=Reverser(config))

    monkeypatch.setattr(finished_run, "config_of_run", config_of_run)
    monkeypatch.setattr(finished_run, "open_run", open_run)
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(showing_problems(translate))

    def run(*options: str, text: bytes = b"") -> tuple[int, bytes, str]:
        result = CliRunner().invoke(app, ["--run", "somewhere", *options], input=text)
        return result.exit_code, result.stdout_bytes, result.stderr

    return run


def test_stdin_to_stdout_keeps_order_and_blank_lines(invoke: Invoke) -> None:
    text = "abc\n\nüber\u2028x\x0b\n \nlast"
    assert invoke(text=text.encode()) == (0, "cba\n\n\x0bx\u2028rebü\n \ntsal\n".encode(), "")


def test_nothing_in_nothing_out(invoke: Invoke) -> None:
    assert invoke(text=b"") == (0, b"", "")


def test_scores_and_n_best(invoke: Invoke) -> None:
    assert invoke("--scores", text=b"ab\n")[1] == b"-1.500000\tba\n"
    assert invoke("--n-best", "2", text=b"ab\ncd\n")[1] == b"1\tba\n1\tba\n2\tdc\n2\tdc\n"
    assert invoke("--n-best", "2", "--scores", text=b"ab\n")[1] == b"1\t-1.500000\tba\n1\t-2.500000\tba\n"


def test_files(invoke: Invoke, tmp_path: Path) -> None:
    source, target = tmp_path / "in.gz", tmp_path / "out"
    source.write_bytes(gzip.compress(b"ab\n\ncd\n"))
    assert invoke("--input", str(source), "--output", str(target))[:2] == (0, b"")
    assert target.read_bytes() == b"ba\n\ndc\n"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.gz", "out"]


def test_a_missing_file(invoke: Invoke, tmp_path: Path) -> None:
    code, out, err = invoke("--input", str(tmp_path / "absent"), "--output", str(tmp_path / "out"))
    assert (code, out) == (2, b"")
    assert "error[MT050]" in err
    assert list(tmp_path.iterdir()) == []


def test_invalid_utf8_names_line_and_byte_and_leaves_no_file(invoke: Invoke, tmp_path: Path) -> None:
    source, target = tmp_path / "in", tmp_path / "out"
    source.write_bytes(b"good\nb\xffd\ngood\n\xfe\n")
    code, _, err = invoke("--input", str(source), "--output", str(target))
    assert code == 4
    assert f"{source}:2:2" in err
    assert f"{source}:4:1" in err
    assert not target.exists()
    assert invoke(text=b"x\n\xff\n")[:2] == (4, b"")


def test_a_folder_that_does_not_exist(invoke: Invoke, tmp_path: Path) -> None:
    code, _, err = invoke("--output", str(tmp_path / "no" / "out"), text=b"a\n")
    assert code == 2
    assert "error[MT103]" in err


def test_a_link_stays_and_its_target_is_written(invoke: Invoke, tmp_path: Path) -> None:
    folder, link = tmp_path / "folder", tmp_path / "link"
    folder.mkdir()
    link.symlink_to(Path("folder") / "out")
    for text in (b"ab\n", b"cd\n"):  # the target is made, then replaced
        assert invoke("--output", str(link), text=text)[0] == 0
        assert link.is_symlink()
        assert (folder / "out").read_bytes() == text[:-1][::-1] + b"\n"
    assert [path.name for path in folder.iterdir()] == ["out"]


def test_a_pipe_is_written_to(invoke: Invoke, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    assert invoke("--output", str(pipe), text=b"ab\ncd\n")[0] == 0
    assert os.read(reader, 100) == b"ba\ndc\n"
    os.close(reader)
    assert pipe.is_fifo()
    assert list(tmp_path.iterdir()) == [pipe]


def test_a_device_is_written_to(invoke: Invoke) -> None:
    assert invoke("--output", os.devnull, text=b"ab\n")[0] == 0
    assert not Path(os.devnull).is_file()


def test_what_can_be_no_output(invoke: Invoke, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("kept")
    (tmp_path / "circle").symlink_to("circle")
    for name in ("", "file/out", "circle"):  # the folder itself, a file as a folder, a link to itself
        code, _, err = invoke("--output", str(tmp_path / name), text=b"a\n")
        assert (code, "error[MT103]" in err) == (2, True), name
    assert (tmp_path / "circle").is_symlink()
    assert (tmp_path / "file").read_text() == "kept"
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("text", [b"\xef\xbb\xbfab\r\n\r\nc\rd\r\nef\r", b"\xef\xbb\xbf", b"\xef\xbb\xbf\nab"])
def test_stdin_and_files_are_read_alike(invoke: Invoke, tmp_path: Path, text: bytes) -> None:
    (tmp_path / "in").write_bytes(text)
    from_file = invoke("--input", str(tmp_path / "in"))
    assert invoke(text=text) == from_file
    assert b"\xbf" not in from_file[1]


def test_byte_order_mark_and_carriage_returns_are_no_text(invoke: Invoke) -> None:
    text = b"\xef\xbb\xbfab\r\n\r\nc\rd\r\nef\r"
    assert invoke(text=text)[1] == b"ba\n\nd\rc\n\rfe\n"
    rest = io.BytesIO(text)
    slow: Any = SimpleNamespace(read1=lambda _: rest.read(2))  # the mark, lines and their ends arrive in parts
    assert [line for lines in stream_chunks(slow) for line in lines] == [b"ab", b"", b"c\rd", b"ef\r"]


def test_sources_that_were_cut_are_named(invoke: Invoke) -> None:
    code, out, err = invoke(text=b"a\ncut\nb\ncut\n")
    assert (code, out) == (0, b"a\ntuc\nb\ntuc\n")
    assert err == "note: longer than the model can read, and cut: line 2, 4\n"


def test_what_has_arrived_is_translated_at_once() -> None:
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as stream:
        chunks = stream_chunks(stream)
        os.write(writer, b"one\ntwo\nthr")
        assert next(chunks) == [b"one", b"two"]  # would wait for ever if it waited for the end
        os.write(writer, b"ee\n\n")
        assert next(chunks) == [b"three", b""]
        os.write(writer, b"end")
        os.close(writer)
        assert list(chunks) == [[b"end"]]


def test_only_line_feeds_end_lines() -> None:
    [lines] = stream_chunks(io.BufferedReader(io.BytesIO("a\u2028b\x0cc\rd\x85e\n".encode())))
    assert lines == ["a\u2028b\x0cc\rd\x85e".encode()]
