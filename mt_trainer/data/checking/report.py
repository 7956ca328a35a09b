"""A corpus report for people, and for programs."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from mt_trainer.data.checking.catalogue import Grade
from mt_trainer.data.checking.check import CorpusReport
from mt_trainer.data.checking.findings import Finding

REPORT_FORMAT = 1
"""Of the JSON; changes when a key changes its meaning."""


def as_text(report: CorpusReport, *, paint: Callable[[Grade, str], str] = lambda grade, text: text) -> str:
    """The report in aligned lines: what was read, what was found, where to look; then what is fine.

    Args:
        report: of `check_corpus`.
        paint: colours a text by a grade, for terminals.
    """
    blocks = ["\n".join(f"{name:<10} {text}" for name, text in _summary(report))]
    notable = [finding for finding in report.findings if finding.grade != Grade.FINE]
    notable.sort(key=lambda finding: finding.grade != Grade.FAULT)
    if notable:
        blocks.append(_table(notable, paint))
        blocks += [_details(finding, paint) for finding in notable]
    titles = {finding.check.title for finding in notable}
    judged = [finding for finding in report.findings if finding.total]
    fine = dict.fromkeys(finding.check.title for finding in judged if finding.check.title not in titles)
    blocks.append(_wrapped(f"fine: {', '.join(fine)}"))
    return "\n\n".join(blocks)


def as_json(report: CorpusReport) -> dict[str, Any]:
    """Everything, in JSON's types."""
    return {
        "format": REPORT_FORMAT,
        "grade": report.grade.value,
        "languages": list(report.languages),
        "parts": {
            name: {
                "pairs": part.num_rows,
                "sources": [{"name": text.name, "sha256": text.fingerprint} for text in part.texts],
            }
            for name, part in report.parts.items()
        },
        "cleaning": asdict(report.counts) | {"is_judged_by_length": report.is_judged_by_length},
        "coverage": {side: asdict(coverage) for side, coverage in report.coverage.items()},
        "notes": list(report.notes),
        "findings": [_record(finding) for finding in report.findings],
    }


def _record(finding: Finding) -> dict[str, Any]:
    return {
        "check": finding.check.name,
        "part": finding.part,
        "side": finding.side,
        "grade": finding.grade.value,
        "count": finding.count,
        "total": finding.total,
        "unit": finding.unit,
        "detail": finding.detail,
        "examples": [asdict(example) for example in finding.examples],
        "look_from": finding.check.look,
        "fault_from": finding.check.fault,
        "effect": finding.check.effect,
        "remedy": finding.check.remedy,
    }


def _summary(report: CorpusReport) -> list[tuple[str, str]]:
    sizes = ", ".join(f"{name} {part.num_rows:,}" for name, part in report.parts.items())
    lines = [("corpus", f"{'-'.join(report.languages)}: {sizes} pairs")]
    how = "" if report.is_judged_by_length else "; without a tokenizer, so nothing by its number of pieces"
    lines.append(("cleaning", f"{report.counts.describe()}{how}"))
    lines += [(f"pieces {side}", coverage.describe()) for side, coverage in report.coverage.items()]
    lines += [("note", note) for note in report.notes]
    lines.append(("result", _result(report)))
    return lines


def _result(report: CorpusReport) -> str:
    grades = [finding.grade for finding in report.findings]
    faults, looks = grades.count(Grade.FAULT), grades.count(Grade.LOOK)
    if not faults and not looks:
        return "nothing to mend"
    parts = [f"{faults:,} fault{'s' if faults != 1 else ''}"] if faults else ["no faults"]
    return ", ".join([*parts, f"{looks:,} worth a look"] if looks else parts)


def _table(findings: list[Finding], paint: Callable[[Grade, str], str]) -> str:
    rows = [
        (
            f"{finding.check.title}{f' ({finding.side})' if finding.side else ''}",
            finding.part,
            f"{finding.count:,}",
            _percent(finding.share),
            f"of {finding.total:,} {finding.unit}",
        )
        for finding in findings
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    lines = []
    for finding, (title, part, count, share, of) in zip(findings, rows, strict=True):
        grade = paint(finding.grade, f"{finding.grade.value:<5}")
        cells = f"{title:<{widths[0]}}  {part:<{widths[1]}}  {count:>{widths[2]}}  {share:>{widths[3]}}  {of}"
        lines.append(f"{grade}  {cells}")
    return "\n".join(lines)


def _percent(share: float) -> str:
    return f"{share:.2%}" if share >= 0.0001 else "<0.01%"


def _details(finding: Finding, paint: Callable[[Grade, str], str]) -> str:
    side = f", {finding.side}" if finding.side else ""
    head = f"{paint(finding.grade, finding.grade.value)}: {finding.check.title} in {finding.part}{side}"
    lines = [f"{head}: {finding.detail}" if finding.detail else head]
    lines += [f"  {finding.check.effect}", f"  to mend: {finding.check.remedy}"]
    width = max((len(example.where) for example in finding.examples), default=0)
    lines += [f"  {example.where:<{width}}  {example.text}".rstrip() for example in finding.examples]
    return "\n".join(lines)


def _wrapped(text: str, width: int = 110) -> str:
    """Broken at commas, further lines indented."""
    lines = [""]
    for word in text.split(" "):
        if lines[-1] and len(lines[-1]) + len(word) >= width:
            lines.append("     ")
        lines[-1] += f"{' ' if lines[-1].strip() else ''}{word}"
    return "\n".join(lines)
