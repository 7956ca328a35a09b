"""A config written out in full, its identity, and how two configs differ."""

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import yaml

from mt_trainer.config.schema import TrainConfig
from mt_trainer.config.yaml_reader import AMBIGUOUS

WITHOUT_EFFECT = ("runtime.run_folder", "runtime.cache_folder")
"""Settings that say where a run is kept, not what it does."""


class NotSet:
    """What `differences` gives for a key that only the other config has."""

    def __repr__(self) -> str:
        return "(not set)"


NOT_SET = NotSet()


class _Dumper(yaml.SafeDumper):
    """Quotes what YAML 1.1 or 1.2 would take for a number, and writes equal values out again, not as aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    """Line breaks (five kinds, for YAML) and unprintable characters only survive as escapes, in double quotes."""
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if text.isprintable() else '"')


_Dumper.add_representer(str, _represent_text)
_Dumper.add_implicit_resolver("tag:yaml.org,2002:float", AMBIGUOUS, list("-+.0123456789"))


def to_yaml(config: TrainConfig) -> str:
    """The config with every default written out; `load_config` of it gives an equal object."""
    text: str = yaml.dump(config.model_dump(), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1000)
    return text


def config_digest(config: TrainConfig) -> str:
    """SHA-256, in hexadecimal, over all settings that affect the run; equal for configs that differ only in folders."""
    effective = {key: value for key, value in _flat("", config.model_dump()) if key not in WITHOUT_EFFECT}
    return hashlib.sha256(json.dumps(effective, sort_keys=True).encode()).hexdigest()


def differences(a: TrainConfig, b: TrainConfig) -> list[tuple[str, Any, Any]]:
    """The keys whose values differ, with both values, by section; `NOT_SET` where one has no such key."""
    flat_a, flat_b = dict(_flat("", a.model_dump())), dict(_flat("", b.model_dump()))
    sections = list(TrainConfig.model_fields)
    keys = sorted(dict.fromkeys([*flat_a, *flat_b]), key=lambda key: sections.index(key.split(".")[0]))
    pairs = [(key, flat_a.get(key, NOT_SET), flat_b.get(key, NOT_SET)) for key in keys]
    return [(key, value_a, value_b) for key, value_a, value_b in pairs if value_a != value_b]


def _flat(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Dotted keys and plain values; an empty list or mapping counts as a value."""
    entries: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, tuple) else ()
    if not value or not isinstance(value, dict | tuple):
        yield key, value
    for name, entry in entries:
        yield from _flat(f"{key}.{name}".lstrip("."), entry)
