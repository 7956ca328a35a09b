"""Chunks of pairs, encoded side by side in processes of their own, in order: the corpus does not depend on how many.

Threads would not do: SentencePiece leaves the interpreter alone while it encodes, but its lists of ids, the hashes of
the sources and reading the text are Python's own work, and that is done by one thread at a time.

They talk through pipes: a frame is its length (8 bytes) and its bytes. First come a line of JSON and the models of the
two tokenizers; then for each chunk a frame of sources and one of targets, answered by a frame for each array of a
`CorpusPart`. A process ends when its standard input does, so also when the one that started it is killed.
"""

import json
import os
import signal
import struct
import subprocess
import sys
from collections import deque
from collections.abc import Generator, Iterable, Sequence
from typing import IO

import numpy as np

from mt_trainer.data.corpus import EncodedSide, token_dtype
from mt_trainer.data.encoded_pairs import CorpusPart, LengthRules, corpus_part
from mt_trainer.errors import MtError, Problem
from mt_trainer.files import write_all
from mt_trainer.tokenizer import Tokenizer, TokenizerPair

FEWEST_PAIRS = 200_000
"""Fewer are encoded without other processes: to start them would take a good part of what they save."""

MOST_PROCESSES = 8
"""More are not kept busy by the one that reads."""

BETWEEN_TEXTS = "\0"
"""Stands in no valid text."""

PROGRAM = f"import json, sys; sys.path[:] = json.loads(sys.argv[1]); import {__name__}; {__name__}.main()"
"""One such process: it imports from where this one does."""


def num_encoding_processes(num_pairs: int, *, threads: int | None) -> int:
    """How many processes encode a text, 0 for none beside this one.

    Args:
        num_pairs: of the text.
        threads: that the run may use; None for one on every core that this process may use.
    """
    if threads is None:
        threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(threads, MOST_PROCESSES) if num_pairs >= FEWEST_PAIRS and threads > 1 else 0


def corpus_parts(
    chunks: Iterable[Sequence[tuple[str, str]]], tokenizers: TokenizerPair, rules: LengthRules, *, num_processes: int
) -> Generator[CorpusPart, None, None]:
    """What the corpus stores of each chunk, in order. At most one chunk a process is held, and one more.

    Args:
        num_processes: that encode; with 0 this one does. Those that were started have ended when the iterator has, or
            is closed.

    Raises:
        MtError: MT160 when one of them is lost.
    """
    if not num_processes:
        yield from (corpus_part(chunk, tokenizers, rules) for chunk in chunks)
        return
    processes: list[EncodingProcess] = []
    try:
        for _ in range(num_processes):
            processes.append(EncodingProcess(tokenizers, rules))
        idle, busy = deque(processes), deque[EncodingProcess]()
        for chunk in chunks:
            process = idle.popleft() if idle else busy.popleft()
            part = process.result() if process.is_busy else None
            process.begin(chunk)
            busy.append(process)
            if part is not None:
                yield part
        for process in busy:
            yield process.result()
    finally:
        for process in processes:
            process.end()


class EncodingProcess:
    """A process that encodes one chunk at a time.

    Attributes:
        is_busy: whether it has a chunk whose result has not been taken.
    """

    def __init__(self, tokenizers: TokenizerPair, rules: LengthRules) -> None:
        """Starts it, without waiting for it. Ctrl-C does not reach it: it has a process group of its own."""
        self.is_busy = False
        self._token_dtypes = [token_dtype(each.vocab_size) for each in (tokenizers.src, tokenizers.tgt)]
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", PROGRAM, json.dumps(sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            process_group=0,
        )
        settings = {"max_length": rules.max_length, "max_length_ratio": rules.max_length_ratio}
        models = tokenizers.src.model_bytes, b"" if tokenizers.is_joint else tokenizers.tgt.model_bytes
        self._unsent = [json.dumps(settings).encode(), *models]

    def begin(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Gives it a chunk; the result of the one before must have been taken.

        Raises:
            MtError: MT160 when the process is lost.
        """
        assert self._process.stdin is not None
        frames = [*self._unsent, *(BETWEEN_TEXTS.join(side).encode() for side in zip(*pairs, strict=True))]
        try:
            send(self._process.stdin.fileno(), frames)
        except BrokenPipeError:
            raise self._lost() from None
        self._unsent, self.is_busy = [], True

    def result(self) -> CorpusPart:
        """What came out of the chunk; waits for it.

        Raises:
            MtError: MT160 when the process is lost.
        """
        assert self._process.stdout is not None
        dtypes = ["uint8", self._token_dtypes[0], "int32", self._token_dtypes[1], "int32", "uint64", "uint64"]
        arrays = []
        for dtype in dtypes:
            content = received(self._process.stdout)
            if content is None:
                raise self._lost()
            arrays.append(np.frombuffer(content, dtype=dtype))
        self.is_busy = False
        verdicts, src_tokens, src_lengths, tgt_tokens, tgt_lengths, exact, alike = arrays
        return CorpusPart(
            verdicts, EncodedSide(src_tokens, src_lengths), EncodedSide(tgt_tokens, tgt_lengths), exact, alike
        )

    def end(self) -> None:
        """Ends it, whatever it is at."""
        self._process.kill()
        with self._process:  # closes the pipes and waits
            pass

    def _lost(self) -> MtError:
        status = self._process.wait()
        how = f"was ended by signal {-status}" if status < 0 else f"has ended with status {status}"
        help_ = "its own last lines and the system's log (memory) may say why; the same command starts again"
        return MtError(Problem("MT160", f"a process that encodes the training text {how}", help=help_))


def send(descriptor: int, frames: Iterable[bytes]) -> None:
    """Writes frames.

    Raises:
        BrokenPipeError: nobody reads any more.
    """
    for frame in frames:
        write_all(descriptor, struct.pack("<q", len(frame)))
        write_all(descriptor, frame)


def received(stream: IO[bytes]) -> bytes | None:
    """The next frame; None where the stream has ended before it was whole."""
    header = stream.read(8)
    if len(header) < 8:
        return None
    (size,) = struct.unpack("<q", header)
    content = stream.read(size)
    return content if len(content) == size else None


def main() -> None:
    """Encodes what comes in until nothing more does."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)  # a launcher may send them to all; the one that reads the text decides
    output = os.dup(1)
    os.dup2(2, 1)  # what a library prints does not get between the frames
    frames = iter(lambda: received(sys.stdin.buffer), None)
    settings, src_model, tgt_model = next(frames, b""), next(frames, b""), next(frames, b"")
    if not src_model:
        return
    src = Tokenizer(src_model)
    tokenizers = TokenizerPair(src, Tokenizer(tgt_model) if tgt_model else src, is_joint=not tgt_model)
    rules = LengthRules(**json.loads(settings))
    for src_texts, tgt_texts in zip(frames, frames, strict=False):
        sides = (texts.decode().split(BETWEEN_TEXTS) for texts in (src_texts, tgt_texts))
        part = corpus_part(list(zip(*sides, strict=True)), tokenizers, rules, num_threads=1)
        arrays = part.verdicts, part.src.tokens, part.src.lengths, part.tgt.tokens, part.tgt.lengths
        try:
            send(output, (array.tobytes() for array in (*arrays, part.src_hashes, part.src_hashes_alike)))
        except BrokenPipeError:
            return
