"""mt-translate: lines in, their translations out."""

import io
import sys
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from mt_trainer.cli.command import run_command, whole_file
from mt_trainer.errors import DataError, MtError

if TYPE_CHECKING:
    from mt_trainer.decoding.translate import Translation, Translator

READ_BYTES = 1 << 20
"""Of a pipe, what has arrived is translated at once: at most this much, sorted by length, is one chunk."""

CHUNK_LINES = 10_000
"""Lines of a file that are one chunk."""


def translate(
    run: Annotated[Path, typer.Option(help="Run folder that mt-train has written.")],
    input: Annotated[Path | None, typer.Option(help="File to translate, plain or .gz; by default stdin.")] = None,
    output: Annotated[
        Path | None, typer.Option(help="File to write, complete or not at all, or a pipe; by default stdout.")
    ] = None,
    n_best: Annotated[
        int | None, typer.Option(help="Translations of each line; lines then start with LINE<tab>.")
    ] = None,
    scores: Annotated[bool, typer.Option("--scores", help="Put SCORE<tab> before each translation.")] = False,
    overrides: Annotated[list[str], typer.Option("--set", help="Setting, such as decoding.beam_size=4.")] = [],  # noqa: B006
    checkpoint: Annotated[str, typer.Option(help="best, last, or a name such as step_00012000.")] = "best",
    device: Annotated[str | None, typer.Option(help="cpu or cuda; by default as in the run's config.")] = None,
) -> None:
    """Translate text with a trained model, line by line; the order is kept and blank lines stay blank."""
    if n_best is not None:
        overrides = [*overrides, f"decoding.n_best={n_best}"]
    if device is not None:
        overrides = [*overrides, f"runtime.device={device}"]

    from mt_trainer.cli.finished_run import config_of_run, open_run

    translator = open_run(run, config_of_run(run, overrides), checkpoint=checkpoint).translator
    num_lines = 0
    cut_lines: list[int] = []
    with nullcontext(sys.stdout.buffer) if output is None else whole_file(output) as stream:
        try:
            for chunk in _chunks(input):
                for row in translate_lines(translator, chunk, num_before=num_lines, where=str(input or "stdin")):
                    num_lines += 1
                    cut_lines += [num_lines] if row[0].source_was_cut else []
                    prefix = f"{num_lines}\t" if translator.n_best > 1 else ""
                    for each in row:
                        score = f"{each.score:.6f}\t" if scores else ""
                        stream.write(f"{prefix}{score}{each.text}\n".encode())
                stream.flush()
        except MtError as error:
            if num_lines and output is None:
                error.add_note(f"the {num_lines:,} lines before it were translated")
            raise
    if cut_lines:
        shown = ", ".join(str(line) for line in cut_lines[:10]) + (", ..." if len(cut_lines) > 10 else "")
        print(f"note: longer than the model can read, and cut: line {shown}", file=sys.stderr)


def translate_lines(
    translator: "Translator", lines: list[bytes], *, num_before: int, where: str
) -> "list[list[Translation]]":
    """The translations of each line.

    Raises:
        DataError: MT052 for every line that is not UTF-8; `num_before` lines of `where` came before.
    """
    from mt_trainer.data.text_files import invalid_text

    problems = [invalid_text(line, f"{where}:{number}") for number, line in enumerate(lines, num_before + 1)]
    found = [problem for problem in problems if problem is not None]
    if found:
        raise DataError(found)
    progress = None if where == "stdin" and sys.stdin.isatty() else "translating"
    return translator.translate([line.decode() for line in lines], first_id=num_before, progress=progress)


def _chunks(path: Path | None) -> Iterator[list[bytes]]:
    """Lines without their line feeds, in pieces worth translating together."""
    if path is None:
        yield from stream_chunks(sys.stdin.buffer)
        return
    from mt_trainer.data.text_files import TextFile

    file = TextFile(str(path))
    if problems := file.missing():
        raise DataError(problems)
    lines: Iterable[bytes] = file.lines()
    while chunk := list(islice(lines, CHUNK_LINES)):
        yield chunk


def stream_chunks(stream: BinaryIO) -> Iterator[list[bytes]]:
    """The complete lines among the bytes that have arrived, as they arrive; a last line may lack its line feed.

    Raises:
        DataError: MT050, at a line that does not end.
    """
    from mt_trainer.data.reading import LONGEST_LINE_BYTES, endless_line
    from mt_trainer.data.text_files import LineEnds

    ends, rest = LineEnds(), b""
    while arrived := stream.read1(READ_BYTES):  # type: ignore[attr-defined]
        complete, line_feed, rest = (rest + arrived).rpartition(b"\n")
        if lines := list(ends.removed(io.BytesIO(complete + line_feed))):
            yield lines
        if len(rest) > LONGEST_LINE_BYTES:
            raise DataError(endless_line(f"stdin:{ends.num_lines + 1}"))
    if lines := list(ends.removed(io.BytesIO(rest))):
        yield lines


def main() -> None:
    """Entry point of mt-translate."""
    run_command(translate)


if __name__ == "__main__":
    main()
