"""A zoo of hostile files: whatever is loaded runs nothing, reaches nowhere, and is refused within bounds."""

import gzip
import hashlib
import io
import json
import os
import pickle
import shutil
import struct
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from mt_trainer.config import TrainConfig, load_config
from mt_trainer.data.corpus import CorpusWriter, EncodedSide
from mt_trainer.files import EMPTY, Fingerprint
from mt_trainer.tokenizer import TokenizerPair, train_tokenizer
from mt_trainer.training.building import build_model
from mt_trainer.training.checkpoints.checkpoint import FILES, MODEL, OPTIMIZER, STATE, save_checkpoint
from mt_trainer.training.checkpoints.manifest import MANIFEST, Manifest, Origin, read_manifest
from mt_trainer.training.sealed_config import read_sealed_config, write_sealed_config

PROGRAM = Path(__file__).with_name("audited_loading.py")
EXTRA_BYTES = 2**30
MOST_SECONDS = 20.0
"""A hostile file takes a second or two; the bound is for a busy machine, and against what would never end."""

LINES = [f"{word} {word[::-1]} number {i}" for i, word in enumerate(("dog", "cat", "house", "tree") * 30)]
CONFIG = """\
data:
  src_lang: en
  tgt_lang: de
  train: {format: text, src: a, tgt: b}
  dev: {format: text, src: c, tgt: d}
tokenizer: {vocab_size: 300}
model: {num_encoder_layers: 1, num_decoder_layers: 1, d_model: 8, ffn_dim: 8, num_heads: 2}
"""


