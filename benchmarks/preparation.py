"""From raw text to the first training step: time and memory of `mt-train`, by size of the corpus.

    python benchmarks/preparation.py [--pairs 100000 4500000] [--src FILE --tgt FILE] [--json FILE]

The pairs are made from a smaller corpus (the built-in phrasebook, or files of one sentence a line, plain or .gz): each
is two of its pairs, chosen at random, one after the other, and on either side two neighbouring letters of one word
change places; so duplicates stay rare, and there are more different words, as in a large text. They are written as two
.gz files. A run of a small model then starts twice in a process of its own, with an empty cache and with the cache of
the first start, and is stopped after its first step. A line of the table is one start:

  first step   seconds from the command to the end of the first training step
  start        of these, until the training text is opened: the interpreter, imports, the config
  tokenizer    of these, training a tokenizer of 32,000 pieces (1,500 with the phrasebook) on a sample of the text
  us a pair    the rest, for each pair, in microseconds
  MiB          largest resident memory until then, of the process and those that it starts together (Linux)
"""

import argparse
import gzip
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import IO, Any

import yaml

from mt_trainer.data.phrasebook import phrasebook_pairs
from mt_trainer.data.text_files import TextFile
from mt_trainer.machine import commit


def sentences(src: str | None, tgt: str | None) -> list[tuple[str, str]]:
    """What the pairs are made from."""
    if src is None or tgt is None:
        return list(islice(phrasebook_pairs("train"), 30_000))
    return list(zip(TextFile(src).texts(), TextFile(tgt).texts(), strict=True))


def made_pairs(known: Sequence[tuple[str, str]], number: int) -> Iterator[tuple[str, str]]:
    """Two known pairs as one, with a slip of the pen on either side, so many times."""
    choose = random.Random(1)
    for _ in range(number):
        first, second = choose.choice(known), choose.choice(known)
        yield misspelt(f"{first[0]} {second[0]}", choose), misspelt(f"{first[1]} {second[1]}", choose)


def misspelt(text: str, choose: random.Random) -> str:
    """The text with two neighbouring letters of one word exchanged."""
    words = text.split(" ")
    at = choose.randrange(len(words))
    if len(word := words[at]) > 1:
        letter = choose.randrange(len(word) - 1)
        words[at] = word[:letter] + word[letter + 1] + word[letter] + word[letter + 2 :]
    return " ".join(words)


def write_pairs(folder: Path, known: Sequence[tuple[str, str]], number: int) -> None:
    """As train.en.gz and train.de.gz, beside ten pairs of the known ones as dev.en and dev.de."""
    with gzip.open(folder / "train.en.gz", "wb", 1) as src, gzip.open(folder / "train.de.gz", "wb", 1) as tgt:
        for pair in made_pairs(known, number):
            src.write(f"{pair[0]}\n".encode())
            tgt.write(f"{pair[1]}\n".encode())
    for side, lang in enumerate(("en", "de")):
        (folder / f"dev.{lang}").write_text("".join(f"{pair[side]}\n" for pair in known[:10]), encoding="utf-8")


def write_config(folder: Path, vocab_size: int) -> Path:
    """A run of one step on those files."""
    config: dict[str, Any] = {
        "data": {
            "src_lang": "en",
            "tgt_lang": "de",
            "train": {"format": "text", "src": str(folder / "train.en.gz"), "tgt": str(folder / "train.de.gz")},
            "dev": {"format": "text", "src": str(folder / "dev.en"), "tgt": str(folder / "dev.de")},
            "max_length": 128,
        },
        "tokenizer": {"vocab_size": vocab_size},
        "model": {"preset": "transformer_tiny"},
        "training": {"max_steps": 1000, "batch_tokens": 2048, "log_every_steps": 1},
        "runtime": {"cache_folder": str(folder / "cache"), "device": "cpu"},
    }
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    return path


