"""The README is true: its commands and snippets are run, its configs loaded, its outputs and trees compared.

Every fenced block has a language, and each is held to something: `sh` is run line by line (`SHORTENED` says how what
takes long or needs a network is cut), `yaml` is a config or part of one, `python` is run, or is an excerpt of a file
that it names, or is added to a copy of the package; `text` is output or a drawing.
"""

import gzip
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import tomllib
from itertools import product
from pathlib import Path
from typing import NamedTuple

import pytest

from mt_trainer.config import load_config

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

TINY = (
    "--set 'model={preset: transformer_tiny, num_encoder_layers: 1, num_decoder_layers: 1, d_model: 16, num_heads: 2}' "
    "--set tokenizer.vocab_size=300 --set data.max_length=64 --set training.batch_tokens=256 "
    "--set training.max_steps=12 --set decoding.strategy=greedy"
)

SHORTENED = {
    # start of the command: (what is put behind it, or before a lone --; why)
    "mt-train --config mine.yaml": (TINY, "trains for hours"),
    "torchrun ": (TINY, "trains for hours"),
    "mt-tokenizer train": ("--vocab-size 300", "the toy text does not support 8,000 pieces"),
    "mt-train --config multi30k": ("--print-config", "reads the hub"),
    "scripts/sweep_": ("--help", "trains many times; tests/system/test_scripts.py runs the sweeps"),
    "scripts/compare_objectives.py": ("--help", "trains many times; tests/system/test_experiments.py runs it"),
    "scripts/kill_test.sh": ("--help", "kills for half an hour; tests/system/test_kill.py runs it"),
    "make ": ("--dry-run", "installs, trains or tests for minutes; make shows what it would do"),
}

EXPECTED_STATUS = {"mt-train --config typo.yaml": 2}


class Block(NamedTuple):
    """A fenced block."""

    language: str
    text: str

    @property
    def file_name(self) -> str | None:
        """Of a config that is saved under a name, which its first line gives."""
        named = re.match(r"# (\S+\.yaml)\n", self.text)
        return named[1] if named else None

    def commands(self) -> list[str]:
        """One a line, unless the line goes on."""
        return self.text.replace("\\\n", "").splitlines()


BLOCKS = [Block(*found) for found in re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)]


def blocks(language: str) -> list[Block]:
    return [block for block in BLOCKS if block.language == language]


def block_with(start: str) -> Block:
    (found,) = [block for block in BLOCKS if block.text.startswith(start)]
    return found


