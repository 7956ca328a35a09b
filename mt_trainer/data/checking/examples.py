"""The places to look at, in words: one more reading, as far as the last row that is shown."""

from collections.abc import Mapping, Sequence

from mt_trainer.data.checking.catalogue import CHECKS
from mt_trainer.data.checking.findings import Example, Finding, Observation
from mt_trainer.data.checking.parts import STRUCTURAL, Part
from mt_trainer.errors import Problem

EXCERPT = 60
"""Characters of a text that an example shows."""

SIDES = ("src", "tgt")


def findings_of(parts: Mapping[str, Part], observations: Mapping[str, Sequence[Observation]]) -> list[Finding]:
    """All findings, part by part in the order of the catalogue, each with its examples."""
    wanted: dict[str, set[int]] = {name: set() for name in parts}
    for name, found in observations.items():
        for each in found:
            wanted[each.rows_of or name].update(each.tally.rows)
    texts = {name: _texts(part, wanted[name]) for name, part in parts.items()}
    order = list(CHECKS)
    findings: list[Finding] = []
    for name, part in parts.items():
        of_part = [_structural(name, part, code) for code in STRUCTURAL]
        for each in observations[name]:
            of = each.rows_of or name
            of_part.append(each.finding(name, each.examples or tuple(_examples(each, parts[of], texts[of]))))
        findings += sorted(of_part, key=lambda finding: order.index(finding.check.name))
    return findings


def _structural(name: str, part: Part, code: str) -> Finding:
    problems = [problem for problem in part.problems if problem.code == code]
    examples = tuple(Example(problem.where or part.name, _sentence(problem)) for problem in problems)
    return Finding(CHECKS[STRUCTURAL[code]], name, None, len(problems), len(part.texts), "sources", "", examples)


def _sentence(problem: Problem) -> str:
    return "; ".join(filter(None, [problem.message, problem.help]))


def _texts(part: Part, rows: set[int]) -> dict[int, tuple[str, str] | None]:
    """The texts of some rows; None for one that is no text."""
    found: dict[int, tuple[str, str] | None] = {}
    if rows:
        last = max(rows)
        for row, item in part.rows():
            if row in rows:
                found[row] = None if isinstance(item, Problem) else item
            if row >= last:
                break
    return found


def _examples(observation: Observation, part: Part, texts: Mapping[int, tuple[str, str] | None]) -> list[Example]:
    examples = []
    for row, note in zip(observation.tally.rows, observation.tally.notes, strict=True):
        places, pair = part.places(row), texts[row]
        number = SIDES.index(observation.side) if observation.side else 0
        if pair is None:
            text = ""
        elif observation.side:
            text = excerpt(pair[number])
        else:
            text = f"{excerpt(pair[0])} | {excerpt(pair[1])}"
        examples.append(Example(places[number], ": ".join(filter(None, [note, text]))))
    return examples


def excerpt(text: str) -> str:
    """The beginning of a text, what cannot be seen as escapes."""
    shown = "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text[:EXCERPT])
    return f"{shown} ..." if len(text) > EXCERPT else shown
