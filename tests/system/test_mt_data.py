"""mt-data through the real command: what a user sees of good and of broken text, and the cleaned set."""

import gzip
import json
import os
import re
import resource
import subprocess
import sys
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from mt_trainer.config import load_config
from mt_trainer.config.data import TokenizerConfig
from mt_trainer.data.encoding import train_on_files
from mt_trainer.data.phrasebook import phrasebook_pairs
from mt_trainer.data.prepare import prepare_data
from mt_trainer.data.text_files import TextFile

ROOT = Path(__file__).resolve().parents[2]

CONFIG = """\
data:
  src_lang: en
  tgt_lang: de
  train: {format: text, src: train.en, tgt: train.de}
  dev: {format: text, src: dev.en, tgt: dev.de}
  test:
    news: {format: text, src: news.en, tgt: news.de}
  max_length: 40
tokenizer: {vocab_size: 700}
"""

FILES = ("--src", "train.en", "--tgt", "train.de", "--src-lang", "en", "--tgt-lang", "de")


def mt_data(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "mt_trainer.cli.data", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def write(folder: Path, name: str, src: list[str], tgt: list[str]) -> None:
    for side, lines in (("en", src), ("de", tgt)):
        (folder / f"{name}.{side}").write_bytes("".join(f"{line}\n" for line in lines).encode())


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """600 pairs of training text, 30 of dev, 30 of test, and a config over them."""
    for name, split, number in (("train", "train", 600), ("dev", "dev", 30), ("news", "test", 30)):
        src, tgt = zip(*islice(phrasebook_pairs(split), number), strict=True)
        write(tmp_path, name, list(src), list(tgt))
    (tmp_path / "mine.yaml").write_text(CONFIG)
    return tmp_path


def lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").removesuffix("\n").split("\n")


def report(folder: Path, *arguments: str) -> dict[str, Any]:
    done = mt_data(folder, "check", *arguments, "--json", "report.json")
    assert "Traceback" not in done.stderr, done.stderr
    record: dict[str, Any] = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    assert done.returncode == (4 if record["grade"] == "fault" else 0), done.stderr
    return record


def found(record: dict[str, Any], *, part: str = "train") -> dict[str, Any]:
    """What is not fine in a part, by check."""
    return {each["check"]: each for each in record["findings"] if each["part"] == part and each["grade"] != "fine"}


def test_good_text_has_nothing_to_mend(project: Path) -> None:
    done = mt_data(project, "check", "--config", "mine.yaml")
    assert done.returncode == 0, done.stderr
    assert "corpus     en-de: train 600, dev 30, news 30 pairs" in done.stdout
    assert "result     nothing to mend" in done.stdout
    assert "pieces src" in done.stdout
    assert "\x1b" not in done.stdout  # no colours where it is no terminal
    assert sorted(path.name for path in project.iterdir() if path.is_dir()) == []


def test_a_lost_line_is_located(project: Path) -> None:
    src, tgt = lines(project / "train.en"), lines(project / "train.de")
    del tgt[250], src[599]
    write(project, "train", src, tgt)
    done = mt_data(project, "check", *FILES)
    assert done.returncode == 4
    assert re.search(r"^fault  shifted lines  train  3(4[789]|50)  58\.\d\d%  of 599 pairs$", done.stdout, re.M)
    assert re.search(r"train\.en:25[012]  from here 1 line lost in the target", done.stdout)


def test_files_that_training_refuses_are_checked_as_far_as_they_go(project: Path) -> None:
    src, tgt = lines(project / "train.en"), lines(project / "train.de")
    del tgt[250]
    write(project, "train", src, tgt)
    packed = gzip.compress((project / "news.en").read_bytes())
    (project / "news.en.gz").write_bytes(packed[:-9])
    changed = "data.test.news={format: text, src: news.en.gz, tgt: news.de}"
    record = report(project, "--config", "mine.yaml", "--set", changed)
    assert found(record)["line_counts"]["examples"][0]["text"].startswith("train.en has 600 lines, train.de has 599")
    assert found(record)["shifted"]["examples"][0]["where"] in ("train.en:250", "train.en:251", "train.en:252")
    assert found(record, part="news")["unreadable"]["examples"][0]["where"] == "news.en.gz"
    assert record["notes"] == ["training refuses the text as it is; nothing was encoded"]
    done = mt_data(project, "check", "--config", "mine.yaml", "--write", "cleaned")
    assert done.returncode == 2
    assert "error[MT051]" in done.stderr
    assert not (project / "cleaned").exists()


def test_what_is_no_text_is_located_and_all_of_it_counted(project: Path) -> None:
    src, tgt = (TextFile(str(project / f"train.{side}")).lines() for side in ("en", "de"))
    sides = [list(src), list(tgt)]
    for row in range(10, 20):
        sides[row % 2][row] += b"\xff"
    sides[0][30] = b"a\0b"
    for side, name in zip(sides, ("train.en", "train.de"), strict=True):
        (project / name).write_bytes(b"\n".join(side) + b"\n")
    finding = found(report(project, *FILES))["invalid_text"]
    assert (finding["count"], finding["total"], len(finding["examples"])) == (11, 600, 5)
    places = [each["where"].split(":")[:2] for each in finding["examples"]]
    assert places == [
        ["train.en", "11"],
        ["train.de", "12"],
        ["train.en", "13"],
        ["train.de", "14"],
        ["train.en", "15"],
    ]
    assert finding["examples"][0]["where"] == f"train.en:11:{len(sides[0][10])}"  # the last byte of the line
    assert "invalid UTF-8 at byte" in finding["examples"][0]["text"]


@pytest.mark.parametrize("content", [b"", b"\n \n\n"])
def test_text_that_leaves_nothing_to_train_on(project: Path, content: bytes) -> None:
    for side in ("en", "de"):
        (project / f"train.{side}").write_bytes(content)
    record = report(project, "--config", "mine.yaml")
    assert found(record)["nothing_left"]["grade"] == "fault"


def test_swapped_files(project: Path) -> None:
    record = report(project, "--src", "train.de", "--tgt", "train.en", "--src-lang", "en", "--tgt-lang", "de")
    assert found(record)["swapped"]["grade"] == "fault"


def test_one_file_on_both_sides(project: Path) -> None:
    record = report(project, "--src", "train.en", "--tgt", "train.en", "--src-lang", "en", "--tgt-lang", "de")
    assert {"identical", "dropped"} <= found(record).keys()
    assert found(record)["identical"]["grade"] == "fault"


def test_lower_cased_and_tokenised_sides(project: Path) -> None:
    src, tgt = lines(project / "train.en"), lines(project / "train.de")
    write(project, "train", [line.lower() for line in src], [line.replace(".", " .") for line in tgt])
    faults = {name: each["side"] for name, each in found(report(project, *FILES)).items() if each["grade"] == "fault"}
    assert faults == {"lower_cased": "src", "tokenised": "tgt"}


def test_planted_overlap_is_counted_exactly(project: Path) -> None:
    src, tgt = lines(project / "news.en"), lines(project / "news.de")
    train_src, train_tgt = lines(project / "train.en"), lines(project / "train.de")
    src[3], tgt[3] = train_src[9], train_tgt[9]
    src[7] = f" {train_src[11].upper().replace(' ', '  ')} !"
    tgt[9] = train_tgt[100]
    write(project, "news", src, tgt)
    record = report(project, *FILES, "--test-src", "news.en", "--test-tgt", "news.de")
    overlap, target = found(record, part="news")["overlap"], found(record, part="news")["target_overlap"]
    assert (overlap["count"], overlap["detail"], overlap["grade"]) == (
        2,
        "1 letter for letter, 1 as whole pairs",
        "fault",
    )
    assert [each["where"] for each in overlap["examples"]] == ["train.en:10", "train.en:12"]
    assert overlap["examples"][1]["text"].startswith("as news.en:8: ")
    assert (target["count"], target["detail"]) == (2, "2 letter for letter, 1 as whole pairs")


def test_line_ends_and_byte_order_marks_are_told(project: Path) -> None:
    content = (project / "train.de").read_bytes()
    (project / "train.de").write_bytes(b"\xef\xbb\xbf" + content.replace(b"\n", b"\r\n", 200))
    record = found(report(project, *FILES))
    assert (record["cr_lf"]["count"], record["cr_lf"]["detail"]) == (200, "train.de: 200 of 600")
    assert record["byte_order_mark"]["detail"] == "train.de"


def test_a_tokenizer_that_has_never_seen_the_text(project: Path) -> None:
    settings = TokenizerConfig(vocab_size=400)
    train_on_files([str(project / "train.en")], settings).save(project / "en.model")
    record = report(project, *FILES, "--tokenizer", "en.model")
    unseen = found(record)["unseen_characters"]
    assert unseen["side"] == "tgt"
    assert "ü(U+00FC)" in unseen["detail"]
    assert record["coverage"]["tgt"]["num_byte_pieces"] > 0
    assert record["coverage"]["src"]["num_byte_pieces"] == 0


# --- the cleaned set ---


def dirty(project: Path) -> None:
    src, tgt = lines(project / "train.en"), lines(project / "train.de")
    src[3], tgt[7] = "  ", ""
    src[11] = tgt[11] = "one and the same text"
    src[13], tgt[13] = src[12], tgt[12]
    src[17] = " ".join(src[:30])
    src[23] = "x" * 10_000
    tgt[29] = "\u200b"
    tgt[37] = "Ja"
    write(project, "train", src, tgt)
    content = (project / "train.de").read_bytes().split(b"\n")
    content[41] = b"\xff"
    (project / "train.de").write_bytes(b"\n".join(content))


def test_the_cleaned_set_is_what_training_keeps_and_the_rest_has_its_reasons(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dirty(project)
    before = [lines(project / "train.en"), (project / "train.de").read_bytes().decode(errors="replace").split("\n")]
    settings = ("data.on_invalid_text=skip", "data.max_length_ratio=2.0")
    options = [part for setting in settings for part in ("--set", setting)]
    done = mt_data(project, "check", "--config", "mine.yaml", *options, "--write", "cleaned/en-de")
    assert done.returncode == 4, done.stderr  # the invalid text is a fault
    written = project / "cleaned/en-de"
    assert sorted(path.name for path in written.iterdir()) == ["dropped.tsv", "train.src", "train.tgt"]
    header, *dropped = (line.split("\t") for line in lines(written / "dropped.tsv"))
    assert header == ["file", "line", "reason"]
    reasons = {int(number) - 1: reason for _, number, reason in dropped}
    assert reasons | {3: "blank", 7: "blank", 11: "identical", 13: "duplicate", 17: "too long"} == reasons
    assert (reasons[23], reasons[29], reasons[41]) == ("too long", "empty after tokenisation", "invalid text")
    assert {name for name, _, _ in dropped} == {"train.en | train.de"}
    for side, name in enumerate(("train.src", "train.tgt")):
        kept = [line for row, line in enumerate(before[side][:600]) if row not in reasons]
        assert lines(written / name) == kept

    monkeypatch.chdir(project)
    prepared = prepare_data(load_config("mine.yaml", settings), announce=lambda line: None)
    counts = {name: value for name, value in vars(prepared.counts).items() if value}
    assert counts.pop("read") == 600
    assert counts.pop("kept") == len(lines(written / "train.src"))
    by_reason = [reason.replace(" ", "_") for reason in reasons.values()]
    assert {name: by_reason.count(name) for name in by_reason} == counts
    assert f"kept {prepared.counts.kept:,} of 600 pairs" in done.stdout

    # With the same tokenizer, training on the cleaned set is training on the same pairs.
    prepared.tokenizers.src.save("spm.model")
    sources = "data.train={format: text, src: cleaned/en-de/train.src, tgt: cleaned/en-de/train.tgt}"
    changes = [*settings, sources, "tokenizer.vocab_size=8000", "tokenizer.model_file=spm.model"]
    again = prepare_data(load_config("mine.yaml", changes), announce=lambda line: None)
    assert again.counts.kept == again.counts.read == prepared.counts.kept
    assert again.corpus_hash == prepared.corpus_hash


def test_a_line_of_50_megabytes_is_dropped_and_counted_in_little_memory(project: Path) -> None:
    with (project / "train.en").open("ab") as src, (project / "train.de").open("ab") as tgt:
        src.write(b"x" * 50_000_000 + b"\n")
        tgt.write(b"Ein Wort\n")

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (1_500_000_000, 1_500_000_000))

    done = subprocess.run(
        [sys.executable, "-m", "mt_trainer.cli.data", "check", "--config", "mine.yaml", "--write", "cleaned"],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        preexec_fn=limit,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "kept 600 of 601 pairs; dropped 1 too long" in done.stdout
    assert "train.en:601  50,000,000 characters" in done.stdout
    assert lines(project / "cleaned/dropped.tsv")[1:] == ["train.en | train.de\t601\ttoo long"]


def test_without_a_tokenizer_the_report_says_what_was_not_judged(project: Path) -> None:
    dirty(project)
    done = mt_data(project, "check", *FILES, "--write", "cleaned")
    assert "without a tokenizer, so nothing by its number of pieces" in done.stdout
    assert "blank" in (project / "cleaned/dropped.tsv").read_text()


def test_what_was_read_is_not_overwritten(project: Path) -> None:
    for side in ("en", "de"):
        name = {"en": "train.src", "de": "train.tgt"}[side]
        (project / f"train.{side}").rename(project / name)
    before = (project / "train.src").read_bytes()
    done = mt_data(project, "check", "--src", "train.src", "--tgt", "train.tgt", "--write", ".")
    assert done.returncode == 2
    assert "error[MT005]" in done.stderr
    assert (project / "train.src").read_bytes() == before
    assert not (project / "dropped.tsv").exists()


def test_nothing_half_written_where_the_folder_cannot_be(project: Path) -> None:
    (project / "cleaned").mkdir()
    (project / "cleaned/train.tgt").mkdir()
    done = mt_data(project, "check", *FILES, "--write", "cleaned")
    assert done.returncode == 2
    assert "error[MT103]" in done.stderr
    assert sorted(path.name for path in (project / "cleaned").iterdir()) == ["train.tgt"]


# --- the command line ---


def test_a_report_that_cannot_be_written_is_told_before_the_check(project: Path) -> None:
    done = mt_data(project, "check", *FILES, "--json", "lost/report.json")
    assert (done.returncode, done.stdout) == (2, "")
    assert "error[MT103]" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ((), "MT005"),
        (("--config", "mine.yaml", "--src", "train.en", "--tgt", "train.de"), "MT005"),
        (("--src", "train.en"), "MT005"),
        ((*FILES, "--set", "data.max_length=9"), "MT005"),
        ((*FILES, "--test-src", "news.en"), "MT005"),
        (("--config", "mine.yaml", "--tokenizer", "spm.model"), "MT005"),
        (("--config", "lost.yaml"), "MT001"),
        (("--run", "runs/lost"), "MT104"),
        (("--src", "lost.en", "--tgt", "lost.de"), "MT050"),
        (("--config", "mine.yaml", "--set", "data.test.news={format: tsv, path: news.en, tgt_column: 0}"), "MT024"),
    ],
)
def test_what_the_user_can_mend_ends_with_2(project: Path, arguments: tuple[str, ...], code: str) -> None:
    before = sorted(project.iterdir())
    done = mt_data(project, "check", *arguments, "--json", "report.json")
    assert done.returncode == 2, done.stderr
    assert f"error[{code}]" in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(project.iterdir()) == before


