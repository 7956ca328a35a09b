"""Tables of the `datasets` library: both shapes, every local format, and no stale, guessed or executed content."""

import csv
import json
import os
from pathlib import Path
from typing import Any

import datasets
import pytest

from mt_trainer.config.data import HuggingFaceSource, SourceConfig
from mt_trainer.data.reading import ParallelText
from mt_trainer.data.sources import read_source
from mt_trainer.errors import DataError, Problem

ROWS = [("a b", "x\u2028y"), ("NA", "null"), ("7", "08.50"), ("nan", "ok\r")]


def parallel(source: SourceConfig, **changes: Any) -> ParallelText:
    return read_source(source, **{"src_lang": "en", "tgt_lang": "de", "on_invalid_text": "stop", **changes})


def table(path: Path | str, split: str = "train", **keys: Any) -> ParallelText:
    return parallel(HuggingFaceSource(format="huggingface", path=str(path), split=split, **keys))


def problems(parallel_text: ParallelText) -> tuple[Problem, ...]:
    with pytest.raises(DataError) as caught:
        list(parallel_text.pairs())
    return caught.value.problems


def write_table(path: Path, shape: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]]
    if shape == "nested":
        rows = [{"id": number, "translation": {"en": src, "de": tgt}} for number, (src, tgt) in enumerate(ROWS)]
    else:
        rows = [{"id": number, "en": src, "de": tgt} for number, (src, tgt) in enumerate(ROWS)]
    if path.suffix == ".parquet":
        datasets.Dataset.from_list(rows).to_parquet(path)
    elif path.suffix == ".csv":
        with path.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, ["id", "en", "de"])
            writer.writeheader()
            writer.writerows(rows)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("suffix", "shape"),
    [("parquet", "nested"), ("parquet", "flat"), ("jsonl", "nested"), ("json", "flat"), ("csv", "flat")],
)
def test_local_tables_from_a_file_or_a_folder(tmp_path: Path, suffix: str, shape: str) -> None:
    file = write_table(tmp_path / "data" / f"train.{suffix}", shape)
    assert list(table(file).pairs()) == ROWS
    assert list(table(tmp_path / "data").pairs()) == ROWS
    swapped = HuggingFaceSource(format="huggingface", path=str(file), split="train")
    assert list(parallel(swapped, src_lang="de", tgt_lang="en").pairs()) == [(tgt, src) for src, tgt in ROWS]


