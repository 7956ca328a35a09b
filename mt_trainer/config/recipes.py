"""The recipes that ship with the package: `configs/` of the repository, `mt_trainer/recipes/` in a wheel."""

from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]


def recipe_folder() -> Path | None:
    """Where the shipped recipes are; None if there are none."""
    for folder in (PACKAGE / "recipes", PACKAGE.parent / "configs"):
        if folder.is_dir():
            return folder
    return None


def recipe_names() -> list[str]:
    """The shipped recipes, sorted, as `--config` takes them."""
    folder = recipe_folder()
    return sorted(path.name for path in folder.glob("*.yaml")) if folder else []


def find_recipe(name: str) -> Path | None:
    """The shipped recipe called `name`, with or without `.yaml`; None if there is none."""
    folder = recipe_folder()
    file_name = name if name.endswith(".yaml") else f"{name}.yaml"
    return folder / file_name if folder and file_name in recipe_names() else None