class Payload:
    """Unpickled, it would leave a file behind."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.mark}",)


class Zoo:
    """Hostile files in a folder, each as what a door takes; made from a good run that lies beside them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.mark = folder / "it_ran"
        self.animals: dict[str, tuple[str, Any]] = {}
        self.good: dict[str, Any] = {}
        self._tokenizer = train_tokenizer(
            LINES, algorithm="unigram", vocab_size=300, character_coverage=1.0, byte_fallback=True, num_threads=1
        )
        self._make_good()
        pickled = pickle.dumps(Payload(self.mark))
        buffer = io.BytesIO()
        torch.save({"weight": Payload(self.mark)}, buffer)
        zipped = io.BytesIO()
        with zipfile.ZipFile(zipped, "w") as archive:
            archive.writestr("../../escaped.txt", "x")
            archive.writestr("data.pkl", pickled)
        npy = io.BytesIO()
        np.save(npy, np.array([Payload(self.mark)], dtype=object), allow_pickle=True)
        self.programs = {"pickle": pickled, "torch": buffer.getvalue(), "zip": zipped.getvalue(), "npy": npy.getvalue()}

    def new(self, name: str) -> Path:
        """A folder for one of them."""
        path = self.folder / name.replace(" ", "_")
        path.mkdir(parents=True)
        return path

    def file(self, door: str, name: str, content: bytes, suffix: str = "") -> None:
        """A single file."""
        path = self.new(f"{door} {name}") / f"file{suffix}"
        path.write_bytes(content)
        self.animals[f"{door}: {name}"] = (door, str(path))

    def _make_good(self) -> None:
        run = self.new("good run")
        pair = TokenizerPair(self._tokenizer, self._tokenizer, is_joint=True)
        pair.save(run)
        config = self.config(run, CONFIG)
        weights = dict(build_model(config, pair).named_parameters())
        save_checkpoint(
            run / "checkpoints",
            "step_00000003",
            model=weights,
            optimizer={f"exp_avg.{name}": torch.zeros_like(tensor) for name, tensor in weights.items()},
            state={"step": 3, "dev": {"bleu": 1.0, "nll": 2.0}},
            origin=Origin(EMPTY, read_sealed_config(run).seal, "c" * 64, pair.content_hash, {"threads": 1}),
        )
        (run / "data.json").write_text(json.dumps({"sets": {}}))
        corpus = self.new("good corpus")
        writer = CorpusWriter(corpus, src_vocab_size=300, tgt_vocab_size=300)
        writer.append(*(EncodedSide.of(ids, vocab_size=300) for ids in ([[5, 6], [7]], [[8], [9, 10]])))
        writer.finish(meta={"counts": {}, "notes": []}, arrays={"src_hashes": np.zeros(2, dtype=np.uint64)})
        writer.close()
        tables = self.new("good tables")
        (tables / "train.csv").write_text("en,de\na,b\n")
        (tables / "x.jsonl").write_text('{"en": "a", "de": "b"}\n')
        pq.write_table(pa.table({"en": ["a"], "de": ["b"]}), tables / "x.parquet")
        (tables / "x.tsv.gz").write_bytes(gzip.compress(b"a\tb\n"))
        self.good = {
            "run": [("run", str(run)), ("records", str(run)), ("verify", str(run))],
            "checkpoint": [("checkpoint", str(run / "checkpoints/step_00000003"))],
            "config": [("config", str(run / "config.yaml"))],
            "tokenizer": [("tokenizer", str(run / "tokenizer.model"))],
            "corpus": [("corpus", str(corpus))],
            "prior": [("prior", str(tables / "x.jsonl"))],
            "source": [
                ("source", table(tables / "train.csv")),
                ("source", table(tables / "x.jsonl")),
                ("source", table(tables / "x.parquet")),
                ("source", table(tables)),
                ("source", {"format": "tsv", "path": str(tables / "x.tsv.gz")}),
            ],
        }

    def config(self, run: Path, text: str) -> TrainConfig:
        """Give a run folder this config."""
        path = self.folder / "text.yaml"
        path.write_text(text)
        (run / "config.yaml").unlink(missing_ok=True)
        write_sealed_config(run, load_config(path))
        return load_config(path)

    def checkpoint(self, name: str, **files: bytes) -> Path:
        """A checkpoint with other files, whose manifest is right: whoever can write the one can write the other."""
        path = self.new(f"checkpoint {name}")
        shutil.copytree(self.folder / "good_run/checkpoints/step_00000003", path, dirs_exist_ok=True)
        for file, content in files.items():
            (path / {"model": MODEL, "optimizer": OPTIMIZER, "state": STATE}[file]).write_bytes(content)
        write_manifest(path, {file: (path / file).read_bytes() for file in (MODEL, OPTIMIZER, STATE)})
        self.animals[f"checkpoint: {name}"] = ("checkpoint", str(path))
        return path


def table(path: Path, **more: Any) -> dict[str, Any]:
    return {"format": "huggingface", "path": str(path), "split": "train", **more}


def write_manifest(path: Path, contents: dict[str, bytes], **origin: str) -> None:
    """A manifest of these files that verifies; `origin` says what else it belongs to."""
    stored = read_manifest(path, names=FILES).origin
    files = {name: Fingerprint(len(c), hashlib.sha256(c).hexdigest()) for name, c in contents.items()}
    (path / MANIFEST).write_bytes(Manifest(files, replace(stored, **origin)).to_bytes())