def start_of_training(config: Path, run_folder: Path) -> dict[str, float]:
    """One start; its times in seconds and its memory in MiB. What the command says is what is listened to."""
    command = [sys.executable, "-u", "-m", "mt_trainer.cli.train", "--config", str(config)]
    began = time.perf_counter()
    process = subprocess.Popen([*command, f"--set=runtime.run_folder={run_folder}"], stderr=subprocess.PIPE)
    assert process.stderr is not None
    times = {"start": 0.0, "tokenizer": 0.0}
    said: list[str] = []
    memory = PeakMemory(process.pid)
    memory.start()
    try:
        for line in lines_of(process.stderr):
            said.append(line)
            if "training text" in line or "encoded corpus: from the cache" in line:
                times["start"] = times["start"] or time.perf_counter() - began
            elif trained := re.match(r"tokenizer: trained in ([\d.]+) s", line):
                times["tokenizer"] = float(trained[1])
            elif re.match(r"step +1 ", line):
                return times | {"first_step": time.perf_counter() - began, "mib": memory.stop()}
    finally:
        memory.stop()
        process.kill()
        process.wait()
    raise SystemExit("\n".join(["mt-train did not come to its first step:", *said]))


def lines_of(stream: IO[bytes]) -> Iterator[str]:
    """What a process says, line by line."""
    return (line.decode(errors="replace").strip() for line in iter(stream.readline, b""))


class PeakMemory(threading.Thread):
    """Looks ten times a second at how much memory a process and those that it has started hold."""

    def __init__(self, process: int) -> None:
        super().__init__(daemon=True)
        self._process, self._mib, self._is_over = process, 0.0, threading.Event()

    def run(self) -> None:
        """Until `stop`."""
        while not self._is_over.wait(0.1):
            self._mib = max(self._mib, sum(resident_mib(each, "VmRSS") for each in family(self._process)))

    def stop(self) -> float:
        """The largest sum seen, in MiB; the system itself keeps the peak of the process alone."""
        self._is_over.set()
        self.join()
        return max(self._mib, resident_mib(self._process, "VmHWM"))


def family(process: int) -> list[int]:
    """A process and all that it has started, and they in turn."""
    try:
        children = Path(f"/proc/{process}/task/{process}/children").read_text(encoding="ascii").split()
    except OSError:
        children = []
    return [process, *(each for child in children for each in family(int(child)))]


def resident_mib(process: int, field: str) -> float:
    """Resident memory now (VmRSS) or at its peak (VmHWM); 0 of a process that has ended."""
    try:
        status = Path(f"/proc/{process}/status").read_text(encoding="ascii", errors="ignore")
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith(field)), 0.0)


def measure(known: Sequence[tuple[str, str]], number: int, vocab_size: int) -> Iterator[dict[str, Any]]:
    """A cold and a warm start."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_pairs(folder, known, number)
        config = write_config(folder, vocab_size)
        for cache in ("empty", "filled"):
            found = start_of_training(config, folder / f"run_{cache}")
            rest = found["first_step"] - found["start"] - found["tokenizer"]
            yield {"pairs": number, "cache": cache, **found, "us_a_pair": 1e6 * rest / number}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, nargs="+", help="sizes; default: 100000 4500000")
    parser.add_argument("--src", help="sentences to make pairs from; with --tgt")
    parser.add_argument("--tgt", help="their translations, line by line")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write settings and all numbers there")
    parser.add_argument("--quick", action="store_true", help="a few pairs")
    options = parser.parse_args()
    if (options.src is None) != (options.tgt is None):
        parser.error("--src and --tgt belong together")
    known = sentences(options.src, options.tgt)
    vocab_size = 1500 if options.src is None else 32_000
    sizes = options.pairs or ([2000] if options.quick else [100_000, 4_500_000])
    settings = {"cores": os.cpu_count(), "load": os.getloadavg()[0], "vocab_size": vocab_size, "commit": commit()}
    print(", ".join(f"{key} {value}" for key, value in settings.items()))
    print(f"{'pairs':>10} {'cache':>7} {'first step':>11} {'start':>7} {'tokenizer':>10} {'us a pair':>10} {'MiB':>7}")
    results = []
    for number in sizes:
        for row in measure(known, number, vocab_size):
            results.append(row)
            times = f"{row['first_step']:9.1f} s {row['start']:5.1f} s {row['tokenizer']:8.1f} s"
            print(f"{number:10,} {row['cache']:>7} {times} {row['us_a_pair']:10.1f} {row['mib']:7,.0f}", flush=True)
    if options.json is not None:
        options.json.write_text(json.dumps({"settings": settings, "results": results}, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
