"""The nearest key: for typos of every key, and for the names that other toolkits use."""

import random
from collections.abc import Iterator

import pytest

from mt_trainer.config.schema import TrainConfig
from mt_trainer.config.section import Section
from mt_trainer.config.settings import groups, settings_of, variants
from mt_trainer.config.suggestions import OTHER_NAMES, edit_distance, find_setting, nearest, suggest_choice, suggest_key

PEAK_LR = "the closest setting is `optim.schedule.peak_lr` (number, x > 0, default 0.0005)"
SMOOTHING_KEYS = "`name`, `epsilon`, `convention`, `prior`, `prior_temperature`, `z_loss`"
MAX_STEPS = "the closest setting is `max_steps` (integer or null, x >= 1, in steps, default 100000)"
LETTERS = "abcdefghijklmnopqrstuvwxyz_0123456789"


@pytest.mark.parametrize(
    ("a", "b", "distance"),
    [("", "", 0), ("abc", "abc", 0), ("abc", "abd", 1), ("abc", "ab", 1), ("abc", "bac", 1), ("kitten", "sitting", 3),
     ("", "abc", 3), ("abc", "cba", 2)],
)  # fmt: skip
def test_edit_distance(a: str, b: str, distance: int) -> None:
    assert edit_distance(a, b) == edit_distance(b, a) == distance


def test_case_and_hyphens_do_not_count() -> None:
    assert nearest("Max-Steps", ["max_steps", "max_stops"]) == ["max_steps"]


def test_nothing_is_near_to_noise() -> None:
    assert nearest("zzzzzzzz", ["max_steps"]) == []
    assert nearest("x", []) == []


def edits(word: str) -> Iterator[str]:
    """Every word that is one edit away: deletions, swaps of neighbours, substitutions, insertions."""
    for i in range(len(word)):
        yield word[:i] + word[i + 1 :]
        yield word[:i] + word[i + 1 : i + 2] + word[i] + word[i + 2 :]
        yield from (word[:i] + letter + word[i + 1 :] for letter in LETTERS)
    for i in range(len(word) + 1):
        yield from (word[:i] + letter + word[i:] for letter in LETTERS)


def siblings_of(section: type[Section], path: str) -> dict[str, type[Section]]:
    return {g.variant: g.section for g in groups() if g.path == path and g.variant is not None and len(g.path) > 0}


def test_one_edit_away_from_any_key_the_key_is_suggested() -> None:
    """Over all keys of all sections and variants, a seeded sample of their typos, nothing else in the section."""
    draw = random.Random(0)
    right, asked, missed = 0, 0, []
    for group in groups():
        names = settings_of(group.section)
        siblings = siblings_of(group.section, group.path)
        for name in names:
            typos = sorted({typo for typo in edits(name) if typo and typo not in names})
            for typo in draw.sample(typos, min(12, len(typos))):
                help = suggest_key(typo, group.path, group.section, [], siblings) or ""
                first = help.partition(" and ")[0]
                is_right = f"the closest setting is `{name}`" in help or f"settings are `{name}`" in first
                right, asked = right + is_right, asked + 1
                if not is_right:
                    missed.append((typo, name, help))
    assert asked > 1000
    assert right / asked >= 0.95, missed


@pytest.mark.parametrize(("name", "key"), sorted(OTHER_NAMES.items()))
def test_every_foreign_name_leads_to_a_key_of_ours(name: str, key: str) -> None:
    assert find_setting(key) is not None
    help = suggest_key(name, "", TrainConfig, [], {}) or ""
    assert f"`{key}`" in help


@pytest.mark.parametrize(
    ("name", "path", "help"),
    [
        ("label_smoothing", "training",
         "the closest setting is `objective.epsilon` (number or schedule, 0 <= x < 1, default 0.1)"),
        ("label_smoothin", "objective",
         "the closest setting is `epsilon` (number or schedule, 0 <= x < 1, default 0.1)"),
        ("lr", "optim", PEAK_LR),
        ("learning_rate", "training", PEAK_LR),
        ("warmup", "optim.schedule", "the closest setting is `warmup_steps` (integer, x >= 1, in steps, default 4000)"),
        ("batch_size", "training", "the closest setting is `batch_tokens` (integer, x >= 1, in tokens, default 8192)"),
        ("hidden_size", "model", "the closest setting is `d_model` (integer, 2 <= x <= 65536, default 512)"),
        ("max_updates", "training", MAX_STEPS),
        ("beam_size", "evaluation", "the closest setting is `decoding.beam_size` (integer, 1 <= x <= 1000, default 5)"),
        ("src_lang", "", "the closest setting is `data.src_lang` (text, not empty, required)"),
        ("zzzzzz", "objective", f"valid keys here: {SMOOTHING_KEYS}"),
        ("gamma", "objective",
         f"`gamma` belongs to `tailr`, `focal` and `anti_focal`; valid keys here: {SMOOTHING_KEYS}"),
        ("alpha", "objective",
         "`alpha` belongs to `weighted_label_smoothing`, `anti_focal`, `unlikelihood` and 1 more; "
         f"valid keys here: {SMOOTHING_KEYS}"),
        ("max_step", "training", MAX_STEPS),
    ],
)  # fmt: skip
def test_suggestions_say_where_a_key_lives(name: str, path: str, help: str) -> None:
    group = next(each for each in groups() if each.path == path)
    assert suggest_key(name, path, group.section, [], siblings_of(group.section, path)) == help


def test_a_key_that_is_there_already_is_not_what_was_meant() -> None:
    section = next(each.section for each in groups() if each.path == "optim")
    assert suggest_key("beta3", "optim", section, ["beta1", "beta3"], {}) == (
        "the closest setting is `beta2` (number, 0 <= x < 1, default 0.98)"
    )


def test_choices_are_listed_with_the_nearest_first() -> None:
    assert suggest_choice("cosin", ["linear", "cosine"]) == "the closest is `cosine`; allowed: `linear`, `cosine`"
    assert suggest_choice("tiny", ["transformer_tiny", "transformer_base"]).startswith(
        "the closest is `transformer_tiny`"
    )
    assert suggest_choice("zzz", ["linear", "cosine"]) == "allowed: `linear`, `cosine`"


def test_variants_of_the_objective_are_known_as_siblings() -> None:
    assert set(siblings_of(TrainConfig, "objective")) == set(variants(TrainConfig.model_fields["objective"].annotation))
