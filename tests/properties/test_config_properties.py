"""Properties of the config loader: what is written loads back equal, and nothing but its own errors escapes."""

import string
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest
from annotated_types import Ge, Gt, Le, Lt
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy
from pydantic import AfterValidator
from pydantic.fields import FieldInfo

from mt_trainer.config import TrainConfig, load_config
from mt_trainer.config.consistency import contradictions
from mt_trainer.config.resolved import config_digest, differences, to_yaml
from mt_trainer.config.section import Section
from mt_trainer.config.settings import bare, forms_of_number, groups, is_section, variants
from mt_trainer.errors import ConfigError, MtError

SLOW_TO_DRAW = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]
FEW = settings(suppress_health_check=SLOW_TO_DRAW, deadline=None, max_examples=25)
MANY = settings(suppress_health_check=SLOW_TO_DRAW, deadline=None, max_examples=100)
TEXT = st.text(
    st.characters(exclude_categories=["Cs"]) | st.sampled_from("\x85\u2028\n\t\0\ufeff:#'\"-019e. "),
    min_size=1,
    max_size=12,
)
NAME = st.text(string.ascii_letters + string.digits, min_size=1, max_size=8)


def values_of(info: FieldInfo) -> SearchStrategy[Any]:
    """Valid values of a setting, from its type and bounds."""
    found = values_of_type(bare(info.annotation), info)
    return st.none() | found if type(None) in get_args(info.annotation) else found


def values_of_type(annotation: Any, info: FieldInfo) -> SearchStrategy[Any]:
    low: Any = next((each.ge for each in info.metadata if isinstance(each, Ge)), None)
    above: Any = next((each.gt for each in info.metadata if isinstance(each, Gt)), None)
    high: Any = next((each.le for each in info.metadata if isinstance(each, Le)), None)
    below: Any = next((each.lt for each in info.metadata if isinstance(each, Lt)), None)
    if annotation is bool:
        return st.booleans()
    if annotation is int:
        return st.integers(low, high if high is not None else below - 1 if below is not None else 2**40)
    if forms := forms_of_number(annotation):
        [number] = [each for each in get_args(get_args(annotation)[0]) if isinstance(each, FieldInfo)]
        return values_of_type(float, number) | sections(forms["schedule"])
    if any(isinstance(each, AfterValidator) for each in info.metadata):  # the one interval with a gap
        return st.just(0.0) | st.floats(1, 1e9)
    if annotation is float:
        smallest, largest = low if above is None else above, high if below is None else below
        return st.floats(
            float(smallest), None if largest is None else float(largest), exclude_min=above is not None,
            exclude_max=below is not None, allow_nan=False, allow_infinity=False,
        )  # fmt: skip
    if annotation is str:
        return TEXT
    if get_origin(annotation) is tuple:
        return st.lists(values_of_type(bare(get_args(annotation)[0]), info), min_size=1, max_size=3).map(tuple)
    if get_origin(annotation) is dict:
        return st.dictionaries(NAME, values_of_type(bare(get_args(annotation)[1]), FieldInfo()), max_size=3)
    if is_section(annotation):
        return sections(annotation)
    if members := variants(annotation):
        return st.one_of([sections(member) for member in members.values()])
    return st.sampled_from(get_args(annotation))


@st.composite
def sections(draw: DrawFn, section: type[Section]) -> Section:
    """A valid section: each key that has a default is given or left out."""
    given = {}
    for name, info in section.model_fields.items():
        if info.is_required() or draw(st.booleans()):
            given[name] = draw(values_of(info))
    return section(**given)


CONFIGS = sections(TrainConfig)


@FEW
@given(config=CONFIGS)
def test_a_resolved_config_loads_back_equal(tmp_path: Path, config: TrainConfig) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(to_yaml(config), encoding="utf-8")
    if contradicting := contradictions(config):
        with pytest.raises(ConfigError) as caught:
            load_config(path)
        assert [problem.code for problem in caught.value.problems] == ["MT026"] * len(contradicting)
        return
    loaded = load_config(path)
    assert loaded == config
    assert config_digest(loaded) == config_digest(config)
    assert differences(loaded, config) == []