def tensors(header: Any, data: bytes = b"", size: int | None = None) -> bytes:
    """A safetensors file of this header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if size is None else size) + text + data


def tensor(shape: list[int], start: int, end: int, dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


def add_programs(zoo: Zoo) -> None:
    """Files that are programs for whoever unpickles or imports them."""
    for name, content in zoo.programs.items():
        zoo.checkpoint(f"model is {name}", model=content)
        zoo.checkpoint(f"optimizer is {name}", optimizer=content)
        zoo.checkpoint(f"state is {name}", state=content)
        zoo.file("tokenizer", name, content, ".model")
        zoo.file("config", name, content, ".yaml")
        zoo.file("prior", name, content)
        zoo.file("capsule", name, content, ".json")
        (zoo.checkpoint(f"manifest is {name}") / MANIFEST).write_bytes(content)
        corpus = shutil.copytree(zoo.folder / "good_corpus", zoo.new(f"corpus {name}"), dirs_exist_ok=True)
        (corpus / "meta.json").write_bytes(content)
        zoo.animals[f"corpus: {name}"] = ("corpus", str(corpus))
        for suffix in (".parquet", ".csv", ".json", ".jsonl"):
            path = zoo.new(f"source {name} {suffix}") / f"train{suffix}"
            path.write_bytes(content)
            zoo.animals[f"source: {name}{suffix}"] = ("source", table(path))
            zoo.animals[f"source: folder of {name}{suffix}"] = ("source", table(path.parent))
        path = zoo.new(f"source {name} gz") / "x.tsv.gz"
        path.write_bytes(gzip.compress(content))
        zoo.animals[f"source: {name} in gz"] = ("source", {"format": "tsv", "path": str(path)})


def add_scripts(zoo: Zoo) -> None:
    """Data folders that bring a program along, or point elsewhere."""
    script = f"import os\nos.system('touch {zoo.mark}')\n"
    folder = zoo.new("scripted")
    (folder / "scripted.py").write_text(script)
    zoo.animals["source: a script alone"] = ("source", table(folder))
    folder = zoo.new("scripted too")
    for name in ("scripted_too.py", "__init__.py", "conftest.py", "setup.py"):
        (folder / name).write_text(script)
    (folder / "train.csv").write_text("en,de\na,b\n")
    zoo.animals["source: scripts beside a table"] = ("source", table(folder))
    places = {
        "network": "https://192.0.2.1/train.csv",
        "hop": "zip://*.csv::https://192.0.2.1/train.zip",
        "hub": "hf://datasets/someone/something/train.csv",
        "above": "../good_tables/train.csv",
    }
    for name, place in places.items():
        folder = zoo.new(f"pointing {name}")
        (folder / "README.md").write_text(f"---\nconfigs:\n- config_name: default\n  data_files: '{place}'\n---\n")
        (folder / ".huggingface.yaml").write_text(f"configs:\n- config_name: default\n  data_files: '{place}'\n")
        zoo.animals[f"source: README points to {name}"] = ("source", table(folder))
        zoo.animals[f"source: README points to {name} by config"] = ("source", table(folder, config="default"))
    image = {"path": "http://192.0.2.1/x.png", "bytes": None}
    features = {name: {"dtype": "string", "_type": "Value"} for name in ("en", "de")} | {"picture": {"_type": "Image"}}
    rows = pa.table({"en": ["a"], "de": ["b"], "picture": [image]})
    described = {b"huggingface": json.dumps({"info": {"features": features}}).encode()}
    path = zoo.new("picture") / "train.parquet"
    pq.write_table(rows.replace_schema_metadata(described), path)
    zoo.animals["source: a picture in the network"] = ("source", table(path))
    names = {b"ARROW:extension:name": b"arrow.py_extension_type"}
    kind = names | {b"ARROW:extension:metadata": zoo.programs["pickle"]}
    schema = pa.schema([pa.field("en", pa.string(), metadata=kind), pa.field("de", pa.string())])
    path = zoo.new("extension") / "train.parquet"
    pq.write_table(pa.table({"en": ["a"], "de": ["b"]}, schema=schema), path)
    zoo.animals["source: a pickled type in parquet"] = ("source", table(path))


def add_tags(zoo: Zoo) -> None:
    """YAML that asks for objects, and YAML that grows."""
    system = f"os.system ['touch {zoo.mark}']"
    texts = {
        "apply": f"!!python/object/apply:{system}",
        "new": f"!!python/object/new:{system}",
        "name": "!!python/name:os.system",
        "module": "!!python/module:os",
        "long tag": "!<tag:yaml.org,2002:python/object/apply:os.system> ['true']",
        "environment": "${HOME} $(id) `id` %(x)s {0.__class__}",
        "merge": "{<<: {a: 1}}",
    }
    for name, text in texts.items():
        zoo.file("config", name, f"data: {text}\n".encode(), ".yaml")
    bomb = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 30))
    zoo.file("config", "alias bomb", bomb.encode(), ".yaml")
    zoo.file("config", "recursion", b"a: &a [*a]\n", ".yaml")
    zoo.file("config", "depth", b"data: " + b"[" * 100_000, ".yaml")
    zoo.file("config", "depth of mappings", b"data: " + b"{a: " * 60_000, ".yaml")
    zoo.file("config", "depth by indentation", "".join(f"{' ' * i}a:\n" for i in range(700)).encode(), ".yaml")
    zoo.file("config", "keys", "".join(f"k{i}: 1\n" for i in range(30_000)).encode(), ".yaml")
    zoo.file("config", "unknown keys", "".join(f"key_number_{i}: 1\n" for i in range(2400)).encode(), ".yaml")
    zoo.file("config", "items", b"data: [" + b"1," * 120_000 + b"]\n", ".yaml")
    zoo.file("config", "digits", b"data: " + b"9" * 200_000, ".yaml")
    zoo.file("config", "size", b"#" * 2**24, ".yaml")
    zoo.file("config", "questions", b"? " * 100_000, ".yaml")
    zoo.file("config", "dashes", b"- " * 100_000, ".yaml")
    zoo.file("config", "colons", b"a: " * 80_000, ".yaml")
    folder = zoo.new("chain")
    for i in range(600):
        (folder / f"{i}.yaml").write_text(f"extends: {i + 1}.yaml\n")
    zoo.animals["config: a chain"] = ("config", str(folder / "0.yaml"))
    zoo.animals["config: an endless device"] = ("config", "/dev/zero")


def add_sizes(zoo: Zoo) -> None:
    """Headers that lie about sizes, JSON that is too deep or too large."""
    four = b"\0" * 16
    nothing = json.dumps(tensor([0], 0, 0)).encode()
    headers = {
        "header of 2^63": tensors({}, size=2**63),
        "header of 2^64 - 1": tensors({}, size=2**64 - 1),
        "header beyond the end": tensors({}, size=10**6),
        "header empty": struct.pack("<Q", 0),
        "cut": b"\x01\x02",
        "no header": b"",
        "a million keys": tensors(b'{"":{}%s}' % b"".join(b',"t%d":%s' % (i, nothing) for i in range(10**6))),
        "overlapping": tensors({"a": tensor([4], 0, 16), "b": tensor([2], 8, 16)}, four),
        "a hole": tensors({"a": tensor([1], 0, 4), "b": tensor([1], 12, 16)}, four),
        "out of range": tensors({"a": tensor([4], 2**62, 2**62 + 16)}, four),
        "backwards": tensors({"a": tensor([4], 16, 0)}, four),
        "shape overflow": tensors({"a": tensor([2**32, 2**32], 0, 16)}, four),
        "shape too large": tensors({"a": tensor([2**40], 0, 16)}, four),
        "negative shape": tensors({"a": tensor([-4], 0, 16)}, four),
        "unknown type": tensors({"a": tensor([4], 0, 16, "PICKLE")}, four),
        "doubled key": tensors(b'{"a":%s,"a":%s}' % ((json.dumps(tensor([4], 0, 16)).encode(),) * 2), four),
        "deep header": tensors(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
        "not JSON": tensors(b"\xff" * 100),
        "of another model": tensors({"a": tensor([4], 0, 16)}, four),
    }
    for name, content in headers.items():
        path = zoo.checkpoint(name, model=content)
        if len(content) > 10**6:
            continue
        run = shutil.copytree(zoo.folder / "good_run", zoo.new(f"run {name}"), dirs_exist_ok=True)
        shutil.copytree(path, run / "checkpoints/step_00000003", dirs_exist_ok=True)
        zoo.animals[f"run: {name}"] = ("run", str(run))
        zoo.animals[f"verify: {name}"] = ("verify", str(run))
    # a checkpoint, and its files are what was written, but it is not one of that run
    del zoo.animals["checkpoint: of another model"]
    values: dict[str, bytes] = {
        "deep": b"[" * 10**6,
        "deep and closed": b"[" * 10**5 + b"]" * 10**5,
        "deep objects": b'{"a":' * 10**5,
        "large": b'{"step": 1, "x": "' + b"x" * 2**25 + b'"}',
        "many": b'{"step": 1, "x": [' + b"[],[]," * (2 * 10**6) + b"[]]}",
        "digits": b'{"step": ' + b"9" * 10**6 + b"}",
        "a list": b"[]",
        "a string": b'"step"',
        "step is text": b'{"step": "3"}',
        "step is true": b'{"step": true}',
        "scores are text": b'{"step": 3, "dev": {"bleu": "__import__"}}',
        "scores are huge": b'{"step": 3, "dev": {"bleu": 1%s}}' % (b"0" * 400),
        "scores are a list": b'{"step": 3, "dev": [1]}',
        "not UTF-8": b'{"step": 3, "\xff": 1}',
        "UTF-32": '{"step": 1}'.encode("utf-32"),
    }
    for name, content in values.items():
        if name != "UTF-32":
            zoo.checkpoint(f"state {name}", state=content)
        (zoo.checkpoint(f"manifest {name}") / MANIFEST).write_bytes(content)
        corpus = shutil.copytree(zoo.folder / "good_corpus", zoo.new(f"corpus {name}"), dirs_exist_ok=True)
        (corpus / "meta.json").write_bytes(content)
        zoo.animals[f"corpus: {name}"] = ("corpus", str(corpus))
        zoo.file("capsule", name, content, ".json")
        run = shutil.copytree(zoo.folder / "good_run", zoo.new(f"records {name}"), dirs_exist_ok=True)
        (run / "data.json").write_bytes(content)
        zoo.animals[f"records: {name}"] = ("records", str(run))
    run = shutil.copytree(zoo.folder / "good_run", zoo.new("a huge model"), dirs_exist_ok=True)
    huge = CONFIG.replace("d_model: 8, ffn_dim: 8", "d_model: 65536, ffn_dim: 262144")
    zoo.config(run, huge.replace("num_encoder_layers: 1", "num_encoder_layers: 100"))
    step = run / "checkpoints/step_00000003"
    write_manifest(step, {file: (step / file).read_bytes() for file in FILES}, config=read_sealed_config(run).seal)
    zoo.animals["run: a huge model"] = ("run", str(run))
    for name, unit in {"zeros": b"\0", "letters": b"a"}.items():
        member = gzip.compress(unit * 2**24)
        path = zoo.new(f"bomb of {name}") / "x.tsv.gz"
        path.write_bytes(member * 1000)  # 16 GiB
        zoo.animals[f"source: a bomb of {name}"] = ("source", {"format": "tsv", "path": str(path)})
    zoo.file("prior", "endless", b"1\n" * 2**25 + b"1" * 2**24)
    zoo.animals["prior: a device"] = ("prior", "/dev/zero")
    zoo.animals["capsule: a device"] = ("capsule", "/dev/zero")
    zoo.animals["tokenizer: a device"] = ("tokenizer", "/dev/zero")
    zoo.animals["tokenizer: a folder"] = ("tokenizer", str(zoo.folder))


def add_paths(zoo: Zoo) -> None:
    """Names that lead out of the folder."""
    good = {name: (zoo.folder / "good_run/checkpoints/step_00000003" / name).read_bytes() for name in (MODEL, STATE)}
    for name, place in {
        "above": "../../../secret",
        "absolute": "/etc/passwd",
        "empty": "",
        "folder": ".",
        "nul": "a\0b",
    }.items():
        write_manifest(zoo.checkpoint(f"path {name}"), {**good, place: b"x"})
        write_manifest(zoo.checkpoint(f"path {name} added"), {**good, OPTIMIZER: b"x", place: b"x"})
        corpus = shutil.copytree(zoo.folder / "good_corpus", zoo.new(f"corpus path {name}"), dirs_exist_ok=True)
        meta = json.loads((corpus / "meta.json").read_text())
        meta["arrays"][place] = {"dtype": "uint16", "bytes": 4, "sha256": "0"}
        (corpus / "meta.json").write_text(json.dumps(meta))
        zoo.animals[f"corpus: path {name}"] = ("corpus", str(corpus))
    for name, target in {"secret": "/etc/hostname", "zero": "/dev/zero", "itself": STATE}.items():
        path = zoo.checkpoint(f"link to {name}")
        (path / STATE).unlink()
        (path / STATE).symlink_to(target)
        corpus = shutil.copytree(zoo.folder / "good_corpus", zoo.new(f"corpus link to {name}"), dirs_exist_ok=True)
        (corpus / "src_tokens.bin").unlink()
        (corpus / "src_tokens.bin").symlink_to(target)
        zoo.animals[f"corpus: link to {name}"] = ("corpus", str(corpus))
    linked = zoo.folder / "linked_checkpoint"
    linked.symlink_to(zoo.folder / "good_run/checkpoints/step_00000003")
    zoo.animals["checkpoint: a link to another"] = ("checkpoint", str(linked))
    for file in (MANIFEST, STATE, MODEL):
        path = zoo.checkpoint(f"pipe for {file}")
        (path / file).unlink()
        os.mkfifo(path / file)
    for dtype in ("object", "O", "U8", "void", "float16", [["a", "O"]], None):
        corpus = shutil.copytree(zoo.folder / "good_corpus", zoo.new(f"corpus of {dtype}"), dirs_exist_ok=True)
        meta = json.loads((corpus / "meta.json").read_text())
        meta["arrays"]["src_tokens"]["dtype"] = dtype
        (corpus / "meta.json").write_text(json.dumps(meta))
        zoo.animals[f"corpus: numbers are {dtype}"] = ("corpus", str(corpus))


def add_tokenizers(zoo: Zoo) -> None:
    """SentencePiece files that lie about themselves."""

    def varint(value: int) -> bytes:
        out = bytearray()
        while value >= 0x80:
            out.append(value & 0x7F | 0x80)
            value >>= 7
        return bytes([*out, value])

    def field(number: int, value: int | bytes) -> bytes:
        if isinstance(value, int):
            return varint(number << 3) + varint(value)
        return varint(number << 3 | 2) + varint(len(value)) + value

    model = zoo._tokenizer.model_bytes
    piece = field(1, field(1, b"\xe2\x96\x81a"))
    cases = {
        "no pieces": field(2, b"") + field(3, b""),
        "one piece": piece + field(2, b"") + field(3, b""),
        "number for a specification": piece + field(2, 2**40) + field(3, b""),
        "length beyond the end": model + varint(3 << 3 | 2) + varint(2**40) + b"x",
        "length of 2^63": model + varint(1 << 3 | 2) + varint(2**63) + b"x",
        "a group": model + bytes([4 << 3 | 3, 4 << 3 | 4]),
        "empty fields": model + field(9, b"") * 5_000_000,
        "many pieces": piece * 3_000_000 + field(2, b"") + field(3, b""),
        "large": model + field(9, b"x" * 2**27),
        "algorithm is text": model + field(2, field(3, b"unigram")),
        "algorithm of 99": model + field(2, field(3, 99)),
        "charsmap of noise": model + field(3, field(2, b"\xff\xff\xff\x7f" + b"\x80" * 100)),
        "charsmap larger than itself": model + field(3, field(2, struct.pack("<I", 2**31) + b"abc")),
        "charsmap of four bytes": model + field(3, field(2, b"\0\0\0\0")),
        "vocabulary of 2^40": model + field(2, field(4, 2**40)),
        "pad at 2^31": model + field(2, field(42, 2**31 - 1)),
        "name is no UTF-8": field(1, field(1, b"\xff\xfe")) + model,
        "piece of a megabyte": model + field(1, field(1, b"a" * 2**20)),
    }
    for name, content in cases.items():
        zoo.file("tokenizer", name, content, ".model")


LOADED = {
    "checkpoint: doubled key",
    "source: scripts beside a table",
    "source: a picture in the network",
    "source: a pickled type in parquet",
    "tokenizer: algorithm is text",
    "tokenizer: algorithm of 99",
    "tokenizer: vocabulary of 2^40",
    "tokenizer: piece of a megabyte",
    "tokenizer: name is no UTF-8",
    "tokenizer: pad at 2^31",
    "tokenizer: a group",
}
"""What may be loaded, since nothing in it is used but text and numbers; the others have to be refused."""


def run_program(files: list[tuple[str, Any]], good: list[tuple[str, Any]]) -> list[dict[str, Any]]:
    asked = json.dumps({"warm_up": good, "files": files, "extra_bytes": EXTRA_BYTES})
    environment = {**os.environ, "PYTHONPATH": str(PROGRAM.parents[2]), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "0"}
    done = subprocess.run(
        [sys.executable, str(PROGRAM)], input=asked, env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr[-3000:]
    results: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return results


ADDERS = [add_programs, add_scripts, add_tags, add_sizes, add_paths, add_tokenizers]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Zoo, dict[str, dict[str, Any]]]]:
    """The zoo, and what became of each of its animals."""
    zoo = Zoo(tmp_path_factory.mktemp("zoo"))
    for add in ADDERS:
        add(zoo)
    good = [each for door in zoo.good.values() for each in door]
    found = run_program([*good, *zoo.animals.values()], good)
    names = [*(f"good: {door} {i}" for i, (door, _) in enumerate(good)), *zoo.animals]
    yield zoo, dict(zip(names, found, strict=True))
    shutil.rmtree(zoo.folder)


Results = tuple[Zoo, dict[str, dict[str, Any]]]


def test_the_good_ones_are_loaded(results: Results) -> None:
    good = {name: result for name, result in results[1].items() if name.startswith("good: ")}
    bad = {name for name, result in good.items() if result["outcome"] != "loaded"}
    assert {name.split()[1] for name in bad} == {"prior"}, {name: good[name]["told"] for name in bad}
    assert len(good) >= 11


def test_nothing_is_run_and_nothing_reached(results: Results) -> None:
    zoo, found = results
    assert {name: result["events"] for name, result in found.items() if result["events"]} == {}
    assert not zoo.mark.exists()
    assert not (zoo.folder.parent / "escaped.txt").exists()


def test_only_errors_of_ours_escape(results: Results) -> None:
    escaped = {name: result["told"] for name, result in results[1].items() if result["outcome"] == "escaped"}
    assert escaped == {}


def test_what_is_hostile_is_refused(results: Results) -> None:
    zoo, found = results
    # their hashes are right, and mt-run verify asks for no more
    asked = [name for name in zoo.animals if not name.startswith("verify: ")]
    loaded = {name for name in asked if found[name]["outcome"] == "loaded"}
    assert loaded - LOADED == set()
    assert len(zoo.animals) > 200


def test_nothing_takes_long(results: Results) -> None:
    slow = {name: result["seconds"] for name, result in results[1].items() if result["seconds"] > MOST_SECONDS}
    assert slow == {}


def test_the_watch_sees_what_it_is_there_for() -> None:
    """The control: each kind of event, done on purpose, is told."""
    kinds = ["pickle", "exec", "eval", "system", "subprocess", "socket"]
    found = run_program([("forbidden", kind) for kind in kinds], [])
    seen = {kind: " ".join(result["events"]) for kind, result in zip(kinds, found, strict=True)}
    assert "pickle.find_class" in seen["pickle"]
    assert "exec of <string>" in seen["exec"]
    assert "of <string>" in seen["eval"]
    assert "os.system" in seen["system"]
    assert "subprocess.Popen" in seen["subprocess"]
    assert "socket.connect" in seen["socket"]
