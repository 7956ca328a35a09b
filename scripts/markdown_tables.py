"""Markdown as docs/results.md has it."""

from collections.abc import Mapping, Sequence


def markdown_table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table with a line of titles."""
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def settings_block(lines: Mapping[str, str]) -> str:
    """Names and texts as aligned lines of code."""
    width = max(len(name) for name in lines) + 2
    return "\n".join(["```", *(f"{name:<{width}}{text}" for name, text in lines.items()), "```"])