@FEW
@given(a=CONFIGS, b=CONFIGS)
def test_two_configs_are_equal_if_nothing_differs(a: TrainConfig, b: TrainConfig) -> None:
    assert (differences(a, b) == []) == (a == b)
    mirrored = {key: (y, x) for key, x, y in differences(b, a)}
    assert {key: (x, y) for key, x, y in differences(a, b)} == mirrored


def only_own_errors(path: Path, *overrides: str) -> None:
    """Load; a refusal must be one of the project's errors, be printable, and have a place for each problem."""
    try:
        config = load_config(path, overrides)
    except MtError as error:
        error.render().encode("utf-8")
        for problem in error.problems:
            assert problem.where
            assert "\n" not in problem.where + problem.message
    else:
        assert isinstance(config, TrainConfig)


@MANY
@given(data=st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_end_in_a_config_or_an_error_of_ours(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(data)
    only_own_errors(path)


YAML_SOUP = st.text(st.sampled_from(list(" \n\t:-,[]{}&*!|>'\"%@`#?~01e.ab\\x\u2028\x85\ufeff")), max_size=60)


@MANY
@given(soup=YAML_SOUP)
def test_signs_of_yaml_in_any_order_are_read_or_refused(tmp_path: Path, soup: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("data:\n  src_lang: " + soup, encoding="utf-8")
    only_own_errors(path)


KEYS = st.sampled_from(sorted({setting.name for group in groups() for setting in group.settings})) | NAME
SCALARS = st.sampled_from(
    ["null", "true", "no", "5", "-1", "0.5", "1e400", ".nan", ".inf", "text", "tsv", "huggingface", "phrasebook",
     "tailr", "wsd", "label_smoothing", "transformer_tiny", "''", "'5'", '"\\ud800"', "9" * 60, "1" + "0" * 38, "auto"]
)  # fmt: skip
FLOW = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]")
        | st.lists(st.tuples(KEYS, inner), max_size=4).map(
            lambda entries: f"{{{', '.join(f'{k}: {v}' for k, v in entries)}}}"
        )
    ),
    max_leaves=12,
)
SECTION_NAMES = st.sampled_from([*TrainConfig.model_fields, "extends", "dta"])


@MANY
@given(entries=st.lists(st.tuples(SECTION_NAMES, FLOW), max_size=6))
def test_any_tree_of_known_and_unknown_keys_is_read_or_refused(tmp_path: Path, entries: list[tuple[str, str]]) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("".join(f"{key}: {value}\n" for key, value in entries), encoding="utf-8")
    only_own_errors(path)


REQUIRED = (
    "data: {src_lang: en, tgt_lang: de, train: {format: text, src: a, tgt: b}, dev: {format: phrasebook, split: dev}}\n"
)


@MANY
@given(
    parts=st.lists(SECTION_NAMES | KEYS | st.sampled_from(["0", "1", "99999999999999999999", "²", ""]), max_size=5),
    value=FLOW | st.text(max_size=20) | YAML_SOUP,
)
def test_any_override_is_taken_or_refused(tmp_path: Path, parts: list[str], value: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(REQUIRED, encoding="utf-8")
    only_own_errors(path, ".".join(parts) + "=" + value)


@FEW
@given(config=CONFIGS, key=KEYS)
def test_an_unknown_key_in_any_section_is_located_in_its_line(tmp_path: Path, config: TrainConfig, key: str) -> None:
    path = tmp_path / "config.yaml"
    lines = to_yaml(config).splitlines()
    line = lines.index("runtime:") + 1
    path.write_text("\n".join([*lines[:line], f"  {key}zzz: 1", *lines[line:]]), encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    found = [problem.where for problem in caught.value.problems if problem.code == "MT021"]
    assert found == [f"{path}:{line + 1}:3"]
