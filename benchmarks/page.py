"""Writes `docs/performance.md` from the figures of the last runs."""

from typing import Any

HEAD = """# What Kennel costs and how good it is

Written by `make bench` from `performance.json`; do not edit. Each comparison runs both sides in one go on the same
photos, and the baseline is what a beginner would write (`benchmarks/baseline/`). The head of each part says what is
measured; its module in `benchmarks/` is the whole story.
"""


def page(results: dict[str, Any]) -> str:
    """The page: a table of all figures with their goals, then each benchmark with what its figures were made of."""
    results = dict(sorted(results.items()))
    parts = [HEAD, "| what | reached | goal | |", "| --- | --- | --- | --- |"]
    for result in results.values():
        parts += [row(figure) for figure in result["figures"] if figure["goal"] is not None]
    for name, result in results.items():
        parts += ["", f"## {name}", "", f"`python -m benchmarks.{name}`, {result['date']}, {result['machine']}."]
        if name == "load":
            parts += ["", "![How long calls took, by percentile](load.svg)"]
        for figure in result["figures"]:
            parts += ["", f"**{figure['name']}**: {amount(figure)}; {figure['measured']}.", *details(figure["detail"])]
            if not figure["reached"]:
                parts += ["", f"Missed: {figure['limits'] or 'see what it is made of.'}"]
    return "\n".join(parts) + "\n"


def row(figure: dict[str, Any]) -> str:
    """A figure's row in the table."""
    goal = f"{'at least' if figure['better'] == 'more' else 'at most'} {figure['goal']:g} {figure['unit']}".strip()
    return f"| {figure['name']} | {amount(figure)} | {goal} | {'reached' if figure['reached'] else '**missed**'} |"


def amount(figure: dict[str, Any]) -> str:
    """The value with its unit."""
    return f"{figure['value']:.3g} {figure['unit']}".strip()


def details(detail: dict[str, Any]) -> list[str]:
    """The values that a figure was made of, a line each."""
    return [""] * bool(detail) + [f"- {name}: {plain(value)}" for name, value in detail.items()]


def plain(value: Any) -> str:
    """Numbers to three digits, lists and mappings in one line."""
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, dict):
        return ", ".join(f"{name} {plain(part)}" for name, part in value.items())
    return ", ".join(map(plain, value)) if isinstance(value, list) else str(value)
