"""The list of all settings, read off the section classes: what messages, suggestions and the reference are made of."""

import types
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from mt_trainer.config.objective import NumberSchedule
from mt_trainer.config.schema import TrainConfig
from mt_trainer.config.section import Bounds, Section


@dataclass(frozen=True)
class Setting:
    """One key of one section class."""

    name: str
    kind: str
    choices: tuple[str, ...]
    bounds: str
    unit: str | None
    default: str | None
    description: str

    @property
    def is_required(self) -> bool:
        """Whether there is no default."""
        return self.default is None

    @property
    def allowed(self) -> str:
        """What may be written, as in `number, 0 <= x < 1, default 0.1`."""
        if self.kind == "section":
            return "section"
        unit = f"in {self.unit}" if self.unit else ""
        default = "required" if self.default is None else f"default {self.default}"
        return ", ".join(part for part in (self.kind, self.bounds, unit, default) if part)


@dataclass(frozen=True)
class Group:
    """The settings of one section class at one place: `optim.schedule` as `cosine`, say."""

    path: str
    section: type[Section]
    variant: str | None
    is_default_variant: bool
    settings: tuple[Setting, ...]

    def key(self, setting: Setting) -> str:
        """The dotted name of one of its settings."""
        return f"{self.path}.{setting.name}" if self.path else setting.name


def bare(annotation: Any) -> Any:
    """An annotation without `Annotated` and `| None`."""
    if get_origin(annotation) is Annotated:
        return bare(get_args(annotation)[0])
    members = [member for member in get_args(annotation) if member is not types.NoneType]
    if is_union(annotation) and len(members) == 1:
        return bare(members[0])
    return annotation


def is_union(annotation: Any) -> bool:
    """Whether an annotation is `A | B`."""
    return get_origin(annotation) in (Union, types.UnionType)


def is_section(annotation: Any) -> bool:
    """Whether an annotation is a section class."""
    return isinstance(annotation, type) and issubclass(annotation, Section)


def forms_of_number(annotation: Any) -> dict[str, Any]:
    """The two forms of a number that may follow a schedule, `number` and `schedule`; empty for anything else."""
    members = [bare(member) for member in get_args(annotation)] if is_union(annotation) else []
    schedules = [member for member in members if is_section(member) and issubclass(member, NumberSchedule)]
    return {"number": float, "schedule": schedules[0]} if schedules else {}


def numbers_of(section: Section) -> dict[str, float | NumberSchedule | None]:
    """The numbers of a section that may follow a schedule, as they are set; None where it says `null`."""
    fields = type(section).model_fields.items()
    return {name: getattr(section, name) for name, info in fields if forms_of_number(bare(info.annotation))}


def tag_of(section: type[Section]) -> str | None:
    """The key that tells a variant from its siblings, such as `name`; None for a section that is no variant."""
    for name, info in section.model_fields.items():
        if get_origin(info.annotation) is Literal and len(get_args(info.annotation)) == 1 and info.is_required():
            return name
    return None


def variants(annotation: Any) -> dict[str, type[Section]]:
    """The members of a tagged union by their tags; empty for anything else."""
    annotation = bare(annotation)
    if not is_union(annotation) or forms_of_number(annotation):
        return {}
    found: dict[str, type[Section]] = {}
    for member in get_args(annotation):
        tag = tag_of(member)
        assert tag is not None, f"{member} has no tag"
        found[get_args(member.model_fields[tag].annotation)[0]] = member
    return found


@cache
def settings_of(section: type[Section]) -> dict[str, Setting]:
    """All keys of a section class by name."""
    return {name: _describe(name, info) for name, info in section.model_fields.items()}


@cache
def groups() -> tuple[Group, ...]:
    """Every section class at every place, from the top, the default variant of a union first."""
    return tuple(_walk("", TrainConfig, None, True, frozenset()))


@cache
def default_tags() -> dict[tuple[str, ...], tuple[str, str]]:
    """For each union that has a default, by its path, its tag and the default's: (`name`, `label_smoothing`)."""
    found = {}
    for group in groups():
        tag = tag_of(group.section)
        if tag is not None and group.variant is not None and group.is_default_variant:
            found[tuple(group.path.split("."))] = (tag, group.variant)
    return found


