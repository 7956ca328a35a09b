"""pydantic's errors -> findings that say where, what is allowed and what is closest."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, get_args, get_origin

from pydantic_core import ErrorDetails

from mt_trainer.config.places import Finding, Node, Place, printable
from mt_trainer.config.schema import TrainConfig
from mt_trainer.config.section import Section
from mt_trainer.config.settings import (
    Setting,
    bare,
    forms_of_number,
    is_section,
    settings_of,
    tag_of,
    variants,
)
from mt_trainer.config.suggestions import nearest, suggest_choice, suggest_key, valid_keys
from mt_trainer.config.yaml_reader import scalar_of

MOST_SEARCHED = 50
"""Unknown keys that the closest valid key is searched for; thousands of them would take minutes."""


@dataclass(frozen=True)
class Spot:
    """What one of pydantic's errors speaks of, in the tree and in the schema."""

    path: tuple[str, ...]
    nodes: tuple[Node, ...]
    """From the top down as far as the tree goes along `path`."""
    section: type[Section] | None
    """The class that owns the last key; None for entries of lists and of `data.test`."""
    siblings: dict[str, type[Section]]
    """The variants that `section` is one of, by tag."""
    annotation: Any

    @property
    def key(self) -> str:
        """The dotted key, as `--set` takes it."""
        return ".".join(printable(part) for part in self.path)

    @property
    def node(self) -> Node | None:
        """The value, if there is one."""
        return self.nodes[-1] if len(self.nodes) > len(self.path) else None

    @property
    def holder(self) -> Node:
        """The mapping or list that has, or should have, the value."""
        return self.nodes[len(self.path) - 1] if self.node is not None and self.path else self.nodes[-1]

    @property
    def setting(self) -> Setting | None:
        """The description of the last key, if it is a key of a section."""
        return settings_of(self.section).get(self.path[-1]) if self.section and self.path else None


def spot_at(tree: Node, location: Iterable[str | int]) -> Spot:
    """Follow the location of one of pydantic's errors, in which a variant's tag is a step of its own."""
    annotation: Any = TrainConfig
    section: type[Section] | None = None
    siblings: dict[str, type[Section]] = {}
    held: dict[str, type[Section]] = {}
    path: list[str] = []
    nodes = [tree]
    for part in location:
        if part == "[key]":
            break
        if forms := forms_of_number(annotation):
            annotation = forms[str(part)]
            continue
        if members := variants(annotation):
            annotation, held = members[str(part)], members
            continue
        annotation, section, siblings, held = _step(annotation, str(part), held)
        if len(nodes) > len(path) and (child := nodes[-1].child(part)) is not None:
            nodes.append(child)
        path.append(str(part))
    return Spot(tuple(path), tuple(nodes), section, siblings, annotation)


def _step(annotation: Any, part: str, held: dict[str, type[Section]]) -> Any:
    """The annotation below, the section that owns the key, its siblings, and a fresh start for the next step."""
    if is_section(annotation):
        field = annotation.model_fields.get(part)
        return bare(field.annotation) if field else None, annotation, held, {}
    arguments = get_args(annotation)
    return bare(arguments[1] if get_origin(annotation) is dict else arguments[0]), None, {}, {}


def explain(errors: Iterable[ErrorDetails], tree: Node) -> list[Finding]:
    """A finding for each error; a required key that is there but misspelt is told once."""
    findings: list[Finding] = []
    missing: list[Spot] = []
    for error in errors:
        spot = spot_at(tree, error["loc"])
        match error["type"]:
            case "extra_forbidden":
                findings.append(_unknown_key(spot, is_searched=len(findings) < MOST_SEARCHED))
            case "missing":
                missing.append(spot)
            case "union_tag_not_found":
                findings.append(_missing_tag(spot))
            case "union_tag_invalid":
                findings.append(_unknown_variant(spot))
            case "too_short" if spot.node is not None and spot.node.value:
                pass  # the list has entries, but pydantic does not count those that it refuses
            case kind if kind.endswith("_type"):
                findings.append(_wrong_type(spot))
            case _:
                findings.append(_refused_value(spot, error))
    misspelt = [finding.help or "" for finding in findings if finding.code == "MT021"]
    findings.extend(
        _missing_key(spot)
        for spot in missing
        if not any(f"`{spot.path[-1]}` (" in help or f"`{spot.key}` (" in help for help in misspelt)
    )
    return findings


