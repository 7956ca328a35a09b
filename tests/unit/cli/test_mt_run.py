"""mt-run verify: a table, and the status that goes with it."""

import shutil
from pathlib import Path

import pytest

from mt_trainer.cli import run as module

GOLDEN = Path(__file__).resolve().parents[2] / "golden/run_0.1.0"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(GOLDEN, tmp_path / "mine")
    monkeypatch.chdir(tmp_path)
    return Path("mine")


def verify(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    monkeypatch.setattr("sys.argv", ["mt-run", "verify", str(folder)])
    with pytest.raises(SystemExit) as caught:
        module.main()
    out, err = capsys.readouterr()
    return int(caught.value.code or 0), out, err


def test_an_intact_run(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    log_bytes = (folder / "metrics.jsonl").stat().st_size
    checkpoint_bytes = sum(
        path.stat().st_size
        for path in (folder / "checkpoints" / "step_00000400").iterdir()
        if path.name != "MANIFEST.json"
    )
    assert verify(folder, monkeypatch, capsys) == (
        0,
        "config.yaml                intact   that of 1 checkpoint\n"
        "tokenizer                  intact   that of 1 checkpoint\n"
        f"metrics.jsonl              intact   {log_bytes} bytes, as far as a checkpoint covers them\n"
        f"checkpoints/step_00000400  intact   {checkpoint_bytes:,} bytes\n"
        "\n"
        "mine: intact\n",
        "",
    )


def test_each_damaged_file_is_named_with_the_reason(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("metrics.jsonl", "checkpoints/step_00000400/optimizer.safetensors"):
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[:100] + bytes([content[100] ^ 4]) + content[101:])
    code, out, _ = verify(folder, monkeypatch, capsys)
    assert code == 4
    lines = out.splitlines()
    # what the log was when the damaged checkpoint was saved is in its manifest, which is not trusted any more
    assert lines[3].startswith("checkpoints/step_00000400  damaged  damaged checkpoint: optimizer.safetensors is not")
    assert lines[-1] == "mine: 1 of 4 damaged"


def test_a_damaged_log(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    content = (folder / "metrics.jsonl").read_bytes()
    (folder / "metrics.jsonl").write_bytes(content[:-1])
    code, out, _ = verify(folder, monkeypatch, capsys)
    assert code == 4
    message = f"the log has {len(content) - 1} bytes, but a checkpoint was saved when it had {len(content)}"
    assert f"metrics.jsonl              damaged  {message}" in out


def test_what_is_no_run(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = verify(folder / "checkpoints", monkeypatch, capsys)
    assert (code, out) == (2, "")
    assert err.startswith("error[MT104]: not a run folder: it has no config.yaml")
