"""What a person sees while things happen: a line for everything that has ended, live ones for what goes on."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

STYLES = {
    "done": "green",
    "success": "green",
    "Completed": "green",
    "failed": "bold red",
    "Failed": "bold red",
    "skipped": "yellow",
    "Stopped": "yellow",
}


@dataclass
class Row:
    """One thing: what it is, how it stands, and since when, in seconds of this process's clock."""

    section: str
    name: str
    state: str
    note: str
    since: float
    ended: float | None = None

    def line(self) -> Text:
        """As it is shown."""
        seconds = (self.ended or time.monotonic()) - self.since
        return Text.assemble(
            (f"{self.section:9}", "bold"),
            f"{self.name:24}",
            (f"{self.state:11}", STYLES.get(self.state, "cyan")),
            f"{seconds:7.1f} s  ",
            (self.note, "dim"),
        )


class Progress:
    """Rows by section and name.

    On a terminal those going on are redrawn with their seconds; elsewhere each change of state is one line.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self.rows: dict[tuple[str, str], Row] = {}
        self._live = Live(console=console, transient=True, get_renderable=self._going_on)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def show(self, section: str, name: str, state: str, note: str = "", seconds: float | None = None) -> None:
        """Say what state something is in, and for how many seconds it has been going on if not since first shown."""
        now = time.monotonic()
        row = self.rows.setdefault((section, name), Row(section, name, "", note, now))
        if seconds is not None:
            row.since = now - seconds
        row.note = note
        if row.state == state:
            return
        row.state = state
        row.ended = now if state in STYLES else None
        if row.ended or not self._console.is_terminal:
            self._console.print(row.line(), soft_wrap=True)

    def counter(self, section: str, name: str, total: int) -> Callable[[], None]:
        """What to call, from any thread, after each of `total` steps."""
        steps = count(1)

        def advance() -> None:
            self.show(section, name, "running", f"{next(steps)} of {total}")

        return advance

    def _going_on(self) -> Group:
        return Group(*(row.line() for row in list(self.rows.values()) if row.ended is None))
