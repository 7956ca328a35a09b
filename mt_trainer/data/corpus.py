"""The encoded corpus on disk: two flat arrays of token ids with offsets, memory-mapped.

src_tokens.bin  tgt_tokens.bin     ids of all pairs one after the other, uint16 (int32 for vocabularies >= 65536)
src_offsets.bin tgt_offsets.bin    int64 [num_pairs + 1]: pair i is tokens[offsets[i]:offsets[i + 1]]
*.bin                              further arrays that belong to the corpus
meta.json                          type, bytes and sha256 of each array, and what the caller adds
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mt_trainer.artefacts import read_json, require_file
from mt_trainer.errors import DataError, Problem

CORPUS_FORMAT = 1
"""Changes with the layout, so that older folders are rebuilt."""

NUMBERS = ("uint8", "uint16", "uint32", "uint64", "int32", "int64", "float32", "float64")
"""What an array can hold. Objects, which numpy would map too, are addresses in memory."""

SMALL_VOCAB = 1 << 16
META_FILE = "meta.json"


def token_dtype(vocab_size: int) -> str:
    """The smallest of the two types that hold every id."""
    return "uint16" if vocab_size < SMALL_VOCAB else "int32"


class Pairs(Protocol):
    """Encoded pairs, as batches are made from them: ids without special tokens, lengths int32 [number of pairs]."""

    src_lengths: NDArray[np.int32]
    tgt_lengths: NDArray[np.int32]

    def src(self, pair: int, /) -> Sequence[int] | NDArray[Any]:
        """Source ids of a pair."""
        ...

    def tgt(self, pair: int, /) -> Sequence[int] | NDArray[Any]:
        """Target ids of a pair."""
        ...


@dataclass(frozen=True)
class EncodedSide:
    """One side of some pairs, as the corpus has it.

    Attributes:
        tokens: ids of all of them, one after the other, without special tokens, of the type that `token_dtype` names.
        lengths: int32 [number of pairs], ids of each.
    """

    tokens: NDArray[Any]
    lengths: NDArray[np.int32]

    @classmethod
    def of(cls, sequences: Sequence[Sequence[int]], *, vocab_size: int) -> "EncodedSide":
        """The same as arrays."""
        lengths = np.fromiter(map(len, sequences), dtype=np.int32, count=len(sequences))
        num_tokens = int(lengths.sum(dtype=np.int64))
        return cls(np.fromiter(chain.from_iterable(sequences), token_dtype(vocab_size), count=num_tokens), lengths)


class CorpusWriter:
    """Appends encoded pairs to the arrays of a folder, a chunk at a time."""

    def __init__(self, folder: Path, *, src_vocab_size: int, tgt_vocab_size: int) -> None:
        self.num_pairs = 0
        self._folder = folder
        self._arrays: dict[str, dict[str, Any]] = {}
        self._sides = [("src", token_dtype(src_vocab_size)), ("tgt", token_dtype(tgt_vocab_size))]
        self._lengths: dict[str, list[NDArray[np.int32]]] = {"src": [], "tgt": []}
        self._digests = {side: hashlib.sha256() for side, _ in self._sides}
        self._streams = {side: (folder / f"{side}_tokens.bin").open("wb") for side, _ in self._sides}

    def append(self, src: EncodedSide, tgt: EncodedSide) -> None:
        """Adds pairs.

        Raises:
            ValueError: ids of another type than that of the corpus.
        """
        for (side, dtype), encoded in zip(self._sides, (src, tgt), strict=True):
            if encoded.tokens.dtype != dtype:
                raise ValueError(f"ids of type {encoded.tokens.dtype} in a corpus of {dtype}")
            self._lengths[side].append(encoded.lengths)
            self._digests[side].update(encoded.tokens.data)
            encoded.tokens.tofile(self._streams[side])
        self.num_pairs += len(src.lengths)

    def finish(self, *, meta: Mapping[str, object], arrays: Mapping[str, NDArray[Any]]) -> None:
        """Writes the offsets, the further `arrays` and `meta.json`; then the folder is a corpus."""
        for side, dtype in self._sides:
            self._streams[side].close()
            lengths = np.concatenate([np.zeros(1, dtype=np.int32), *self._lengths[side]])
            offsets = np.cumsum(lengths, dtype=np.int64)
            size = int(offsets[-1]) * np.dtype(dtype).itemsize
            self._arrays[f"{side}_tokens"] = dict(dtype=dtype, bytes=size, sha256=self._digests[side].hexdigest())
            self._write(f"{side}_offsets", offsets)
        for name, array in arrays.items():
            self._write(name, array)
        described = {"format": CORPUS_FORMAT, "num_pairs": self.num_pairs, "arrays": self._arrays, **meta}
        (self._folder / META_FILE).write_text(json.dumps(described, indent=1), encoding="utf-8")

    def close(self) -> None:
        """Closes the files, also when nothing was finished."""
        for stream in self._streams.values():
            stream.close()

    def _write(self, name: str, array: NDArray[Any]) -> None:
        data = np.ascontiguousarray(array)
        data.tofile(self._folder / f"{name}.bin")
        digest = hashlib.sha256(data.data).hexdigest()
        self._arrays[name] = dict(dtype=data.dtype.name, bytes=data.nbytes, sha256=digest)


class Corpus:
    """A corpus on disk; the ids stay there until they are asked for.

    Attributes:
        num_pairs: number of pairs.
        src_lengths, tgt_lengths: int32 [num_pairs], ids of each side without special tokens.
        content_hash: sha256 over the ids and offsets, in hexadecimal.
        meta: what was stored with it.
    """

    def __init__(self, folder: Path) -> None:
        """Opens the corpus in `folder` and verifies every array against its sha256.

        Raises:
            DataError: MT057 when a file is missing, cut or changed.
        """
        self._folder = folder
        try:
            self.meta: dict[str, Any] = read_json(folder / META_FILE)
            self.num_pairs: int = self.meta["num_pairs"]
            described = self.meta["arrays"]
            self._arrays = {name: self._verified(name, **description) for name, description in described.items()}
            offsets = {side: self._arrays[f"{side}_offsets"] for side in ("src", "tgt")}
            for side in offsets:
                ends = offsets[side][[0, -1]].tolist()
                if len(offsets[side]) != self.num_pairs + 1 or ends != [0, len(self._arrays[f"{side}_tokens"])]:
                    raise ValueError(f"{side}_offsets do not fit")
        except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
            advice = f"delete the folder, it will be built again: rm -r {folder}"
            problem = Problem("MT057", f"the cached corpus is damaged: {error}", where=str(folder), help=advice)
            raise DataError(problem) from error
        self._src, self._src_offsets = self._arrays["src_tokens"], offsets["src"]
        self._tgt, self._tgt_offsets = self._arrays["tgt_tokens"], offsets["tgt"]
        self.src_lengths: NDArray[np.int32] = np.diff(self._src_offsets).astype(np.int32)
        self.tgt_lengths: NDArray[np.int32] = np.diff(self._tgt_offsets).astype(np.int32)
        names = [f"{side}_{kind}" for side in ("src", "tgt") for kind in ("tokens", "offsets")]
        self.content_hash = hashlib.sha256(" ".join(described[name]["sha256"] for name in names).encode()).hexdigest()

    @property
    def name(self) -> str:
        """Of its folder: in the cache the key of what it was made from."""
        return self._folder.name

    @property
    def num_target_tokens(self) -> int:
        """Target tokens to predict in one epoch, an end mark for each pair included."""
        return int(self.tgt_lengths.sum(dtype=np.int64)) + self.num_pairs

    def src(self, index: int) -> NDArray[Any]:
        """Ids of the source side of a pair, a view of the mapped file."""
        return self._src[self._src_offsets[index] : self._src_offsets[index + 1]]

    def tgt(self, index: int) -> NDArray[Any]:
        """Ids of the target side of a pair, a view of the mapped file."""
        return self._tgt[self._tgt_offsets[index] : self._tgt_offsets[index + 1]]

    @property
    def src_side(self) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """Ids of all sources, one after the other, and their offsets int64 [num_pairs + 1]."""
        return self._src, self._src_offsets

    @property
    def tgt_side(self) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """The same of the targets."""
        return self._tgt, self._tgt_offsets

    def array(self, name: str) -> NDArray[Any]:
        """A further array that was stored with the corpus."""
        return self._arrays[name]

    def _verified(self, name: str, *, dtype: str, bytes: int, sha256: str) -> NDArray[Any]:
        path = self._folder / f"{name}.bin"
        if path.parent != self._folder or dtype not in NUMBERS:
            raise ValueError(f"an array is called {name} and holds {dtype}")
        size = require_file(path)
        if size != bytes:
            raise ValueError(f"{path.name} has {size:,} bytes, not {bytes:,}")
        if not size:  # an empty file cannot be mapped
            return np.zeros(0, dtype=dtype)
        array: NDArray[Any] = np.memmap(path, dtype=dtype, mode="r")
        if hashlib.sha256(array.data).hexdigest() != sha256:
            raise ValueError(f"the bytes of {path.name} have changed")
        return array
