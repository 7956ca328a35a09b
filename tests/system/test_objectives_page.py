"""docs/objectives.md: every objective is on it, its snippets run, its links lead somewhere."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mt_trainer.config.schema import TrainConfig
from mt_trainer.config.settings import variants
from mt_trainer.objectives import Statistic

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "objectives.md").read_text(encoding="utf-8")
DATA = (
    "data: {src_lang: en, tgt_lang: de, train: {format: phrasebook, split: train},"
    " dev: {format: phrasebook, split: dev}}\n"
)
SNIPPETS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.M | re.S)


def test_every_objective_and_statistic_stands_in_a_table() -> None:
    for name in variants(TrainConfig.model_fields["objective"].annotation):
        assert name == "stages" or re.search(rf"^\| `{name}`", PAGE, re.M), name
    for statistic in Statistic:
        assert re.search(rf"^\|.*`{statistic}`.*\|", PAGE, re.M), statistic


def test_links_lead_somewhere() -> None:
    def anchor(heading: str) -> str:
        return re.sub(r"[^\w -]", "", heading.strip("# ").lower()).replace(" ", "-")

    for target in re.findall(r"\]\(([^)]+)\)", PAGE):
        file, _, name = target.partition("#")
        path = ROOT / "docs" / (file or "objectives.md")
        assert path.exists(), target
        headings = re.findall(r"^#+ .*$", path.read_text(encoding="utf-8"), re.M)
        assert not name or name in [anchor(heading) for heading in headings], target


def test_configs_of_the_page_load(tmp_path: Path) -> None:
    from mt_trainer.config import load_config

    snippets = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.M | re.S)
    assert len(snippets) == 2
    for snippet in snippets:
        (tmp_path / "run.yaml").write_text(DATA + snippet)
        load_config(tmp_path / "run.yaml")


def run(folder: Path, code: str, *, package: Path = ROOT) -> str:
    """What a script prints."""
    (folder / "script.py").write_text(code, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "script.py"],
        cwd=folder,
        env={"PYTHONPATH": str(package), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_an_objective_of_ones_own_needs_no_change_of_the_package(tmp_path: Path) -> None:
    (snippet,) = [text for text in SNIPPETS if not text.startswith("#")]
    loss, nll = map(float, run(tmp_path, snippet + "\nassert hidden.grad.abs().sum() > 0\n").split())
    # alpha (1 - p_y) is at most 0.5, and the entropy between 0 and log 1000
    assert nll - 0.01 * 6.91 <= loss <= nll + 0.5


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The package with what the page adds to it."""
    shutil.copytree(ROOT / "mt_trainer", tmp_path / "mt_trainer", ignore=shutil.ignore_patterns("__pycache__"))
    added = {match[1]: match[2] for text in SNIPPETS if (match := re.match(r"# added to (\S+)\n(.*)", text, re.S))}
    assert len(added) == 3
    imports = {
        "mt_trainer/config/objective/scores.py": "",
        "mt_trainer/objectives/formulas/scores.py": "",
        "mt_trainer/objectives/build.py": (
            "from mt_trainer.config.objective.scores import ExpectedErrorConfig\n"
            "from mt_trainer.objectives.formulas.scores import expected_error\n"
        ),
    }
    assert added.keys() == imports.keys()
    for name, code in added.items():
        path = tmp_path / name
        text = path.read_text(encoding="utf-8")
        if code.startswith(" "):
            before, after = text.split("        case _:\n", maxsplit=1)
            text = f"{before}{code}        case _:\n{after}"
        else:
            text += f"\n\n{code}"
        path.write_text(imports[name] + text, encoding="utf-8")
    union = tmp_path / "mt_trainer/config/objective/stages.py"
    text = union.read_text(encoding="utf-8").replace(
        "\nSingleObjective = (\n", "\nSingleObjective = (\n    ExpectedErrorConfig |\n"
    )
    union.write_text(f"from mt_trainer.config.objective.scores import ExpectedErrorConfig\n{text}", encoding="utf-8")
    return tmp_path


def test_an_objective_added_to_the_package_works(copy: Path) -> None:
    printed = run(
        copy,
        """
import torch
from pydantic import TypeAdapter
from mt_trainer.config.objective import ObjectiveConfig
from mt_trainer.objectives import TranslationLoss, build_objective

ramp = {"schedule": "linear", "start": 0.0, "end": 1.0, "end_step": 4}
for alpha in (0.5, ramp):
    config = TypeAdapter(ObjectiveConfig).validate_python({"name": "expected_error", "alpha": alpha})
    objective = build_objective(config, vocab_size=7, pad_id=0).at(2)
    loss = TranslationLoss(7, objective=objective)(torch.zeros(1, 1, 7), torch.tensor([[2, 4]]))["loss"]
    print(f"{loss:.4f} {objective.formula}")
""",
        package=copy,
    )
    # seven pieces equally probable: ln 7 + 0.5 * 6/7 = 2.3745
    assert printed == "2.3745 nll + 0.5 (1 - p_y)\n" * 2


def test_the_added_objective_is_explained(copy: Path) -> None:
    (copy / "run.yaml").write_text(DATA + "objective: {name: expected_error, alpha: 0.5}\n")
    printed = run(
        copy,
        """
import sys
from mt_trainer.cli.train import train
train("run.yaml", explain=True, overrides=["tokenizer.vocab_size=1000"])
""",
        package=copy,
    )
    # the slope of alpha (1 - p_y) by the label's logit is alpha p_y (1 - p_y), as of alpha p_y nll
    assert printed.splitlines() == [
        "objective  nll + 0.5 (1 - p_y)",
        "source     this page",
        *(f"target     where p_y = {p:g}: {1 + p / 2:.6g} on the label, nothing on the others; {1 + p / 2:.6g} in all"
          for p in (0.001, 0.1, 0.9)),
    ]  # fmt: skip


def test_the_type_checker_names_a_case_or_a_source_that_is_missing(copy: Path) -> None:
    variant = copy / "mt_trainer/config/objective/scores.py"
    variant.write_text(variant.read_text(encoding="utf-8").replace('    source: ClassVar[str] = "this page"\n', ""))
    build = copy / "mt_trainer/objectives/build.py"
    text = build.read_text(encoding="utf-8")
    start, end = text.index("        case ExpectedErrorConfig"), text.index("        case _:\n")
    build.write_text(text[:start] + text[end:], encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--no-incremental",
        "mt_trainer/objectives/building/explain.py",
    ]
    done = subprocess.run(command, cwd=copy, capture_output=True, text=True, timeout=300, check=False)
    assert 'has incompatible type "ExpectedErrorConfig"; expected "Never"' in done.stdout
    assert '"ExpectedErrorConfig" of' in done.stdout
    assert 'has no attribute "source"' in done.stdout
