"""Valid configs with random edits: read, or refused by errors of ours that all have a place and a remedy."""

import random
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mt_trainer.config import TrainConfig, load_config
from mt_trainer.config.recipes import recipe_folder
from mt_trainer.errors import ConfigError

RECIPES = sorted(path.read_bytes() for path in (recipe_folder() or Path()).glob("*.yaml"))
SCRAPS = [
    b"\n",
    b" ",
    b"  ",
    b"\t",
    b":",
    b": ",
    b"- ",
    b"#",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b"&a",
    b"*a",
    b"!!x ",
    b"'",
    b'"',
    b"|",
    b">",
    b"~",
    b"null",
    b"no",
    b"1e-4",
    b"010",
    b"12:30",
    b".nan",
    b".inf",
    b"-1",
    b"\xff",
    b"\xc3",
    b"\x00",
    b"\xe2\x80\xa8",
    b"\xef\xbb\xbf",
    b"?",
    b"%",
    b"---\n",
    b"<<",
    b"extends",
    b"name",
    b"9" * 50,
    b"true",
    b"\r",
    b"0x",
    b"data:\n",
]


def edited(text: bytes, seed: int, number: int) -> bytes:
    """Some edits in random places: deletions, doublings, swaps of lines, and scraps of YAML put in."""
    draw = random.Random(seed)
    for _ in range(number):
        start = draw.randrange(len(text) + 1)
        end = min(len(text), start + draw.choice([0, 1, 1, 2, 8, 40]))
        match draw.randrange(4):
            case 0:
                text = text[:start] + text[end:]
            case 1:
                text = text[:end] + text[start:]
            case 2:
                lines = text.split(b"\n")
                a, b = draw.randrange(len(lines)), draw.randrange(len(lines))
                lines[a], lines[b] = lines[b], lines[a]
                text = b"\n".join(lines)
            case _:
                text = text[:start] + draw.choice(SCRAPS) + text[end:]
    return text


def check(text: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "edited.yaml"
        path.write_bytes(text)
        try:
            assert isinstance(load_config(path), TrainConfig)
            return
        except ConfigError as error:
            refusal = error
    assert refusal.exit_code == 2
    refusal.render().encode("utf-8")
    for problem in refusal.problems:
        assert problem.where, problem
        assert problem.help, problem
        assert "\n" not in problem.where + problem.message + problem.help


KEYS = [b"training", b"max_steps", b"data", b"train", b"test", b"objective", b"stages", b"optim", b"schedule", b"model"]
EDITS = {"recipe": st.sampled_from(RECIPES), "seed": st.integers(0, 2**32), "number": st.integers(1, 6)}


def test_the_recipes_are_there() -> None:
    assert len(RECIPES) >= 4


@settings(max_examples=150, deadline=None)
@given(**EDITS)
def test_an_edited_recipe_is_read_or_refused(recipe: bytes, seed: int, number: int) -> None:
    check(edited(recipe, seed, number))


@pytest.mark.slow
@settings(max_examples=5000, deadline=None)
@given(**EDITS)
def test_many_edited_recipes_are_read_or_refused(recipe: bytes, seed: int, number: int) -> None:
    check(edited(recipe, seed, number))


BASE = """\
data:
  src_lang: en
  tgt_lang: de
  train: {format: text, src: a, tgt: b}
  dev: {format: text, src: c, tgt: d}
"""
OVERRIDES = {"setting": st.lists(st.sampled_from([*SCRAPS, *KEYS, b".", b"=", b"0", b"1"]), max_size=12).map(b"".join)}


def check_override(setting: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "base.yaml"
        path.write_text(BASE)
        try:
            assert isinstance(load_config(path, [setting.decode("utf-8", "surrogateescape")]), TrainConfig)
            return
        except ConfigError as error:
            refusal = error
    refusal.render().encode("utf-8")
    assert all(problem.where and problem.help for problem in refusal.problems)


@settings(max_examples=150, deadline=None)
@given(**OVERRIDES)
def test_any_setting_of_the_command_line_is_taken_or_refused(setting: bytes) -> None:
    check_override(setting)


@pytest.mark.slow
@settings(max_examples=5000, deadline=None)
@given(**OVERRIDES)
def test_many_settings_of_the_command_line_are_taken_or_refused(setting: bytes) -> None:
    check_override(setting)
