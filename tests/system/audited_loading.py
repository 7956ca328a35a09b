"""Load files through the product's own doors while an audit hook watches. A program; test_hostile_files.py starts it.

stdin   JSON: {"warm_up": [[door, argument], ...], "files": [[door, argument], ...], "extra_bytes": int}
stdout  JSON: for each file {"outcome": "loaded" | "refused" | "escaped", "told": [...], "events": [...], "seconds": x}
"""

import json
import os
import resource
import sys
import sysconfig
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

FORBIDDEN = {
    "pickle.find_class",
    "marshal.loads",
    "os.system",
    "os.exec",
    "os.fork",
    "os.forkpty",
    "os.posix_spawn",
    "os.spawn",
    "subprocess.Popen",
    "pty.spawn",
    "socket.connect",
    "socket.bind",
    "socket.getaddrinfo",
    "urllib.Request",
    "ctypes.dlopen",
    "code.__new__",
}
INSTALLED = tuple({os.path.realpath(path) for path in (sys.prefix, sys.base_prefix, *sysconfig.get_paths().values())})
"""Code of these folders may be imported on the way; `marshal.loads` is how."""

found: list[str] = []
is_watching = False


def watch(event: str, arguments: tuple[Any, ...]) -> None:
    """Note every event by which a file could have run something or reached out."""
    if not is_watching:
        return
    if event in ("exec", "compile"):
        name = arguments[1] if event == "compile" else getattr(arguments[0], "co_filename", None)
        if not is_installed(name) and not is_called_by_installed_code():
            found.append(f"{event} of {name}")
    elif event == "marshal.loads":
        if not is_called_by_installed_code():
            found.append(event)
    elif event in FORBIDDEN:
        found.append(f"{event} {str(arguments)[:100]}")


def is_installed(name: object) -> bool:
    text = name.decode() if isinstance(name, bytes) else str(name)
    return text.startswith("<frozen ") or os.path.realpath(text).startswith(INSTALLED)


def is_called_by_installed_code() -> bool:
    """Whether a class is just being made: these modules write methods as text, from names that the program gave."""
    frame = sys._getframe(1)
    makers = ("dataclasses", "collections", "enum", "typing", "importlib._bootstrap_external", "importlib._bootstrap")
    while frame is not None:
        if frame.f_globals.get("__name__") in makers:
            return True
        frame = frame.f_back  # type: ignore[assignment]
    return False


def load_config(path: str) -> object:
    from mt_trainer.config import load_config

    return load_config(path)


def load_checkpoint(path: str) -> object:
    from mt_trainer.training.checkpoints.checkpoint import load_checkpoint, score_on_dev

    checkpoint = load_checkpoint(Path(path))
    return checkpoint.step, score_on_dev(checkpoint, "bleu"), checkpoint.model(), checkpoint.optimizer()


def load_run(path: str) -> object:
    from mt_trainer.training.loading import load_run

    return load_run(Path(path))


def load_tokenizer(path: str) -> object:
    from mt_trainer.tokenizer import Tokenizer

    tokenizer = Tokenizer.load(path)
    ids = tokenizer.encode(["a dog", "ein Hund ﬁ 漢字 \U0001f600", ""])
    return tokenizer.decode(ids), tokenizer.algorithm, tokenizer.pieces("a dog")


def read_source(spec: dict[str, Any]) -> object:
    from pydantic import TypeAdapter

    from mt_trainer.config.data import SourceConfig
    from mt_trainer.data.sources import read_source, require_sources

    source: Any = TypeAdapter(SourceConfig).validate_python(spec)
    text = read_source(source, src_lang="en", tgt_lang="de", on_invalid_text="stop")
    require_sources({"data.train": text})
    return text.fingerprint, sum(len(src) + len(tgt) for src, tgt in text.pairs())


def load_corpus(path: str) -> object:
    from mt_trainer.data.corpus import Corpus

    corpus = Corpus(Path(path))
    return [corpus.src(pair).tolist() for pair in range(corpus.num_pairs)]


def read_prior(path: str) -> object:
    from mt_trainer.objectives.building.vocabulary_files import read_prior

    return read_prior(path, vocab_size=10)


def read_records(path: str) -> object:
    from mt_trainer.training.run_folder import recorded_overlap

    return recorded_overlap(Path(path), "abc")


def verify_run(path: str) -> object:
    from mt_trainer.errors import CheckpointError, Problem
    from mt_trainer.training.verify import verify_run

    findings = verify_run(Path(path))
    if damaged := [Problem("MT102", each.text) for each in findings if not each.is_intact]:
        raise CheckpointError(damaged)
    return findings


def load_capsule(path: str) -> object:
    from mt_trainer.training.diverging.capsule import load_capsule

    return load_capsule(Path(path))


def do_what_is_forbidden(what: str) -> object:
    """The control: each of these must be seen."""
    if what == "pickle":
        import pickle

        return pickle.loads(b"cos\ngetcwd\n.")
    if what == "exec":
        return exec("x = 1", {})
    if what == "eval":
        return eval("1 + 1")
    if what == "system":
        return os.system("true")
    if what == "subprocess":
        import subprocess

        return subprocess.run(["true"], check=True)
    import socket

    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", 9))


DOORS: dict[str, Callable[[Any], object]] = {
    "config": load_config,
    "checkpoint": load_checkpoint,
    "run": load_run,
    "tokenizer": load_tokenizer,
    "source": read_source,
    "corpus": load_corpus,
    "prior": read_prior,
    "records": read_records,
    "verify": verify_run,
    "capsule": load_capsule,
    "forbidden": do_what_is_forbidden,
}


def attempt(door: str, argument: Any) -> dict[str, Any]:
    """Go through a door, and tell what came of it."""
    from mt_trainer.errors import MtError

    global is_watching
    found.clear()
    start, told = time.monotonic(), []
    is_watching = True
    try:
        DOORS[door](argument)
        outcome = "loaded"
    except MtError as error:
        outcome, told = "refused", [problem.code for problem in error.problems]
    except BaseException as error:
        outcome, told = "escaped", [f"{type(error).__name__}: {error}"]
    is_watching = False
    return {"outcome": outcome, "told": told, "events": sorted(set(found)), "seconds": time.monotonic() - start}


def main() -> None:
    """Warm up, so that all that is imported on the way is there; then limit the memory, and watch."""
    asked = json.load(sys.stdin)
    sys.addaudithook(watch)
    for door, argument in asked["warm_up"]:
        try:
            DOORS[door](argument)
        except Exception as error:  # what the warm-up refuses is told with the results
            print(f"warm-up: {door} {argument}: {error}", file=sys.stderr)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + asked["extra_bytes"]
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    json.dump([attempt(door, argument) for door, argument in asked["files"]], sys.stdout)


if __name__ == "__main__":
    main()