def _unknown_key(spot: Spot, *, is_searched: bool) -> Finding:
    assert spot.node is not None
    assert spot.section is not None
    name, parent = spot.path[-1], ".".join(spot.path[:-1])
    holder = spot.holder.value if isinstance(spot.holder.value, dict) else {}
    given = [key for key, node in holder.items() if node.key_place is not None]
    help = suggest_key(name, parent, spot.section, given, spot.siblings) if is_searched else valid_keys(spot.section)
    where = _in_section(parent, spot.holder, spot.siblings)
    message = f"unknown key `{_short(name)}`{where}" if parent else f"unknown section `{_short(name)}`"
    return Finding("MT021", spot.node.key_place or spot.node.place, message, help)


def _in_section(path: str, node: Node, siblings: dict[str, type[Section]]) -> str:
    tag = tag_of(next(iter(siblings.values()))) if siblings else None
    variant = node.child(tag) if tag else None
    return f" in section `{printable(path)}`" + (f" ({tag} `{variant.value}`)" if variant else "")


def _missing_key(spot: Spot) -> Finding:
    assert spot.setting is not None
    kind = "section" if len(spot.path) == 1 else "key"
    help = f"{spot.setting.description} It takes: {spot.setting.kind}"
    return Finding("MT022", _head(spot), f"the {kind} `{spot.key}` is missing", help)


def _missing_tag(spot: Spot) -> Finding:
    """A mapping that does not say which variant it is; perhaps it does, misspelt."""
    assert spot.node is not None
    members = variants(spot.annotation)
    tag = tag_of(next(iter(members.values())))
    assert tag is not None
    entries = spot.node.value if isinstance(spot.node.value, dict) else {}
    known = {key for member in members.values() for key in settings_of(member)}
    for key, node in entries.items():
        if key not in known and nearest(key, [tag]):
            help = f"the closest setting is `{tag}` (one of {', '.join(f'`{member}`' for member in members)})"
            place = node.key_place or node.place
            return Finding("MT021", place, f"unknown key `{printable(key)}` in section `{spot.key}`", help)
    fitting = [name for name, member in members.items() if entries and entries.keys() <= settings_of(member).keys()]
    closest = f"these keys fit `{tag}: {fitting[0]}`; " if len(fitting) == 1 else ""
    help = f"{closest}allowed: {', '.join(f'`{member}`' for member in members)}"
    return Finding("MT022", _head(spot), f"`{spot.key}` does not say which `{tag}` it has", help)


def _unknown_variant(spot: Spot) -> Finding:
    assert spot.node is not None
    members = variants(spot.annotation)
    tag = tag_of(next(iter(members.values())))
    assert tag is not None
    node = spot.node.child(tag)
    assert node is not None
    if not isinstance(node.value, str):
        message = f"`{spot.key}.{tag}` must be text, not {_shown(node)}"
        return Finding("MT023", node.place, message, suggest_choice("", members))
    message = f"`{spot.key}` has no {tag} `{_short(node.value)}`"
    return Finding("MT024", node.place, message, suggest_choice(node.value, members))


