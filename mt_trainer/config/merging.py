"""Layers of a config: a file over the one it extends, and `--set a.b=c` over both."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mt_trainer.config.places import Finding, Node, Place, printable
from mt_trainer.config.recipes import find_recipe, recipe_names
from mt_trainer.config.settings import default_tags
from mt_trainer.config.suggestions import nearest
from mt_trainer.config.yaml_reader import Document, read_file, read_text
from mt_trainer.errors import ConfigError

TAGS = ("name", "format", "preset")
ONE_OR_MORE = ("data", "train")
"""The key that takes one source or a list of them."""

MOST_LAYERS = 16
"""Files that extend one another at most."""

_PART = r"[^.=\s\ud800-\udfff]+"  # what Python makes of bytes that are no text is not part of any key
_KEY = re.compile(rf"{_PART}(\.{_PART})*")


@dataclass(frozen=True)
class Layers:
    """The merged tree, the files it came from (the asked-for one first) and what was found wrong on the way."""

    tree: Node
    files: list[str]
    findings: list[Finding]


def read_layers(path: str | Path, overrides: Sequence[str]) -> Layers:
    """Read a config file and all it extends, and lay the overrides over it.

    Raises:
        ConfigError: MT001 the file is not there, MT020 it is not YAML, MT023 not a mapping, MT027 a bad `extends`.
    """
    shown = os.fspath(path)
    file = Path(shown) if os.path.isfile(shown) else find_recipe(shown)
    if file is None:
        raise ConfigError(_not_found(shown).problem())
    layers = _read(file, shown if file == Path(shown) else os.fspath(file), [])
    tree = _normal(layers.tree)
    findings = list(layers.findings)
    for text in overrides:
        changed = _override(tree, text)
        if isinstance(changed, Finding):
            findings.append(changed)
        else:
            tree = _normal(changed)
    return Layers(_normal(_with_default_tags(tree, ())), layers.files, findings)


def _not_found(shown: str) -> Finding:
    message = (
        f"no config file `{printable(shown)}`" if not os.path.isdir(shown) else f"`{printable(shown)}` is a folder"
    )
    names = recipe_names()
    close = nearest(Path(shown).name, names) or nearest(f"{Path(shown).name}.yaml", names)
    closest = f"the closest shipped recipe is `{close[0]}`; " if close else ""
    return Finding(
        "MT001", Place(shown), message, f"{closest}give a file, or a shipped recipe: {', '.join(names) or 'none'}"
    )


def _read(file: Path, shown: str, chain: list[Path]) -> Layers:
    """One file merged over the ones it extends; `chain` holds the files that led here."""
    try:
        document: Document = read_file(file, shown)
    except OSError as error:
        message = f"`{printable(shown)}` cannot be read: {error.strerror}"
        raise ConfigError(Finding("MT001", Place(shown), message, "check its permissions").problem()) from None
    assert isinstance(document.root.value, dict)
    entries = dict(document.root.value)
    base = entries.pop("extends", None)
    own = Layers(replace(document.root, value=entries), [shown], document.findings)
    if base is None:
        return own
    chain = [*chain, file.resolve()]
    below = _read_base(base, file, shown, chain)
    if isinstance(below, Finding):
        return replace(own, findings=[*own.findings, below])
    merged = merge(below.tree, own.tree)
    return Layers(merged, own.files + below.files, own.findings + below.findings)


def _read_base(base: Node, file: Path, shown: str, chain: list[Path]) -> Layers | Finding:
    name = base.value
    if not isinstance(name, str) or not name or "\0" in name:
        return Finding("MT027", base.place, "`extends` takes the path of one file", "as in `extends: multi30k.yaml`")
    beside = file.parent / name
    found = beside if os.path.isfile(beside) else find_recipe(name)
    if found is None:
        message = f"`extends` points to `{printable(name)}`, which does not exist"
        advice = f"the path is relative to the folder of {printable(shown)}"
        return Finding(
            "MT027", base.place, message, f"{advice}; shipped recipes: {', '.join(recipe_names()) or 'none'}"
        )
    if found.resolve() in chain:
        circle = " -> ".join(path.name for path in [*chain[chain.index(found.resolve()) :], found])
        return Finding("MT027", base.place, f"`extends` goes in a circle: {circle}", "take one `extends` out")
    if len(chain) >= MOST_LAYERS:
        message = f"more than {MOST_LAYERS} files extend one another"
        return Finding("MT027", base.place, message, "write the settings of some of them into one file")
    shown_base = os.path.normpath(os.path.join(os.path.dirname(shown), name)) if found == beside else os.fspath(found)
    return _read(found, shown_base, chain)


def merge(below: Node | None, above: Node, path: tuple[str, ...] = ()) -> Node:
    """`above` laid over `below`: mappings key by key, anything else replaced.

    A mapping that is another variant than the one below (another `name`, `format` or `preset`) replaces it whole.
    """
    if path == ("model",):
        above = _model_mapping(above)
        below = _model_mapping(below) if below else None
    if below is None or not isinstance(below.value, dict) or not isinstance(above.value, dict):
        return above
    for tag in TAGS:
        new, old = above.child(tag), below.child(tag)
        default = default_tags().get(path)
        old_value = old.value if old else default[1] if default and default[0] == tag else None
        if new and isinstance(new.value, str) and isinstance(old_value, str) and new.value != old_value:
            return above
    entries = dict(below.value)
    for key, node in above.value.items():
        entries[key] = merge(entries.get(key), node, (*path, key))
    return replace(above, value=entries)


def _override(tree: Node, text: str) -> Node | Finding:
    """One `--set key=value` over the tree."""
    place = Place(f"--set {text}")
    key, equals, value_text = text.partition("=")
    if not equals or not _KEY.fullmatch(key):
        return Finding("MT002", place, "a setting is given as `key=value`", "as in `--set training.max_steps=2000`")
    if not value_text.strip():
        return Finding("MT002", place, f"`{printable(key)}` has no value", "write `null` or `''` if that is meant")
    try:
        document = read_text(value_text, "--set")
    except ConfigError as error:
        return Finding("MT002", place, f"the value cannot be read: {error.problems[0].message}", "put it in quotes")
    if document.findings or document.is_block:
        message = document.findings[0].message if document.findings else "a mapping here needs braces"
        return Finding("MT002", place, f"the value cannot be read: {message}", "put it in quotes, or write `{a: b}`")
    return _set(tree, key.split("."), _at(document.root, place), ())


def _at(node: Node, place: Place) -> Node:
    """The tree with every place replaced by `place`."""
    value = node.value
    if isinstance(value, dict):
        return Node({key: _at(child, place) for key, child in value.items()}, place, place)
    if isinstance(value, list):
        return Node([_at(child, place) for child in value], place, place)
    return Node(value, place, place)


def _set(node: Node | None, parts: list[str], value: Node, path: tuple[str, ...]) -> Node | Finding:
    if not parts:
        return merge(node, value, path)
    part, *rest = parts
    if path == ONE_OR_MORE and node is None and part.isdecimal():
        node = Node([], value.place)
    if node is not None and isinstance(node.value, list):
        return _set_item(node, parts, value, path)
    below = _model_mapping(node).child(part) if node and path == ("model",) else node.child(part) if node else None
    inner = _set(below, rest, value, (*path, part))
    return inner if isinstance(inner, Finding) else merge(node, Node({part: inner}, value.place, value.place), path)


def _set_item(node: Node, parts: list[str], value: Node, path: tuple[str, ...]) -> Node | Finding:
    """An entry of a list: by index, and without one where the list has a single entry."""
    assert isinstance(node.value, list)
    items, key = list(node.value), ".".join(path)
    index, rest = (int(parts[0][:9]), parts[1:]) if parts[0].isdecimal() else (0, parts)
    if not parts[0].isdecimal() and len(items) != 1:
        message = f"`{key}` is a list of {len(items)}"
        return Finding("MT002", value.place, message, f"say which, as in `{key}.0.{'.'.join(parts)}`")
    if index > len(items):
        message = f"`{key}` has {len(items)} entries; there is no number {index}"
        return Finding("MT002", value.place, message, "entries are counted from 0; the next one may be added")
    old = items[index] if index < len(items) else None
    inner = _set(old, rest, value, (*path, str(index)))
    if isinstance(inner, Finding):
        return inner
    items[index:] = [inner, *items[index + 1 :]]
    return replace(node, value=items)


def _model_mapping(node: Node) -> Node:
    """`model: transformer_base` as `model: {preset: transformer_base}`."""
    if not isinstance(node.value, str):
        return node
    return replace(node, value={"preset": Node(node.value, node.place, node.key_place)})


def _normal(tree: Node) -> Node:
    """The tree with its abbreviations written out: a preset's name, a single training source, a list of objectives."""
    assert isinstance(tree.value, dict)
    entries = dict(tree.value)
    if model := entries.get("model"):
        entries["model"] = _model_mapping(model)
    if (objective := entries.get("objective")) and isinstance(objective.value, list):
        stages = Node([_stage(stage) for stage in objective.value], objective.place)
        name = Node("stages", objective.place)
        entries["objective"] = replace(objective, value={"name": name, "stages": stages})
    data = entries.get("data")
    train = data.child("train") if data else None
    if data and train and isinstance(data.value, dict) and isinstance(train.value, dict):
        entries["data"] = replace(
            data, value={**data.value, "train": replace(train, value=[replace(train, key_place=None)])}
        )
    return replace(tree, value=entries)


def _stage(node: Node) -> Node:
    """`{name: brier, until_step: 5}` as `{until_step: 5, objective: {name: brier}}`."""
    if not isinstance(node.value, dict):
        return node
    entries = dict(node.value)
    until_step = entries.pop("until_step", None)
    objective = {"objective": replace(node, value=entries)}
    return replace(node, value=objective if until_step is None else {"until_step": until_step, **objective})


def _with_default_tags(node: Node, path: tuple[str, ...]) -> Node:
    """The tree with the default variant named where a mapping says nothing: `objective: {epsilon: 0.2}`."""
    if not isinstance(node.value, dict):
        return node
    entries = {key: _with_default_tags(child, (*path, key)) for key, child in node.value.items()}
    if path in default_tags():
        tag, variant = default_tags()[path]
        if tag not in entries:
            entries[tag] = Node(variant, node.place)  # without key_place: nobody wrote it
    return replace(node, value=entries)
