"""A config with all that is required, and the two things tests do with a config: load it, or read why it is refused."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from mt_trainer.config import TrainConfig, load_config
from mt_trainer.errors import ConfigError

REQUIRED = """\
data:
  src_lang: en
  tgt_lang: de
  train: {format: text, src: train.en, tgt: train.de}
  dev: {format: text, src: dev.en, tgt: dev.de}
"""


@pytest.fixture
def required() -> str:
    """The five lines that every config needs."""
    return REQUIRED


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., TrainConfig]:
    """Load a text, after the required lines unless it has a `data` section, as `ende.yaml` of the working directory."""
    monkeypatch.chdir(tmp_path)

    def load_text(text: str = "", *overrides: str) -> TrainConfig:
        has_data = re.search(r"^(data|extends):", text, re.MULTILINE)
        Path("ende.yaml").write_text(text if has_data else REQUIRED + text, encoding="utf-8")
        return load_config("ende.yaml", overrides)

    return load_text


@pytest.fixture
def refusal(load: Callable[..., TrainConfig]) -> Callable[..., ConfigError]:
    """The error that such a text ends in."""

    def refuse(text: str = "", *overrides: str) -> ConfigError:
        with pytest.raises(ConfigError) as caught:
            load(text, *overrides)
        return caught.value

    return refuse