def _wrong_type(spot: Spot) -> Finding:
    node = spot.node
    assert node is not None
    if spot.setting is None or is_section(spot.annotation) or variants(spot.annotation):
        advice = spot.setting.kind if spot.setting else f"mapping, as in `{_example(spot)}`"
        if node.value is None:
            message = f"the section `{spot.key}` is empty"
            is_optional = spot.setting is not None and not spot.setting.is_required
            help = "give it keys" + (", or leave it out for the defaults" if is_optional else f": {advice}")
            return Finding("MT023", _head(spot), message, help)
        return Finding(
            "MT023", node.place, f"`{spot.key}` must be a mapping, not {_shown(node)}", f"it takes: {advice}"
        )
    setting = spot.setting
    article = "an" if setting.kind.startswith("integer") else "a"
    kind = {"text": "text", "true or false": "`true` or `false`"}.get(setting.kind.removesuffix(" or null"), "")
    kind = kind or (f"{article} {setting.kind.removesuffix(' or null')}")
    hint = _hint(setting, node)
    help = f"`{setting.name}` takes: {setting.allowed}{f'; {hint}' if hint else ''}"
    return Finding("MT023", node.place, f"`{spot.key}` must be {kind}, not {_shown(node)}", help)


def _example(spot: Spot) -> str:
    """An entry as a list or `data.test` may hold it."""
    if is_section(spot.annotation):
        return "{name: cross_entropy, until_step: 10000}"
    return "{format: text, src: train.en, tgt: train.de}"


def _hint(setting: Setting, node: Node) -> str:
    """How the value that was probably meant is written."""
    if setting.kind.startswith("text") and isinstance(node.value, bool | int | float):
        return "put it in quotes"
    if isinstance(node.value, str) and setting.kind.startswith(("integer", "number")):
        return "leave the quotes out" if not isinstance(scalar_of(node.value), str | bool | None) else ""
    if setting.kind.startswith("integer") and isinstance(node.value, float) and node.value.is_integer():
        return f"write `{int(node.value)}`" if abs(node.value) < 1e18 else ""
    if setting.kind == "true or false" and isinstance(node.value, str):
        truth = {"yes": "true", "on": "true", "no": "false", "off": "false"}.get(node.value.lower())
        return f"write `{truth}`" if truth else ""
    return ""


def _refused_value(spot: Spot, error: ErrorDetails) -> Finding:
    """A value of the right type that is out of bounds, not finite, empty, or not among the choices."""
    node, setting = spot.node, spot.setting
    if error["loc"][-1] == "[key]":
        message = f"a test set cannot be called `{_short(spot.path[-1])}`"
        help = "its name becomes that of a file: letters, digits, `_`, `.` and `-`, a letter or digit first"
        return Finding("MT024", _head(spot), message, help)
    place = node.place if node else _head(spot)
    if setting is None:
        message = f"`{spot.key}` is refused: {error['msg'].lower()}"
        return Finding("MT024", place, message, "docs/configuration.md lists what each key takes")
    message = f"`{spot.key}` cannot be {_bare(node) if node else 'this'}"
    if setting.choices:
        choice = node.value if node and isinstance(node.value, str) else ""
        return Finding("MT024", place, message, suggest_choice(choice, setting.choices))
    return Finding("MT024", place, message, f"`{setting.name}` takes: {setting.allowed}")


def _head(spot: Spot) -> Place:
    """The key of the innermost mapping that stands in the file; the whole file at the top."""
    innermost = spot.node or spot.holder
    if innermost is spot.nodes[0]:
        return Place(innermost.place.source)
    return innermost.key_place or innermost.place.wider(1)


def _shown(node: Node) -> str:
    """A value with its type, as in "the text `ten`"."""
    value = node.value
    if value is None:
        return "empty (null)"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, str):
        return f"the text `{_short(value)}`"
    if isinstance(value, int | float):
        return str(value)
    return "a list" if isinstance(value, list) else "a mapping"


def _short(text: str) -> str:
    return printable(text if len(text) <= 40 else f"{text[:40]}…")


def _bare(node: Node) -> str:
    """A value as it was written."""
    if isinstance(node.value, str):
        return f"`{_short(node.value)}`" if node.value else "empty"
    return _shown(node)
