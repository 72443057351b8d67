"""Calls that fall due at a constant rate, whether earlier ones have been answered or not: so a stall is seen.

arrivals = Arrivals(call, rate=20)        # call() returns what became of it, "200" say, or raises
with arrivals.running():
    ...                                    # meanwhile something happens
arrivals.outcomes()
"""

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from hdrh.histogram import HdrHistogram

CALLERS = 200  # at once; a call that finds none free still counts from when it was due
LONGEST = 120_000_000  # microseconds
PERCENTILES = (50.0, 90.0, 99.0, 99.9, 100.0)


class Outcome(NamedTuple):
    """A call: when it was due and when it ended, in seconds of `time.monotonic`, and what became of it."""

    due: float
    ended: float
    kind: str


class Arrivals:
    """Makes the calls, from threads of its own."""

    def __init__(self, call: Callable[[], str], rate: float):
        self._call, self._rate = call, rate
        self._outcomes: list[Outcome] = []
        self._over = threading.Event()

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Call for as long as the context lasts; at its end every answer is there."""
        with ThreadPoolExecutor(CALLERS) as callers:
            pacemaker = threading.Thread(target=self._keep_pace, args=(callers,))
            pacemaker.start()
            try:
                yield
            finally:
                self._over.set()
                pacemaker.join()

    def outcomes(self) -> list[Outcome]:
        """All calls, by when they were due."""
        return sorted(self._outcomes)

    def _keep_pace(self, callers: ThreadPoolExecutor) -> None:
        due = time.monotonic()
        while not self._over.wait(max(0.0, due - time.monotonic())):
            callers.submit(self._one, due)
            due += 1 / self._rate

    def _one(self, due: float) -> None:
        try:
            kind = self._call()
        except Exception as error:  # whatever it is, the call is lost
            kind = type(error).__name__
        self._outcomes.append(Outcome(due, time.monotonic(), kind))


def kinds(outcomes: Sequence[Outcome]) -> dict[str, int]:
    """How many calls ended how."""
    return dict(sorted(Counter(outcome.kind for outcome in outcomes).items()))


def latencies(outcomes: Sequence[Outcome]) -> dict[str, float]:
    """Milliseconds from when a call was due to its end, by percentile."""
    histogram = HdrHistogram(1, LONGEST, 3)
    for outcome in outcomes:
        histogram.record_value(int(1e6 * (outcome.ended - outcome.due)))
    return {f"{percent:g}": histogram.get_value_at_percentile(percent) / 1000 for percent in PERCENTILES}
