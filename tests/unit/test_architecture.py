"""What holds for the whole package: the layout the README draws, file sizes, docstrings, and what code may not do."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "mt_trainer"
FILES = sorted(PACKAGE.rglob("*.py"))
SOURCES = {path.relative_to(PACKAGE).as_posix(): path.read_text(encoding="utf-8") for path in FILES}

MAX_LINES = 300
VAGUE_NAMES = {"utils", "util", "helpers", "helper", "common", "misc", "tools"}

FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
FORBIDDEN_NAMES = {"eval", "exec", "compile", "__import__"}
FORBIDDEN_CALLS = {
    "torch.load",
    "yaml.load",
    "yaml.load_all",
    "yaml.full_load",
    "yaml.unsafe_load",
    "os.path.expandvars",
    "os.system",
    "os.popen",
    "shutil.unpack_archive",
}
FORBIDDEN_ARGUMENTS = {"weights_only": False, "allow_pickle": True, "shell": True, "trust_remote_code": True}
ENVIRONMENT = {"os.environ", "os.environb", "os.getenv"}


def drawn_modules(readme: str) -> dict[str, str]:
    """The modules and folders in the README's tree of the package, each with its comment."""
    block = re.search(r"^```text\nmt_trainer/\n(.*?)^```", readme, re.MULTILINE | re.DOTALL)
    assert block, "the README has no tree that starts with mt_trainer/"
    modules: dict[str, str] = {}
    above: list[str] = []
    for line in block[1].splitlines():
        entry = re.fullmatch(r"((?:│   |    )*)[├└]── (\S+) *(.*)", line)
        assert entry, f"not a line of a tree: {line}"
        above[len(entry[1]) // 4 :] = [entry[2].removesuffix("/")]
        assert "/".join(above) not in modules, f"drawn twice: {entry[2]}"
        modules["/".join(above)] = entry[3]
    return modules


def test_readme_draws_every_module_with_a_comment_and_no_other() -> None:
    drawn = drawn_modules((ROOT / "README.md").read_text(encoding="utf-8"))
    on_disk = {path.parent if path.name == "__init__.py" else path for path in FILES} - {PACKAGE}
    assert drawn.keys() == {path.relative_to(PACKAGE).as_posix() for path in on_disk}
    assert [module for module, comment in drawn.items() if not comment] == []


def test_a_tree_is_read_with_its_levels() -> None:
    tree = "```text\nmt_trainer/\n├── a/     first\n│   └── b.py  second\n└── c.py\n```\n"
    assert drawn_modules(tree) == {"a": "first", "a/b.py": "second", "c.py": ""}


def test_a_module_that_is_drawn_twice_is_found() -> None:
    with pytest.raises(AssertionError, match=r"drawn twice: b\.py"):
        drawn_modules("```text\nmt_trainer/\n├── b.py  first\n└── b.py  first\n```\n")


def test_the_readme_says_who_may_import_whom_as_the_contract_does() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    said = re.search(r"^Who may import whom: (.*?)\. From\s", readme, re.MULTILINE | re.DOTALL)
    assert said, "the README has no such sentence"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (contract,) = [each for each in project["tool"]["importlinter"]["contracts"] if each["id"] == "layers"]
    layers = [set(re.findall(r"`(\w+)`", layer)) for layer in said[1].split(">")]
    assert layers == [set(layer.split(" | ")) for layer in contract["layers"]]


def test_no_file_is_too_long() -> None:
    lengths = {name: len(source.splitlines()) for name, source in SOURCES.items()}
    assert {name: length for name, length in lengths.items() if length > MAX_LINES} == {}


def test_no_name_is_vague() -> None:
    assert [name for name in SOURCES if VAGUE_NAMES & set(name.removesuffix(".py").split("/"))] == []


def test_everything_public_has_a_docstring() -> None:
    missing = {name: list(without_docstring(ast.parse(source))) for name, source in SOURCES.items()}
    assert {name: found for name, found in missing.items() if found} == {}


def without_docstring(tree: ast.Module | ast.ClassDef) -> Iterator[str]:
    """The module, public functions, classes and methods that have none."""
    if isinstance(tree, ast.Module) and not ast.get_docstring(tree):
        yield "the module"
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            if not ast.get_docstring(node):
                yield node.name
            if isinstance(node, ast.ClassDef):
                yield from without_docstring(node)


def test_a_missing_docstring_is_found() -> None:
    source = 'def f():\n    ...\nclass C:\n    "c"\n    def g(self): ...\n    def _h(self): ...\n'
    assert list(without_docstring(ast.parse(source))) == ["the module", "f", "g"]


def unsafe(tree: ast.Module) -> Iterator[str]:
    """What code of the package may not do: run what it reads, unpickle, or let the environment into its data."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            yield from (f"import {name}" for name in names if name.split(".")[0] in FORBIDDEN_MODULES)
            if isinstance(node, ast.ImportFrom):
                full_names = [f"{node.module}.{alias.name}" for alias in node.names]
                yield from (f"import {name}" for name in full_names if name in FORBIDDEN_CALLS | ENVIRONMENT)
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called in FORBIDDEN_NAMES | FORBIDDEN_CALLS:
                yield f"{called}()"
            given = {argument.arg: argument.value for argument in node.keywords}
            for name, value in FORBIDDEN_ARGUMENTS.items():
                if isinstance(argument := given.get(name), ast.Constant) and argument.value is value:
                    yield f"{name}={value}"
            if called.endswith(".extractall") and "filter" not in given:
                yield "extractall() without filter"
    for statement in tree.body:
        if not isinstance(statement, ast.FunctionDef | ast.ClassDef):
            yield from (f"{name} at import" for name in ENVIRONMENT if name in ast.unparse(statement))


def test_nothing_unsafe_is_done() -> None:
    found = {name: list(unsafe(ast.parse(source))) for name, source in SOURCES.items()}
    assert {name: what for name, what in found.items() if what} == {}


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from pickle import load",
        "import joblib.memory",
        "from torch import load",
        "eval(text)",
        "exec(text)",
        "torch.load(path)",
        "f(path, weights_only=False)",
        "numpy.load(path, allow_pickle=True)",
        "yaml.load(text, Loader=yaml.SafeLoader)",
        "os.path.expandvars(path)",
        "subprocess.run(command, shell=True)",
        "datasets.load_dataset(path, trust_remote_code=True)",
        "archive.extractall(path)",
        "THREADS = os.environ['OMP_NUM_THREADS']",
        "from os import environ",
    ],
)
def test_what_is_unsafe_would_be_found(source: str) -> None:
    assert list(unsafe(ast.parse(source)))


@pytest.mark.parametrize(
    "source",
    [
        "model.eval()",
        "yaml.safe_load(text)",
        "load_file(path)",
        "archive.extractall(path, filter='data')",
        "def f():\n    return os.environ.get('WORLD_SIZE')",
    ],
)
def test_what_is_safe_is_left_alone(source: str) -> None:
    assert list(unsafe(ast.parse(source))) == []


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)


def test_importing_any_module_prints_nothing() -> None:
    modules = [".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in FILES]
    done = run_python("\n".join(f"import {module}" for module in modules))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_commands_import_nothing_heavy_before_they_know_what_to_do() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
    imports = "\n".join(f"import {entry.partition(':')[0]}" for entry in scripts.values())
    done = run_python(
        f"import sys\n{imports}\nprint({{'torch', 'sentencepiece', 'sacrebleu', 'datasets'}} & set(sys.modules))"
    )
    assert done.stdout == "set()\n", done.stderr