def test_help_names_the_exit_statuses(project: Path) -> None:
    done = mt_data(project, "check", "--help")
    assert done.returncode == 0
    assert "4 when there is one" in " ".join(done.stdout.split())
    assert mt_data(project).returncode == 2
    assert "check" in mt_data(project, "--help").stdout


def test_real_text_has_no_fault_and_a_lost_line_in_it_is_found(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "multi30k.en-de"
    record = report(
        tmp_path,
        *("--src", f"{folder}/train.en.gz", "--tgt", f"{folder}/train.de.gz", "--src-lang", "en", "--tgt-lang", "de"),
        *("--test-src", f"{folder}/val.en.gz", "--test-tgt", f"{folder}/val.de.gz"),
    )
    assert found(record) == {}
    assert found(record, part="val").keys() == {"overlap"}
    src = gzip.decompress((folder / "train.en.gz").read_bytes()).split(b"\n")
    tgt = gzip.decompress((folder / "train.de.gz").read_bytes()).split(b"\n")
    del tgt[14_499], src[28_999]
    for name, side in (("train.en", src), ("train.de", tgt)):
        (tmp_path / name).write_bytes(b"\n".join(side))
    shifted = found(report(tmp_path, *FILES))["shifted"]
    assert [each["where"] for each in shifted["examples"]] == ["train.en:14500"]
