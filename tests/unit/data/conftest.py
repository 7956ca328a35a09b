"""A small translation project on disk: made-up training and validation text, and a config over it."""

import random
from pathlib import Path
from typing import Any

import pytest

from mt_trainer.config.schema import TrainConfig
from mt_trainer.data.prepare import PreparedData, prepare_data
from mt_trainer.errors import MtError, Problem

SYLLABLES = [consonant + vowel for consonant in "bdfgklmnprst" for vowel in "aeiou"]


def sentences(count: int, seed: int) -> list[str]:
    """Distinct sentences of made-up words."""
    rng = random.Random(seed)
    words = ["".join(rng.choices(SYLLABLES, k=rng.randint(2, 4))) for _ in range(80)]
    return [" ".join(rng.choices(words, k=rng.randint(5, 9))) + f" {number}." for number in range(count)]


class Project:
    """A folder with text files and a config over them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lines: list[str] = []
        self.src, self.tgt = sentences(300, 1), sentences(300, 2)
        self.dev_src, self.dev_tgt = sentences(20, 3), sentences(20, 4)
        self.write("train", self.src, self.tgt)
        self.write("dev", self.dev_src, self.dev_tgt)

    def write(self, name: str, src: list[str], tgt: list[str]) -> None:
        for side, texts in (("src", src), ("tgt", tgt)):
            (self.folder / f"{name}.{side}").write_text("".join(f"{each}\n" for each in texts), newline="")

    def source(self, name: str) -> dict[str, Any]:
        return {"format": "text", "src": f"{self.folder}/{name}.src", "tgt": f"{self.folder}/{name}.tgt"}

    def prepare(
        self,
        *,
        data: dict[str, Any] | None = None,
        tokenizer: dict[str, Any] | None = None,
        train: tuple[str, ...] = ("train",),
    ) -> PreparedData:
        self.lines = []
        config = TrainConfig.model_validate(self.config(data=data, tokenizer=tokenizer, train=train))
        return prepare_data(config, announce=self.lines.append)

    def config(
        self,
        *,
        data: dict[str, Any] | None = None,
        tokenizer: dict[str, Any] | None = None,
        train: tuple[str, ...] = ("train",),
    ) -> dict[str, Any]:
        return {
            "data": {
                "src_lang": "en",
                "tgt_lang": "de",
                "train": tuple(self.source(name) for name in train),
                "dev": self.source("dev"),
                **(data or {}),
            },
            "tokenizer": {"vocab_size": 400, **(tokenizer or {})},
            "runtime": {"cache_folder": f"{self.folder}/cache"},
        }

    def problems(self, **changes: Any) -> tuple[Problem, ...]:
        with pytest.raises(MtError) as caught:
            self.prepare(**changes)
        return caught.value.problems

    def cached(self, kind: str) -> list[str]:
        folder = self.folder / "cache" / kind
        return sorted(each.name for each in folder.iterdir()) if folder.exists() else []

    def decoded(self, prepared: PreparedData) -> list[tuple[str, str]]:
        """The training pairs as they come back from the encoded corpus."""
        src = prepared.tokenizers.src.decode([prepared.train.src(i).tolist() for i in range(prepared.train.num_pairs)])
        tgt = prepared.tokenizers.tgt.decode([prepared.train.tgt(i).tolist() for i in range(prepared.train.num_pairs)])
        return list(zip(src, tgt, strict=True))


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)
