"""A run on local text talks to nobody, and nothing listens: seen from inside, and in the tables of the kernel."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

CONFIG = """\
data:
  src_lang: en
  tgt_lang: de
  train:
    - {format: phrasebook, split: train, max_pairs: 300}
    - {format: huggingface, path: tables, split: train}
  dev: {format: phrasebook, split: dev, max_pairs: 20}
  max_length: 48
tokenizer: {vocab_size: 400}
model: {num_encoder_layers: 1, num_decoder_layers: 1, d_model: 16, ffn_dim: 32, num_heads: 2}
training: {batch_tokens: 768, max_steps: 4, validate_every_steps: 2}
decoding: {beam_size: 1, max_length_ratio: 1.0, max_length_constant: 3}
runtime: {device: cpu, threads: 1}
"""

WATCHED = """\
import json, os, runpy, sys

found, checked = [], 0

def listening():
    links = [f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd")]
    own = {os.readlink(link) for link in links if os.path.islink(link)}
    for table in ("tcp", "tcp6", "udp", "udp6"):
        try:
            lines = open(f"/proc/self/net/{table}").read().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            local, state, inode = line.split()[1], line.split()[3], line.split()[9]
            if f"socket:[{inode}]" in own and state in ("0A", "07"):
                yield f"{table} {local}"

def watch(event, arguments):
    global checked
    if event in ("socket.connect", "socket.bind", "socket.sendto", "socket.getaddrinfo", "socket.gethostbyname"):
        found.append(f"{event} {arguments!r}")
    # a checkpoint is being written: in the middle of the run
    if event == "open" and str(arguments[0]).endswith("state.json"):
        checked += 1
        found.extend(listening())

sys.addaudithook(watch)
if sys.argv[1] == "control":
    import socket
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        one.listen()
        found.extend(listening())
else:
    sys.argv = ["mt-train", "--config", "small.yaml"]
    try:
        runpy.run_module("mt_trainer.cli.train", run_name="__main__")
    except SystemExit as stop:
        assert not stop.code, stop.code
json.dump({"found": found, "checked": checked}, open("found.json", "w"))
"""


def watched(folder: Path, what: str) -> tuple[list[str], int]:
    """What was seen of sockets, and how often the tables of the kernel were asked."""
    (folder / "small.yaml").write_text(CONFIG)
    (folder / "tables").mkdir()
    (folder / "tables/train.csv").write_text("en,de\na dog sleeps,ein Hund schläft\n")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    environment |= {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", WATCHED, what], cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    told = json.loads((folder / "found.json").read_text())
    return told["found"], told["checked"]


def test_local_training_opens_no_connection_and_listens_nowhere(tmp_path: Path) -> None:
    found, checked = watched(tmp_path, "train")
    assert found == []
    assert checked >= 2
    assert (tmp_path / "runs/small/checkpoints").is_dir()


def test_the_watch_sees_a_socket(tmp_path: Path) -> None:
    found, _ = watched(tmp_path, "control")
    assert [event.split()[0] for event in found] == ["socket.bind", "tcp"]