def _walk(
    path: str, section: type[Section], variant: str | None, is_default: bool, above: frozenset[type[Section]]
) -> Iterator[Group]:
    """A section and those in it; not the variants `above` it once more, as in the stages of an objective."""
    yield Group(path, section, variant, is_default, tuple(settings_of(section).values()))
    for name, info in section.model_fields.items():
        yield from _walk_field(f"{path}.{name}".lstrip("."), info.annotation, info.default, above)


def _walk_field(path: str, annotation: Any, default: Any, above: frozenset[type[Section]]) -> Iterator[Group]:
    annotation = bare(annotation)
    if is_section(annotation):
        yield from _walk(path, annotation, None, True, above)
    elif get_origin(annotation) is dict:
        yield from _walk_field(f"{path}.<name>", get_args(annotation)[1], None, above)
    elif get_origin(annotation) is tuple:
        yield from _walk_field(path, get_args(annotation)[0], None, above)
    else:
        members = {name: member for name, member in variants(annotation).items() if member not in above}
        above = above | frozenset(members.values())
        for variant, section in sorted(members.items(), key=lambda item: type(default) is not item[1]):
            yield from _walk(path, section, variant, type(default) is section, above)


def _describe(name: str, info: FieldInfo) -> Setting:
    annotation = bare(info.annotation)
    choices = tuple(str(choice) for choice in get_args(annotation)) if get_origin(annotation) is Literal else ()
    kind = _kind(annotation, choices)
    if any(member is types.NoneType for member in get_args(info.annotation)):
        kind += " or null"
    extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
    unit = extra.get("unit")
    default = None if info.default is PydanticUndefined else shown_value(info.default)
    return Setting(name, kind, choices, _bounds(info), str(unit) if unit else None, default, info.description or "")


def _kind(annotation: Any, choices: tuple[str, ...]) -> str:
    simple = {int: "integer", float: "number", str: "text", bool: "true or false"}
    if annotation in simple:
        return simple[annotation]
    if choices:
        return ("one of " if len(choices) > 1 else "") + ", ".join(f"`{choice}`" for choice in choices)
    if is_section(annotation):
        return "section"
    if forms_of_number(annotation):
        return "number or schedule"
    if get_origin(annotation) is dict:
        return "mapping of names to sources"
    if get_origin(annotation) is tuple:
        return "list of sections" if is_section(get_args(annotation)[0]) else "one source or a list of sources"
    members = variants(annotation)
    tag = tag_of(next(iter(members.values())))
    return f"mapping with `{tag}` one of " + ", ".join(f"`{member}`" for member in members)


def _bounds(info: FieldInfo) -> str:
    metadata = info.metadata
    annotation = bare(info.annotation)
    if forms_of_number(annotation):
        _, *others = get_args(get_args(annotation)[0])
        [field] = [entry for entry in others if isinstance(entry, FieldInfo)]
        metadata = [*field.metadata, *others]
    for entry in metadata:
        if isinstance(entry, Bounds):
            return entry.text
    limits = {
        kind: getattr(entry, kind)
        for entry in metadata
        for kind in ("gt", "ge", "lt", "le", "min_length")
        if getattr(entry, kind, None) is not None
    }
    if "min_length" in limits:
        return "not empty"
    low = next(
        (f"{shown_value(limits[kind])} {sign} " for kind, sign in (("gt", "<"), ("ge", "<=")) if kind in limits), ""
    )
    high = next(
        (f" {sign} {shown_value(limits[kind])}" for kind, sign in (("lt", "<"), ("le", "<=")) if kind in limits), ""
    )
    if low and not high:
        return f"x {'>' if 'gt' in limits else '>='} {low.split()[0]}"
    return f"{low}x{high}" if low or high else ""


def shown_value(value: Any) -> str:
    """A default or bound as YAML would have it: `null`, `true`, `0.1`; a section by its tag."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Section):
        tag = tag_of(type(value))
        return f"`{getattr(value, tag)}`" if tag else "see its keys"
    if value == {}:
        return "none"
    if isinstance(value, float):
        return f"{value:g}"
    return str(value)
