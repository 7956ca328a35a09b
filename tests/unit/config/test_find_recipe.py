"""Recipes by name, wherever the command is run."""

from pathlib import Path

import pytest

from mt_trainer.config import load_config
from mt_trainer.config.recipes import find_recipe, recipe_names
from mt_trainer.errors import ConfigError


def test_a_recipe_is_found_with_and_without_its_ending() -> None:
    path = find_recipe("demo.yaml")
    assert path is not None
    assert path.is_file()
    assert find_recipe("demo") == path


@pytest.mark.parametrize("name", ["nothing", "configs/demo.yaml", "../demo", "schema.json", ""])
def test_nothing_else_is_a_recipe(name: str) -> None:
    assert find_recipe(name) is None


def test_a_recipe_loads_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_config("demo") == load_config(Path("demo.yaml"))


def test_a_file_goes_before_a_recipe_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, required: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("demo.yaml").write_text(required)
    assert load_config("demo.yaml").data.max_length == 128
    assert load_config("demo").data.max_length == 32


@pytest.mark.parametrize("path", ["nowhere.yaml", "a/b/demo.yaml", "", "x" * 5000, "a\0b"])
def test_a_missing_config_lists_the_recipes(path: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    [problem] = caught.value.problems
    assert problem.code == "MT001"
    assert problem.help is not None
    assert ", ".join(recipe_names()) in problem.help


def test_a_folder_is_no_config(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is a folder"):
        load_config(tmp_path)
