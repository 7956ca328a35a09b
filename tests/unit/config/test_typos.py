"""One slip of the finger in any key, through `load_config`: the message names the key that was meant.

All keys of all sections and variants count, those of sources, stages and schedules of numbers too. Each edit is a
deletion, insertion, substitution or swap of neighbours; what gives another valid key is no typo.
"""

import json
import random
import string
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
from annotated_types import Ge, Gt

from mt_trainer.config import load_config
from mt_trainer.config.section import Section
from mt_trainer.config.settings import bare, forms_of_number, groups, is_section, settings_of, tag_of, variants
from mt_trainer.errors import ConfigError

LETTERS = string.ascii_lowercase + string.digits + "_"
GOOD_ENOUGH = 0.95

SOURCE = {"format": "text", "src": "a", "tgt": "b"}
DATA = {"src_lang": "en", "tgt_lang": "de", "train": SOURCE, "dev": SOURCE}
Place = tuple[tuple[str, ...], type[Section], str | None]


def places() -> Iterator[Place]:
    """Where keys may stand: the path, the class of the section there, and which variant it is."""
    for group in groups():
        path = tuple(group.path.replace("<name>", "news").split(".")) if group.path else ()
        yield path, group.section, group.variant
        for name, info in group.section.model_fields.items():
            if forms := forms_of_number(info.annotation):
                yield (*path, name, group.variant or ""), forms["schedule"], None


def typos(word: str) -> set[str]:
    """Every word that is one edit away."""
    cuts = [(word[:i], word[i:]) for i in range(len(word) + 1)]
    found = {a + b[1:] for a, b in cuts if b} | {a + b[1] + b[0] + b[2:] for a, b in cuts if len(b) > 1}
    for letter in LETTERS:
        found |= {a + letter + b for a, b in cuts} | {a + letter + b[1:] for a, b in cuts if b}
    return found - {word, ""}


def value_of(annotation: Any, info: Any) -> Any:
    """Some value for a required key."""
    if members := variants(annotation):
        annotation = next(iter(members.values()))
    if is_section(annotation):
        return with_required(annotation, None)
    if get_origin(annotation) is Literal:
        return get_args(annotation)[0]
    if get_origin(annotation) is tuple:
        return [value_of(bare(get_args(annotation)[0]), info)]
    low = [each for each in info.metadata if isinstance(each, Ge | Gt)]
    return {int: 3, float: 0.5, bool: True}.get(annotation, "x" if not low else 1)


def with_required(section: type[Section], left_out: str | None) -> dict[str, Any]:
    """A section of that class with all keys that it must have, but one."""
    fields = section.model_fields.items()
    return {name: value_of(bare(i.annotation), i) for name, i in fields if i.is_required() and name != left_out}


def config_with(path: tuple[str, ...], section: dict[str, Any], variant: str | None) -> dict[str, Any]:
    """A config that has this section at that place."""
    config: dict[str, Any] = {"data": dict(DATA)}
    if not path:
        return {**config, **section}
    if path == ("data",):
        return {"data": section}
    if path[:2] == ("objective", "stages"):
        stage = {"until_step": 9, **({"objective": section} if path[2:] else section)}
        return {**config, "objective": {"name": "stages", "stages": [stage, {"objective": {"name": "brier"}}]}}
    *above, last = path
    holder = config
    for part in above:
        holder = holder.setdefault(part, {})
    holder[last] = section
    return config


def suggestion(folder: Path, place: Place, name: str, typo: str) -> str:
    """The help line that stands where the misspelt key is."""
    path, section, variant = place
    entries = {**with_required(section, name), typo: 1}
    if variant is not None and (tag := tag_of(section)) is not None and tag != name:
        entries[tag] = variant
    if len(path) > 1 and section not in {group.section for group in groups()}:  # the schedule of a number
        *path_above, key, holder_variant = path
        holder = next(g for g in groups() if g.path == ".".join(path_above) and (g.variant or "") == holder_variant)
        tag = tag_of(holder.section)
        entries = {**with_required(holder.section, key), key: entries} | ({tag: holder.variant} if tag else {})
        path = tuple(path_above)
    file = folder / "typo.yaml"
    file.write_text(json.dumps(config_with(path, entries, variant)), encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_config(file)
    problems = [each for each in caught.value.problems if f"`{typo}`" in each.message and each.code == "MT021"]
    return str(problems[0].help) if problems else f"no MT021: {caught.value.problems[0].message}"


def rate(folder: Path, number: int) -> tuple[float, int, list[tuple[str, str, str]]]:
    """The share of typos that lead to the key that was meant, how many were tried, and the others."""
    draw, right, asked, missed = random.Random(5), 0, 0, []
    for place in places():
        path, section, _ = place
        names = settings_of(section)
        for name in names:
            possible = sorted(typos(name) - names.keys())
            for typo in draw.sample(possible, min(number, len(possible))):
                help = suggestion(folder, place, name, typo)
                asked += 1
                if help.startswith((f"the closest setting is `{name}`", f"the closest settings are `{name}`")):
                    right += 1
                else:
                    missed.append((".".join((*path, name)), typo, help))
    return right / asked, asked, missed


def test_typos_lead_to_the_key_that_was_meant(tmp_path: Path) -> None:
    share, asked, missed = rate(tmp_path, 2)
    print(f"{share:.1%} of {asked:,} typos")
    assert asked > 500
    assert share >= GOOD_ENOUGH, missed


@pytest.mark.slow
def test_many_typos_lead_to_the_key_that_was_meant(tmp_path: Path) -> None:
    share, asked, missed = rate(tmp_path, 25)
    print(f"{share:.2%} of {asked:,} typos")
    assert asked > 5000
    assert share >= GOOD_ENOUGH, missed
