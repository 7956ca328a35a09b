"""Pairs of the phrasebook: real English and German, the same everywhere."""

from itertools import islice

import pytest

from mt_trainer.data.phrasebook import phrasebook_pairs

Pairs = list[tuple[str, str]]


@pytest.fixture(scope="session")
def pairs() -> Pairs:
    """1,500 different pairs."""
    return list(islice(phrasebook_pairs("train"), 1500))
