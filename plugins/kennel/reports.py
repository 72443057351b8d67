"""The report of a run, for people and for programs: what it decided and why, how good the model is, what it cost."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from kennel import costs
from kennel.names import Names

PAGE = "report.html"
Report = dict[str, Any]


def run_report(
    at: Names,
    chosen: dict[str, Any],
    evaluation: dict[str, Any],
    outcome: str,
    why: str,
    billed: Iterable[costs.Billed],
    prices: Mapping[str, float],
) -> Report:
    """Everything about a run that has been judged; money is in USD."""
    stages: list[dict[str, Any]] = [
        {
            "stage": stage.stage,
            "instance_type": stage.instance_type,
            "billable_seconds": stage.seconds,
            "usd": round(costs.money(stage, prices), 4),
        }
        for stage in billed
    ]
    return {
        "run": chosen["run"],
        "page": at.uri(at.run_key(chosen["run"], "report") + PAGE),
        "cutoff": chosen["cutoff"],
        "made_of": chosen["made_of"],
        **{name: chosen[name] for name in ("photos", "days", "duplicates")},
        "outcome": outcome,
        "why": why,
        "test_photos": evaluation["photos"],
        **{name: evaluation[name] for name in ("top1", "top5", "classes")},
        "champion": evaluation["champion"] and {"run": chosen["champion"]["run"], **evaluation["champion"]},
        "costs": stages,
        "billable_seconds": sum(stage["billable_seconds"] for stage in stages),
        "usd": round(sum(stage["usd"] for stage in stages), 4),
    }


def markdown(report: Report) -> str:
    """The report as a page: the body of the question to a person, and `report.md` in the bucket."""
    champion = report["champion"]
    rows = [
        ("right at first guess", f"{report['top1']:.1%}", champion and f"{champion['top1']:.1%}"),
        ("right only by this one", champion and champion["only_model"], champion and champion["only_champion"]),
    ]
    lines = [
        f"# {report['run']}: {report['outcome']}",
        "",
        report["why"],
        "",
        f"It knows {report['photos']['train']} training photos of {report['classes']} classes, dated from "
        f"{report['days']['first']} to {report['days']['last']} (snapshot {report['made_of']['snapshot']}, cutoff "
        f"{report['cutoff'][:10]}; {report['duplicates']} duplicates left out).",
        "",
    ]
    if champion:
        head = f"| of {report['test_photos']} test photos | this model | the champion, {champion['run']} |"
        lines += [head, "| --- | --- | --- |"]
        lines += [f"| {what} | {ours} | {theirs} |" for what, ours, theirs in rows]
        lines += [""]
    lines += ["| stage | instance type | billable seconds | USD |", "| --- | --- | --- | --- |"]
    lines += [
        f"| {stage['stage']} | {stage['instance_type']} | {stage['billable_seconds']} | {stage['usd']:.4f} |"
        for stage in report["costs"]
    ]
    lines += [f"| all | | {report['billable_seconds']} | {report['usd']:.4f} |", ""]
    lines += [f"Each class, the confusion matrix, the worst mistakes and more: {report['page']}", ""]
    return "\n".join(lines)


def write(client: Any, names: Names, report: Report, page: str) -> None:
    """Put `report.json`, `report.md` and the page for a browser beside what the run made."""
    files = {
        "report.json": (json.dumps(report, indent=1), "application/json"),
        "report.md": (markdown(report), "text/markdown; charset=utf-8"),
        PAGE: (page, "text/html; charset=utf-8"),
    }
    for name, (body, kind) in files.items():
        key = names.run_key(report["run"], "report") + name
        client.put_object(Bucket=names.bucket, Key=key, Body=body.encode(), ContentType=kind)
