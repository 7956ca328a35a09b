"""`load_config`: YAML files and `--set` -> one validated, frozen object, or every problem at once."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from mt_trainer.config.consistency import contradictions
from mt_trainer.config.explain import Spot, explain, spot_at
from mt_trainer.config.merging import read_layers
from mt_trainer.config.places import Finding, Node, Place
from mt_trainer.config.schema import TrainConfig
from mt_trainer.config.settings import bare, is_section, variants
from mt_trainer.errors import ConfigError

ROUNDS = 4
"""How often a config with problems is mended and looked at again, for settings that contradict each other."""


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> TrainConfig:
    """Read, merge and check a configuration.

    Args:
        path: a YAML file, or the name of a recipe that ships with the package.
        overrides: `a.b=c`, the value in YAML; later ones win.

    Raises:
        ConfigError: all that is wrong, in the order of the file, then of the files it extends, then of the overrides.
    """
    layers = read_layers(path, overrides)
    findings = list(layers.findings)
    config: TrainConfig | None = None
    refused: list[str] = []
    try:
        config = TrainConfig.model_validate(layers.tree.plain())
        mended: TrainConfig | None = config
    except ValidationError as error:
        errors = error.errors()
        has_all_files = not any(finding.code == "MT027" for finding in findings)
        found = explain(errors, layers.tree)
        findings.extend(each for each in found if has_all_files or each.code != "MT022")
        refused = [spot_at(layers.tree, each["loc"]).key for each in errors]
        mended = _mended(layers.tree, errors)
    for check, contradiction in contradictions(mended, refused) if mended else []:
        place = _first_place(layers.tree, check.keys)
        findings.append(Finding("MT026", place, contradiction.message, contradiction.help))
    if findings or config is None:
        order = {name: index for index, name in enumerate(layers.files)}
        findings.sort(key=lambda each: (order.get(each.place.source, len(order)), each.place.line, each.place.column))
        raise ConfigError([finding.problem() for finding in findings])
    return config


def _first_place(tree: Node, keys: Iterable[str]) -> Place:
    """Where the first of the keys stands that stands anywhere; else the file."""
    for key in keys:
        node: Node | None = tree
        for part in key.split("."):
            node = node.child(part) if node else None
        if node is not None and node.key_place is not None:
            is_line = isinstance(node.value, dict | list) or node.place.line != node.key_place.line
            return node.key_place if is_line else node.place
    return Place(tree.place.source)


def _mended(tree: Node, errors: list[ErrorDetails]) -> TrainConfig | None:
    """The config with every refused value replaced by something valid, so that the other values can be compared.

    It takes a second round where one problem had hidden another; None if it does not come to an end.
    """
    values = tree.plain()
    for _ in range(ROUNDS):
        for error in errors:
            spot = spot_at(tree, error["loc"])
            values = _with(values, spot.path, _replacement(spot, error["type"]))
        try:
            return TrainConfig.model_validate(values)
        except ValidationError as error:
            errors = error.errors()
    return None


_NOTHING = object()
_ANY_NUMBER: dict[Any, float] = {int: 1, float: 0.5}


def _replacement(spot: Spot, kind: str) -> Any:
    """A valid value for the spot; `_NOTHING` where the key can be left out."""
    is_list_item = spot.section is None and isinstance(spot.holder.value, list)
    can_be_left_out = spot.setting is None or not spot.setting.is_required
    if kind == "extra_forbidden" or (can_be_left_out and not is_list_item):
        return _NOTHING
    return _any_valid(spot.annotation)


def _any_valid(annotation: Any) -> Any:
    """Some value of a type that a required key has."""
    if get_origin(annotation) is Literal:
        return get_args(annotation)[0]
    if get_origin(annotation) is tuple:
        return (_any_valid(bare(get_args(annotation)[0])),)
    if annotation in _ANY_NUMBER:
        return _ANY_NUMBER[annotation]
    if members := variants(annotation):
        annotation = next(iter(members.values()))
    if is_section(annotation):
        fields = annotation.model_fields.items()
        return {name: _any_valid(bare(info.annotation)) for name, info in fields if info.is_required()}
    return "any"


def _with(value: Any, path: Sequence[str], new: Any) -> Any:
    """`value` with what stands at `path` replaced, or left out."""
    if not path:
        return new
    part, rest = path[0], path[1:]
    if isinstance(value, tuple):
        index = int(part)
        return (*value[:index], _with(value[index], rest, new), *value[index + 1 :])
    if rest and part not in value:  # left out before, for another fault
        return value
    entries = {key: entry for key, entry in value.items() if key != part or rest or new is not _NOTHING}
    if rest or new is not _NOTHING:
        entries[part] = _with(entries.get(part), rest, new)
    return entries
