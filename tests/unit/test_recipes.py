"""The shipped recipes: each loads, says what it is for, and states nothing that is the default anyway."""

import copy
import shutil
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
import yaml

from mt_trainer.config import load_config
from mt_trainer.errors import ConfigError

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
RECIPES = sorted(path.name for path in CONFIGS.glob("*.yaml"))
KeyPath = tuple[str, ...]


def settings_of(path: Path) -> dict[str, Any]:
    settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert isinstance(settings, dict)
    return settings


def keys_below(settings: dict[str, Any], prefix: KeyPath = ()) -> Iterator[KeyPath]:
    """Every key of a nested mapping as a path, sections included."""
    for key, value in settings.items():
        yield (*prefix, key)
        if isinstance(value, dict):
            yield from keys_below(value, (*prefix, key))


def without(settings: dict[str, Any], key_path: KeyPath) -> dict[str, Any]:
    rest = copy.deepcopy(settings)
    section = rest
    for key in key_path[:-1]:
        section = section[key]
    del section[key_path[-1]]
    return rest


def restated_keys(path: Path, scratch: Path) -> list[str]:
    """Keys that can be left out of a recipe without changing what it resolves to."""
    shutil.copytree(path.parent, scratch, dirs_exist_ok=True)
    settings = settings_of(path)
    complete = load_config(path)
    restated = []
    for key_path in keys_below(settings):
        shortened = scratch / path.name
        shortened.write_text(yaml.safe_dump(without(settings, key_path)), encoding="utf-8")
        try:
            if load_config(shortened) == complete:
                restated.append(".".join(key_path))
        except ConfigError:
            continue  # the key is required
    return restated


def test_the_recipes_that_the_readme_names_are_there() -> None:
    assert set(RECIPES) >= {"demo.yaml", "multi30k.yaml", "multi30k_tailr.yaml", "iwslt14.yaml", "wmt14.yaml"}


@pytest.mark.parametrize("name", RECIPES)
def test_recipe_loads_and_states_only_what_differs(name: str, tmp_path: Path) -> None:
    assert restated_keys(CONFIGS / name, tmp_path) == []


def test_a_restated_default_would_be_found(tmp_path: Path) -> None:
    recipe = tmp_path / "recipes" / "restating.yaml"
    shutil.copytree(CONFIGS, recipe.parent)
    settings = settings_of(CONFIGS / "wmt14.yaml")
    settings["model"]["preset"] = "transformer_base"
    settings["optim"]["beta2"] = 0.98
    recipe.write_text(yaml.safe_dump(settings), encoding="utf-8")
    assert restated_keys(recipe, tmp_path / "scratch") == ["model.preset", "optim.beta2"]


@pytest.mark.parametrize("name", RECIPES)
def test_header_names_data_expected_score_and_command(name: str) -> None:
    lines = (CONFIGS / name).read_text(encoding="utf-8").splitlines()
    header = list(takewhile(lambda line: line.startswith("#"), lines))
    for label in ("# Data ", "# Expected ", "# Run "):
        assert any(line.startswith(label) for line in header), label
    assert f"mt-train --config {name}" in "\n".join(header)


@pytest.mark.parametrize("name", ["multi30k.yaml", "wmt14.yaml"])
def test_config_for_local_files_in_the_header_works(name: str, tmp_path: Path) -> None:
    lines = (CONFIGS / name).read_text(encoding="utf-8").splitlines()
    example = takewhile(lambda line: line.startswith("#   "), lines[lines.index(f"#   extends: {name}") :])
    own = tmp_path / "own.yaml"
    own.write_text("\n".join(line.removeprefix("#   ") for line in example), encoding="utf-8")
    data = load_config(own).data
    sources = [*data.train, data.dev, *data.test.values()]
    assert {source.format for source in sources} == {"text"}
    shipped = load_config(CONFIGS / name)
    assert data.test.keys() == shipped.data.test.keys()
    assert load_config(own).model == shipped.model


def test_local_files_given_with_set() -> None:
    source = "{format: text, src: val.en.gz, tgt: val.de.gz}"
    dev = load_config("multi30k.yaml", [f"data.dev={source}"]).data.dev
    assert dev.model_dump() == {"format": "text", "src": "val.en.gz", "tgt": "val.de.gz"}
    assert load_config("iwslt14.yaml", ["data.dev.src=own.de"]).data.dev.model_dump()["src"] == "own.de"
    assert load_config("wmt14.yaml", ["data.dev.path=folder"]).data.dev.model_dump()["path"] == "folder"


@pytest.mark.parametrize("name", RECIPES)
def test_hub_data_sets_are_pinned_to_a_commit(name: str) -> None:
    data = load_config(CONFIGS / name).data
    for source in (*data.train, data.dev, *data.test.values()):
        if source.format == "huggingface":
            assert source.revision is not None
            assert len(source.revision) == 40, f"{source.path}: the hub takes only whole commit hashes"


@pytest.mark.parametrize("name", RECIPES)
def test_averaged_checkpoints_are_kept_long_enough(name: str) -> None:
    training = load_config(CONFIGS / name).training
    assert training.keep_checkpoints >= training.average_checkpoints


def test_tailr_recipe_differs_from_multi30k_in_the_objective_only() -> None:
    plain = load_config(CONFIGS / "multi30k.yaml").model_dump()
    tailr = load_config(CONFIGS / "multi30k_tailr.yaml").model_dump()
    objective = tailr.pop("objective")
    assert objective["weight_from"] == "train"
    assert objective["z_loss"] == 0
    numbers = {name: objective[name] for name in ("gamma", "min_weight", "epsilon")}
    assert numbers == {"gamma": 0.1, "min_weight": 0.3, "epsilon": 0.1}
    assert plain.pop("objective")["name"] == "label_smoothing"
    assert tailr == plain | {"runtime": tailr["runtime"]}