def drawn_files(tree: str) -> set[str]:
    """The files of a drawn folder; those above them are left out."""
    files, above = set(), [""]
    for line in tree.splitlines()[1:]:
        entry = re.match(r"((?:│   |    )*)[├└]── (\S+)", line)
        assert entry, f"not a line of a tree: {line}"
        above[len(entry[1]) // 4 :] = [entry[2].removesuffix("/")]
        if not entry[2].endswith("/"):
            files.add("/".join(above))
    return files


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder the README is read in: its configs, toy text under the names they use, its commands on the path."""
    monkeypatch.chdir(tmp_path)
    for block in blocks("yaml"):
        if block.file_name:
            Path(block.file_name).write_text(block.text, encoding="utf-8")
    write_toy_text(tmp_path / "data")
    (tmp_path / "scripts").symlink_to(ROOT / "scripts")
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    for name, entry in PROJECT["scripts"].items():
        command = bin_folder / name
        command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m {entry.partition(":")[0]} "$@"\n')
        command.chmod(0o755)
    (bin_folder / "torchrun").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m torch.distributed.run "$@"\n')
    (bin_folder / "torchrun").chmod(0o755)
    (bin_folder / "python3").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')  # as in an activated environment
    (bin_folder / "python3").chmod(0o755)
    monkeypatch.setenv("PATH", f"{bin_folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return tmp_path


def write_toy_text(folder: Path) -> None:
    """280 pairs to train on, 10 for dev, 10 for test."""
    folder.mkdir()
    words = {
        "en": (["house", "dog", "car", "hat", "book", "tree"], ["big", "old", "red", "new", "small"]),
        "de": (["Haus", "Pferd", "Auto", "Hemd", "Buch", "Kind"], ["groß", "alt", "rot", "neu", "klein"]),
    }
    forms = {"en": "{0} sees that the {1} is {2}.", "de": "{0} sieht, dass das {1} {2} ist."}
    names = ["Anna", "Ben", "Clara", "David", "Emma", "Felix", "Greta", "Hans", "Ida", "Jonas"]
    for language, (nouns, adjectives) in words.items():
        lines = [f"{forms[language].format(*choice)}\n" for choice in product(names, nouns, adjectives)]
        for part, text in {"dev": lines[::30], "news": lines[1::30]}.items():
            (folder / f"{part}.{language}").write_text("".join(text), encoding="utf-8")
        rest = "".join(line for number, line in enumerate(lines) if number % 30 > 1)
        (folder / f"train.{language}.gz").write_bytes(gzip.compress(rest.encode()))


def run(command: str) -> subprocess.CompletedProcess[str]:
    """The command as a shell runs it; `make` in the checkout."""
    folder = ROOT if command.startswith("make ") else Path.cwd()
    return subprocess.run(["sh", "-c", command], cwd=folder, capture_output=True, text=True, check=False)


def shortened(command: str) -> str:
    additions = [addition for start, (addition, _) in SHORTENED.items() if command.startswith(start)]
    assert len(additions) < 2
    own, dashes, handed_on = command.partition(" -- ")
    return " ".join([own, *additions]) + dashes + handed_on


def test_every_command_works_and_says_what_is_shown(workplace: Path) -> None:
    outputs: dict[str, str] = {}
    drawn = block_with("runs/mine/\n")
    for command in [line for block in blocks("sh") for line in block.commands()]:
        done = run(shortened(command))
        assert done.returncode == EXPECTED_STATUS.get(command, 0), f"{command}\n{done.stdout}\n{done.stderr}"
        outputs[command] = done.stdout + done.stderr
        if command in ("mt-train --config mine.yaml --dry-run", "mt-train --config mine.yaml --profile"):
            assert not Path("runs").exists()
        if command == "mt-train --config mine.yaml":
            files = {str(path.relative_to("runs/mine")) for path in Path("runs/mine").rglob("*") if path.is_file()}
            assert {general(file) for file in files} == {general(file) for file in drawn_files(drawn.text)}

    assert outputs["mt-train --config typo.yaml"] == block_with("error[").text
    assert len(Path("news.hyp").read_text().splitlines()) == len(Path("data/news.en").read_text().splitlines())
    assert outputs['echo "A dog runs through the snow." | mt-translate --run runs/mine'].count("\n") == 1
    for command in [command for command in outputs if command.startswith("scripts/")]:
        options = {option for option in shlex.split(command) if option.startswith("--")}
        assert options <= set(outputs[command].split()), command
    trained = outputs["mt-train --config mine.yaml"]
    for line in block_with("run        runs/demo").text.splitlines():
        assert line in ("", "...") or f"\n{line.split()[0]}" in trained.replace("news", "phrasebook_test"), line


def general(file: str) -> str:
    """A path without the number of the step and what TensorBoard puts behind its file's name."""
    return re.sub(r"step_\d+", "step_N", re.sub(r"tfevents\..*", "tfevents.*", file))


@pytest.mark.parametrize("start", sorted(SHORTENED.keys() | EXPECTED_STATUS.keys()))
def test_tables_above_have_no_entry_without_a_command(start: str) -> None:
    assert any(command.startswith(start) for block in blocks("sh") for command in block.commands())


def test_every_block_is_held_to_something() -> None:
    assert {block.language for block in BLOCKS} == {"sh", "yaml", "python", "text"}
    assert README.count("\n```") == 2 * len(BLOCKS)


def test_config_of_a_language_pair_has_at_most_twelve_lines() -> None:
    assert len(block_with("# mine.yaml\n").text.splitlines()) <= 12


@pytest.mark.parametrize("block", [block for block in blocks("yaml") if block.file_name != "typo.yaml"])
def test_yaml_is_a_config(block: Block, workplace: Path) -> None:
    file = Path("block.yaml")
    is_complete = block.file_name is not None
    file.write_text(block.text if is_complete else f"extends: mine.yaml\n{block.text}", encoding="utf-8")
    config = load_config(file)
    assert is_complete or config != load_config("mine.yaml")


def excerpts() -> list[tuple[str, str]]:
    """Python blocks that name the file that they are taken from, with the rest of the block."""
    found = [re.fullmatch(r"# (mt_trainer/\S+\.py)\n(.*)", block.text, re.DOTALL) for block in blocks("python")]
    return [(match[1], match[2]) for match in found if match]


@pytest.mark.parametrize(("path", "code"), excerpts(), ids=lambda text: text.partition("\n")[0])
def test_excerpt_stands_in_its_file(path: str, code: str) -> None:
    assert f"\n{code}" in (ROOT / path).read_text(encoding="utf-8")


def test_python_snippet_runs(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (snippet,) = [block.text for block in blocks("python") if not block.text.startswith("#")]
    Path("snippet.py").write_text(snippet, encoding="utf-8")
    values = runpy.run_path("snippet.py")
    assert int(values["result"]["num_tokens"]) == int(values["sums"].num_tokens) == 5
    for tensor in ("logits", "hidden", "output_weight"):
        assert values[tensor].grad.abs().sum() > 0
    assert capsys.readouterr().out.endswith(" 5\n")


def test_the_new_objective_works_once_added(workplace: Path) -> None:
    shutil.copytree(ROOT / "mt_trainer", "copy/mt_trainer", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "configs", "copy/configs")
    added = [re.match(r"# added to (\S+\.py).*?\n(.*)", block.text, re.DOTALL) for block in blocks("python")]
    code = {match[1].rpartition("/")[2]: (Path("copy", match[1]), match[2]) for match in added if match}
    assert code.keys() == {"token_weights.py", "weighting.py", "build.py"}

    path, function = code["token_weights.py"]
    path.write_text(f"{path.read_text()}\n\n{function}")
    path, variant = code["weighting.py"]
    path.write_text(f"{path.read_text()}\n\n{variant}")
    path = path.with_name("stages.py")
    before, union = path.read_text().split("SingleObjective = (")
    new = "from mt_trainer.config.objective.weighting import GeneralizedCrossEntropyConfig"
    path.write_text(f"{new}\n{before}SingleObjective = (\n    GeneralizedCrossEntropyConfig |{union}")
    path, case = code["build.py"]
    before, rest = path.read_text().split("        case _:\n", maxsplit=1)
    imports = [
        "from mt_trainer.config.objective.weighting import GeneralizedCrossEntropyConfig",
        "from mt_trainer.objectives.formulas.token_weights import generalized_cross_entropy",
    ]
    path.write_text("\n".join([*imports, f"{before}{case}        case _:\n{rest}"]))

    (given,) = re.findall(r"`objective: (\{name: generalized_cross_entropy.*?\})`", README)
    Path("try.py").write_text(
        f"""
import torch
from mt_trainer.config import load_config
from mt_trainer.objectives import TranslationLoss, build_objective
from mt_trainer.objectives.building.explain import explain_objective

config = load_config("mine.yaml", ["objective={given}"])
objective = build_objective(config.objective, vocab_size=7, pad_id=0)
result = TranslationLoss(7, objective=objective)(torch.zeros(1, 1, 7), torch.tensor([[2, 4]]))
print(f"{{result['loss']:.4f}} {{objective.formula}}")
print(explain_objective(config).splitlines()[1])
"""
    )
    done = run(f"PYTHONPATH=copy '{sys.executable}' try.py")
    # all seven pieces are equally probable: (1 - (1/7)^0.5) / 0.5 = 1.2441
    assert done.stdout == (
        "1.2441 generalised cross-entropy: (1 - p_y^0.5) / 0.5\nsource     Zhang & Sabuncu, NeurIPS 2018\n"
    ), done.stderr


def test_links_lead_somewhere() -> None:
    targets = re.findall(r"\]\(([^)]+)\)", README)
    assert targets
    assert [target for target in targets if "://" not in target and not (ROOT / target).exists()] == []
    assert set(re.findall(r"`((?:configs|docs|scripts|tests|mt_trainer|\.ci)/[\w./]+)`", README)) <= {
        path.relative_to(ROOT).as_posix()
        for folder in ("configs", "docs", "scripts", "tests", "mt_trainer", ".ci")
        for path in [*(ROOT / folder).rglob("*"), ROOT / folder]
    }


def test_extras_and_recipes_that_are_named_are_there() -> None:
    (extras,) = re.findall(r"pip install .*'\.\[(.*)\]'", README)
    assert set(extras.split(",")) <= PROJECT["optional-dependencies"].keys()
    for recipe in ("demo", "multi30k", "multi30k_tailr", "iwslt14", "wmt14"):
        assert f"`{recipe}`" in README
        assert (ROOT / "configs" / f"{recipe}.yaml").exists()


def test_quoted_score_of_the_demo_is_what_its_recipe_promises() -> None:
    (promised,) = re.findall(
        r"^# Expected +BLEU >= (\d+)", (ROOT / "configs/demo.yaml").read_text(encoding="utf-8"), re.M
    )
    (quoted,) = re.findall(r"^phrasebook_test +1,000 +([\d.]+)", README, re.M)
    assert float(quoted) >= float(promised)
