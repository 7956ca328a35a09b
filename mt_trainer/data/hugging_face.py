"""Hugging Face data sets, from the hub or from local files. The only module that knows the `datasets` library."""

import hashlib
import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from mt_trainer.data.reading import FileTraits, PairRow
from mt_trainer.errors import DataError, Problem

FORMATS = {".parquet": "parquet", ".json": "json", ".jsonl": "json", ".csv": "csv"}
ROWS_AT_ONCE = 1000

_COMMIT = re.compile(r"[@/]([0-9a-f]{40})/")


class HuggingFaceTable:
    """The rows of one split; columns are found by name, also inside a `translation: {en: ..., de: ...}` column.

    A local table is read straight from its files at every pass: the cache of `datasets` takes a file of the same size
    and date for unchanged. Which files of a folder belong to a split is read off their names alone: what its README.md
    says of them, which may be an address in the network, is not asked. Nothing of a data set is ever executed. A line
    feed inside a text becomes a space, so that a text is always one line.
    """

    def __init__(
        self,
        path: str,
        *,
        config: str | None,
        split: str,
        revision: str | None,
        src_lang: str,
        tgt_lang: str,
        src_column: str | None,
        tgt_column: str | None,
    ) -> None:
        self.path = path
        self.config = config
        self.split = split
        self.revision = revision
        self.languages = (src_lang, tgt_lang)
        self.asked_columns = (src_column, tgt_column)
        self.name = f"{path}{f'/{config}' if config else ''}[{split}]"
        self.is_local = Path(path).exists()
        self._hub_table: Any = None

    def missing(self) -> list[Problem]:
        """MT050 for a path that can only be local and does not exist, MT003 without the package."""
        if not self.is_local and (self.path.startswith((".", "/", "~")) or Path(self.path).suffix in FORMATS):
            advice = "paths are relative to the working directory"
            return [Problem("MT050", "no such file or folder", where=self.path, help=advice)]
        try:
            _import_datasets()
        except DataError as error:
            return list(error.problems)
        return []

    def fingerprint(self) -> str:
        """sha256 over the bytes of the data files (local, or downloaded from the hub), and what is read of them."""
        digest = hashlib.sha256(repr((self.config, self.split, self.languages, self.asked_columns)).encode())
        if self.is_local:
            root = Path(self.path)
            found = [root] if root.is_file() else sorted(file for file in root.rglob("*") if file.is_file())
            files = [(str(file.relative_to(root)), file) for file in found]
        else:
            files = [("", Path(entry["filename"])) for entry in self._load().cache_files]
        for name, file in files:
            with file.open("rb") as stream:
                digest.update(name.encode() + b"\0" + hashlib.file_digest(stream, "sha256").digest())
        return digest.hexdigest()

    def notes(self) -> list[str]:
        """A warning when a hub data set is read without a revision: its content may change."""
        if self.is_local or self.revision:
            return []
        commits = self._commits()
        pin = f"`revision: {commits[0]}`, which was read now," if len(commits) == 1 else "a commit of it"
        return [f"warning: {self.name} has no `revision`, so a later run may read other text; {pin} pins the text"]

    def _commits(self) -> list[str]:
        """The commits of the hub that the last reading took its files from, as their addresses name them."""
        checksums = getattr(getattr(self._hub_table, "info", None), "download_checksums", None) or {}
        return sorted({found[1] for address in checksums if (found := _COMMIT.search(address))})

    def places(self, number: int) -> tuple[str, str]:
        """The row that both sides stand in."""
        return f"{self.name}: row {number}", f"{self.name}: row {number}"

    def file_traits(self) -> list[FileTraits]:
        """Nothing: a table is no text file."""
        return []

    def rows(self) -> Iterator[PairRow]:
        """The pairs; a Problem (MT052) in the place of a row without text.

        Raises:
            DataError: MT055 when the columns are not there, MT056 when the data set cannot be read.
        """
        number = 0
        for batch in self._batches():
            sides = [self._column(batch, side) for side in (0, 1)]
            for src, tgt in zip(*sides, strict=True):
                number += 1
                if isinstance(src, str) and isinstance(tgt, str) and "\0" not in src and "\0" not in tgt:
                    yield src.replace("\n", " "), tgt.replace("\n", " ")
                else:
                    where, _ = self.places(number)
                    message = f"the row holds no text: {_shortened(src)} | {_shortened(tgt)}"
                    yield Problem("MT052", message, where=where, help="both columns need text without NUL bytes")

    def _batches(self) -> Iterator[dict[str, list[Any]]]:
        try:
            yield from self._load().iter(batch_size=ROWS_AT_ONCE)
        except DataError:
            raise
        except Exception as error:
            raise self._cannot_load(error) from error

    def _load(self) -> Any:
        if self._hub_table is not None:
            return self._hub_table
        datasets = _import_datasets()
        try:
            if self.is_local:
                return self._load_local(datasets)
            self._hub_table = datasets.load_dataset(self.path, self.config, split=self.split, revision=self.revision)
            return self._hub_table
        except Exception as error:
            raise self._cannot_load(error) from error

    def _load_local(self, datasets: ModuleType) -> Any:
        kind, files = self._local_files()
        options: dict[str, Any] = {}
        if kind == "csv":
            # Otherwise pandas takes the texts "NA" and "null" for missing values, and "7.50" for a number.
            columns = [column for column in (*self.asked_columns, *self.languages) if column is not None]
            options = {"keep_default_na": False, "converters": dict.fromkeys(columns, str)}
        data_files = {self.split: files}
        table = datasets.load_dataset(kind, data_files=data_files, split=self.split, streaming=True, **options)
        # An image or a sound beside the text may be an address in the network; only a described table has any.
        return table.decode(False) if table.features is not None else table

    def _local_files(self) -> tuple[str, list[str]]:
        """The format and the files of the split: the one file, or those of the folder (or of `config` below it)."""
        root = Path(self.path)
        if root.is_file():
            return FORMATS.get(root.suffix, "json"), [str(root)]
        from datasets.data_files import DataFilesDict, get_data_patterns

        folder = root / self.config if self.config else root
        base = folder.resolve().as_posix()
        found = DataFilesDict.from_patterns(get_data_patterns(base), base_path=base, allowed_extensions=list(FORMATS))
        files = [str(file) for file in found.get(self.split, [])]
        if not files:
            raise FileNotFoundError(f"{folder} has no file of the split `{self.split}`")
        kinds = sorted({FORMATS[Path(file).suffix] for file in files})
        if len(kinds) > 1:
            raise ValueError(f"the split has files of several formats: {', '.join(kinds)}")
        return kinds[0], files

    def _cannot_load(self, error: Exception) -> DataError:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        cause = f"{type(error).__name__}: {lines[0] if lines else 'no reason given'}"
        if error.__cause__ is not None and str(error.__cause__):
            cause += f" ({str(error.__cause__).splitlines()[0]})"
        advice = "check the name, config, split and revision; a hub data set needs the network once"
        if self.is_local:
            advice = "a local data set is a .parquet, .json, .jsonl or .csv file, or a folder of them"
        return DataError(Problem("MT056", f"the data set cannot be loaded: {cause}", where=self.name, help=advice))

    def _column(self, batch: dict[str, list[Any]], side: int) -> list[Any]:
        """The values of one side in a batch; `a.b` names the field `b` of the column `a`."""
        asked, language = self.asked_columns[side], self.languages[side]
        for name in (asked,) if asked else (f"translation.{language}", language):
            if name in batch:
                return batch[name]
            column, _, field = name.partition(".")
            rows = batch.get(column, [])
            if field and any(isinstance(row, dict) and field in row for row in rows):
                return [row.get(field) if isinstance(row, dict) else None for row in rows]
        columns = []
        for column, rows in batch.items():
            fields = rows[0] if rows and isinstance(rows[0], dict) else None
            columns += [f"{column}.{field}" for field in fields] if fields else [column]
        wanted = f"`{asked}`" if asked else f"`translation.{language}` or `{language}`"
        key = ("src_column", "tgt_column")[side]
        problem = Problem(
            "MT055",
            f"the table has no column {wanted}",
            where=self.name,
            help=f"its columns are {', '.join(f'`{column}`' for column in columns)}; `{key}` chooses one",
        )
        raise DataError(problem)


def _import_datasets() -> ModuleType:
    try:
        datasets = importlib.import_module("datasets")
    except ImportError as error:
        message = f"this source needs the package `datasets`: {error}"
        raise DataError(Problem("MT003", message, help="pip install datasets")) from error
    datasets.config.HF_UPDATE_DOWNLOAD_COUNTS = False  # or it reports every reading, of local files too
    return datasets


def _shortened(value: Any) -> str:
    """A value as messages show it."""
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
