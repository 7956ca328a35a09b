"""The shape of every message in the source: a registered code, a sentence in plain words, and how to mend it."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from mt_trainer.errors import ERROR_KINDS

PACKAGE = Path(__file__).resolve().parents[2] / "mt_trainer"
SOURCES = {path.relative_to(PACKAGE).as_posix(): path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py")}

ARGUMENTS = {
    "Problem": ("code", "message", "where", "excerpt", "help"),
    "Finding": ("code", "place", "message", "help"),
}
NAMES = ("--", "SentencePiece")
"""What a message may begin with besides a word in small letters and one in capitals, such as CUDA."""

LOUD = re.compile(r"!|\bplease\b|\bsorry\b|\boops\b|\bdid you mean\b|\billegal\b|\bfatal\b", re.IGNORECASE)


def made(tree: ast.Module) -> Iterator[tuple[int, dict[str, ast.expr]]]:
    """Line and arguments of each problem or finding that is written out."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ARGUMENTS:
            given = dict(zip(ARGUMENTS[node.func.id], node.args, strict=False))
            yield node.lineno, given | {keyword.arg: keyword.value for keyword in node.keywords if keyword.arg}


def texts_of(expression: ast.expr | None, tree: ast.Module) -> list[str]:
    """The literal texts that an expression, or a variable of its name in the file, may be; `x` for a value in it."""
    match expression:
        case ast.Constant(value=str(text)):
            return [text]
        case ast.JoinedStr(values=values):
            return ["".join(str(each.value) if isinstance(each, ast.Constant) else "x" for each in values)]
        case ast.IfExp(body=body, orelse=orelse):
            return texts_of(body, tree) + texts_of(orelse, tree)
        case ast.Name(id=name):
            return [text for value in assigned(name, tree) for text in texts_of(value, tree)]
    return []


def assigned(name: str, tree: ast.Module) -> Iterator[ast.expr]:
    """What is assigned to a variable, also side by side with others."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            target, value = node.targets[0], node.value
            if isinstance(target, ast.Name) and target.id == name and not isinstance(value, ast.Name):
                yield value
            elif isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
                pairs = zip(target.elts, value.elts, strict=False)
                yield from (part for each, part in pairs if isinstance(each, ast.Name) and each.id == name)


def faults(source: str) -> Iterator[str]:
    """What is wrong with the messages of a file."""
    tree = ast.parse(source)
    own = {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
    for line, given in made(tree) if "Finding" not in own else ():
        code, help = given.get("code"), given.get("help")
        if isinstance(code, ast.Constant) and code.value not in ERROR_KINDS:
            yield f"{line}: the code {code.value} is not registered"
        if help is None or (isinstance(help, ast.Constant) and help.value is None):
            yield f"{line}: no help"
        for text in texts_of(given.get("message"), tree):
            begins_well = re.match(r"[a-z0-9`]|[A-Z_]{3,} ", text) or text.startswith(NAMES)
            if not begins_well or text.endswith((".", "!", ":")) or "\n" in text:
                yield f"{line}: not the shape of a message: {text}"
        for text in texts_of(given.get("message"), tree) + texts_of(help, tree):
            if LOUD.search(text):
                yield f"{line}: a loud word: {text}"


@pytest.mark.parametrize("name", SOURCES)
def test_messages_have_their_shape(name: str) -> None:
    assert list(faults(SOURCES[name])) == []


@pytest.mark.parametrize(
    "source",
    [
        "Problem('MT999', 'a', help='b')",
        "Problem('MT050', 'a')",
        "Problem('MT050', 'a', help=None)",
        "Problem('MT050', 'A file', help='b')",
        "Problem('MT050', 'a file.', help='b')",
        "message = f'{x} is illegal'\nProblem('MT050', message, help='b')",
        "message, advice = 'a', 'please do'\nProblem('MT050', message, help=advice)",
        "Finding('MT020', place, 'Bad', 'b')",
        "Finding('MT020', place, 'a')",
    ],
)
def test_a_bad_message_is_found(source: str) -> None:
    assert list(faults(source))


def test_a_good_message_is_left_alone() -> None:
    assert not list(
        faults("m = f'{x} is there'\nProblem('MT050', m, where=w, help='b')\nFinding('MT020', p, 'a', 'b')")
    )


def test_there_are_messages_to_look_at() -> None:
    assert sum(len(list(made(ast.parse(source)))) for source in SOURCES.values()) > 80
