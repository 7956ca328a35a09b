"""Fixtures shared by all tests."""

import random
import sys
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _denormal_numbers() -> None:
    """A run that another test started in this process has the CPU flush them; hypothesis draws them."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_flush_denormal(False)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real parallel text that lies beside a development checkout, or a skip that says so."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no real parallel text at {folder}")
    return folder


@pytest.fixture(scope="session")
def made_up_pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of train.en, train.de, dev.en and dev.de: 200 pairs to train on and 8 to validate, over made-up words.

    The German words are the English ones, letter by letter and word by word from behind.
    """
    folder, rng = tmp_path_factory.mktemp("made_up_pairs"), random.Random(1)
    words = ["".join(rng.choices("abdefgiklmnoprstu", k=rng.randint(2, 6))) for _ in range(60)]
    for part, number in (("train", 200), ("dev", 8)):
        sentences = [rng.choices(words, k=rng.randint(2, 7)) for _ in range(number)]
        for side, order in (("en", 1), ("de", -1)):
            lines = [" ".join(word[::order] for word in sentence[::order]) for sentence in sentences]
            (folder / f"{part}.{side}").write_text("".join(f"{line}\n" for line in lines))
    return folder
