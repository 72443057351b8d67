"""The registry as one table, models from SageMaker and from EC2 beside one another."""

from collections.abc import Iterable

from rich.table import Table

from kennel.registry import Package

STATUSES = {
    "Approved": "[green]approved[/]",
    "Rejected": "[red]rejected[/]",
    "PendingManualApproval": "[yellow]pending[/]",
}


def table(found: Iterable[Package], serving: Package | None) -> Table:
    """A row for each version, the newest registration first; a dot marks the one in service."""
    rows = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)
    rows.add_column("")
    for name in ("version", "status", "compute", "run", "cutoff"):
        rows.add_column(name, no_wrap=name == "run")
    for name in ("top-1", "USD"):
        rows.add_column(name, justify="right")
    for package in found:
        metadata = package.metadata
        rows.add_row(
            "●" if serving and serving.arn == package.arn else "",
            str(package.version),
            STATUSES[package.status],
            metadata["compute"],
            package.run,
            f"{package.cutoff:%Y-%m-%d}",
            f"{float(metadata['top1']):.1%}",
            f"{float(metadata['usd']):.2f}",
        )
    return rows
