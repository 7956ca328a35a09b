"""Fixtures shared by all tests."""

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