def test_a_text_is_one_line_whatever_separators_it_holds(tmp_path: Path) -> None:
    exotic = "a\r \v \f \x1c \x1d \x1e \x85 \u2028 \u2029 b"
    rows = [{"en": exotic, "de": "x"}, {"en": "two\nlines\r\nhere", "de": exotic}]
    (tmp_path / "x.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    assert list(table(tmp_path / "x.jsonl").pairs()) == [(exotic, "x"), ("two lines\r here", exotic)]


def test_columns_can_be_chosen(tmp_path: Path) -> None:
    file = write_table(tmp_path / "train.jsonl", "nested")
    chosen = table(file, src_column="translation.de", tgt_column="translation.en")
    assert list(chosen.pairs()) == [(tgt, src) for src, tgt in ROWS]


def test_a_misspelt_column_lists_the_columns(tmp_path: Path) -> None:
    [problem] = problems(table(write_table(tmp_path / "train.jsonl", "nested"), tgt_column="german"))
    assert problem.code == "MT055"
    assert "`german`" in problem.message
    assert "`id`, `translation.en`, `translation.de`" in str(problem.help)
    [problem] = problems(
        parallel(HuggingFaceSource(format="huggingface", path=str(tmp_path), split="train"), tgt_lang="fr")
    )
    assert "`translation.fr` or `fr`" in problem.message


def test_a_missing_value_is_located_and_a_line_feed_becomes_a_space(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text(
        '{"en": "a\\nb", "de": "x"}\n{"en": null, "de": "y"}\n{"en": "c\\u0000", "de": ""}\n'
    )
    found = problems(table(tmp_path / "x.jsonl"))
    assert [(problem.code, str(problem.where)[-5:]) for problem in found] == [("MT052", "row 2"), ("MT052", "row 3")]
    source = HuggingFaceSource(format="huggingface", path=str(tmp_path / "x.jsonl"), split="train")
    read = parallel(source, on_invalid_text="skip")
    assert (list(read.pairs()), read.num_invalid) == ([("a b", "x")], 2)


@pytest.mark.parametrize("name", ["x.jsonl", "x.parquet"])
def test_a_broken_table_is_refused_with_its_cause(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b'{"en": "a", "de')
    [problem] = problems(table(tmp_path / name))
    assert problem.code == "MT056"
    assert "\n" not in problem.message


def test_a_split_that_is_not_there(tmp_path: Path) -> None:
    write_table(tmp_path / "data" / "train.jsonl", "flat")
    [problem] = problems(table(tmp_path / "data", split="test"))
    assert problem.code == "MT056"
    assert "test" in problem.message


def test_a_changed_table_is_read_anew(tmp_path: Path) -> None:
    file = tmp_path / "x.jsonl"
    file.write_text('{"en": "a", "de": "x"}\n')
    times = file.stat()
    read = table(file)
    before = read.fingerprint
    assert list(read.pairs()) == [("a", "x")]
    file.write_text('{"en": "b", "de": "x"}\n')
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert list(table(file).pairs()) == [("b", "x")]
    assert table(file).fingerprint != before


def test_a_hub_table_without_revision_is_warned_of() -> None:
    assert "revision" in table("someone/something").notes()[0]
    assert table("someone/something", revision="abc").notes() == []


@pytest.mark.parametrize("name", ["README.md", ".huggingface.yaml"])
@pytest.mark.parametrize("place", ["https://192.0.2.1/train.csv", "/etc/passwd", "../secret.csv"])
def test_what_a_folder_says_of_itself_is_not_asked(tmp_path: Path, name: str, place: str) -> None:
    (tmp_path / "secret.csv").write_text("en,de\nsecret,geheim\n")
    file = write_table(tmp_path / "data" / "train.jsonl", "flat")
    configs = f"configs:\n- config_name: default\n  data_files: '{place}'\n"
    (file.parent / name).write_text(f"---\n{configs}---\n" if name == "README.md" else configs)
    (file.parent / "data.py").write_text("raise SystemExit(1)")
    assert list(table(file.parent).pairs()) == ROWS


def test_a_configuration_of_a_local_data_set_is_a_subfolder(tmp_path: Path) -> None:
    write_table(tmp_path / "data/de-en/train-00000-of-00001.parquet", "nested")
    write_table(tmp_path / "data/de-en/test-00000-of-00001.parquet", "nested")
    assert list(table(tmp_path / "data", config="de-en").pairs()) == ROWS
    [problem] = problems(table(tmp_path / "data", config="fr-en"))
    assert problem.code == "MT056"


def test_a_split_of_several_formats_is_refused(tmp_path: Path) -> None:
    write_table(tmp_path / "data/train.csv", "flat")
    write_table(tmp_path / "data/train.parquet", "flat")
    [problem] = problems(table(tmp_path / "data"))
    assert "several formats: csv, parquet" in problem.message


COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    "address",
    [f"hf://datasets/wmt/wmt14@{COMMIT}/de-en/train.parquet", f"https://hub/wmt/wmt14/resolve/{COMMIT}/train.parquet"],
)
def test_the_commit_that_was_read_is_told(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = datasets.Dataset.from_list([{"en": "a", "de": "b"}])
    loaded.info.download_checksums = {address: {"num_bytes": 1, "checksum": None}}
    monkeypatch.setattr(datasets, "load_dataset", lambda *arguments, **more: loaded)
    read = table("wmt/wmt14")
    assert list(read.pairs()) == [("a", "b")]
    [note] = read.notes()
    assert note.startswith("warning: wmt/wmt14[train] has no `revision`")
    assert f"`revision: {COMMIT}`, which was read now, pins the text" in note


def test_no_reading_is_reported(tmp_path: Path) -> None:
    """The library would ask a server to count it, even for local files."""
    assert list(table(write_table(tmp_path / "train.jsonl", "flat")).pairs()) == ROWS
    assert datasets.config.HF_UPDATE_DOWNLOAD_COUNTS is False
