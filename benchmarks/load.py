"""What the function and the endpoint behind it do under load, and while something happens to them.

    python -m benchmarks.load        # a quarter of an hour

Each call invokes the function, which fetches a photo by its URL and asks the endpoint (see `service`). Calls fall due
at a constant rate and their time counts from when they were due. What Lambda refuses with 429 is tried again as boto3
does by default, but in the overload, where refusals are what is looked for. The local AWS's clock runs twenty times as
fast as ours: minutes of metrics last three seconds.
"""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.arrivals import Arrivals, Outcome, kinds, latencies
from benchmarks.figures import Figure, main
from benchmarks.photos import photos
from benchmarks.service import Service, service

CAPACITY_SECONDS = 20
HOLD_SECONDS = 600
OVERLOAD_SECONDS = 30
AFTER_SECONDS = 20
PATIENCE_SECONDS = 180
BUSY, LIGHT, OVER = 0.8, 0.4, 3.0  # of the capacity
OK, SHED = "200", {"429", "503"}

Ask = Callable[[], str]


def measure() -> Iterator[Figure]:
    """One after the other, on one service."""
    with photos() as data, service(next(data.glob("test/*/*.jpg")).read_bytes()) as (at, event):

        def ask() -> str:
            return at.ask(event)

        def ask_patiently() -> str:
            return at.ask(event, patient=True)

        rate = capacity(ask, at.dogs.function.reserved_concurrency)
        yield Figure("load: capacity", "photos a second that as many callers as may be get answered", rate, "a second")
        yield from hold(at, ask_patiently, rate)
        yield from overload(ask, ask_patiently, rate)
        yield from faults(at, ask_patiently, LIGHT * rate)


def capacity(ask: Ask, callers: int) -> float:
    """Answers a second to so many callers, each asking again once it is answered."""
    answered = [0] * callers
    end = time.monotonic() + CAPACITY_SECONDS

    def call(number: int) -> None:
        while time.monotonic() < end:
            answered[number] += ask() == OK

    threads = [threading.Thread(target=call, args=(number,)) for number in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(answered) / CAPACITY_SECONDS


def hold(at: Service, ask: Ask, rate: float) -> Iterator[Figure]:
    """Ten minutes near the capacity; the endpoint scales out, and back in once it is over."""
    at.scale_by_itself()
    arrivals, begun = Arrivals(ask, BUSY * rate), time.monotonic()
    with arrivals.running():
        out = until(lambda: at.instances() == 2) - begun
        time.sleep(max(0.0, begun + HOLD_SECONDS - time.monotonic()))
        counted = at.instances()
    over = time.monotonic()
    back = until(lambda: at.instances() == 1) - over
    outcomes = arrivals.outcomes()
    at.stop_scaling()
    yield Figure(
        "load: failures in ten minutes",
        f"calls not answered with 200 at {BUSY:.0%} of the capacity, an instance added meanwhile",
        lost(outcomes),
        "",
        0,
        detail={
            "calls a second": BUSY * rate,
            **summary(outcomes),
            "second instance after, s": out,
            "instances at the end": counted,
            "one instance again after, s": back,
        },
    )


def overload(ask: Ask, ask_patiently: Ask, rate: float) -> Iterator[Figure]:
    """Three times the capacity, then again what it holds."""
    arrivals = Arrivals(ask, OVER * rate)
    with arrivals.running():
        time.sleep(OVERLOAD_SECONDS)
    outcomes, end = arrivals.outcomes(), time.monotonic()
    after = Arrivals(ask_patiently, BUSY * rate)
    with after.running():
        time.sleep(AFTER_SECONDS)
    failed = [outcome.ended for outcome in after.outcomes() if outcome.kind != OK]
    yield Figure(
        "load: answers to an overload other than 200, 429 or 503",
        f"calls in {OVERLOAD_SECONDS} s at {OVER:g} times the capacity",
        sum(outcome.kind not in {OK, *SHED} for outcome in outcomes),
        "",
        0,
        detail=summary(outcomes),
    )
    yield Figure(
        "load: recovery from an overload",
        f"seconds until the last failure at {BUSY:.0%} of the capacity",
        max(failed, default=end) - end,
        "s",
        10,
        detail=summary(after.outcomes()),
    )


def faults(at: Service, ask: Ask, rate: float) -> Iterator[Figure]:
    """What is lost while something happens, at a rate that one core can hold: the other starts processes."""
    at.scale(2)
    killed: list[float] = []

    def kill() -> None:
        victim = at.serving_processes()[0]
        killed.append(time.monotonic())
        victim.kill()
        victim.wait()
        until(lambda: len(at.serving_processes()) == 2)

    outcomes = during(ask, rate, kill)
    [moment] = killed
    elsewhere = [one for one in outcomes if one.kind != OK and not one.due <= moment <= one.ended]
    yield told("lost to a killed process, but for those it had", rate, outcomes, len(elsewhere))
    yield told("lost to scaling in", rate, during(ask, rate, lambda: at.scale(1)))

    def deploy() -> None:
        at.deploy(2)
        at.settle()

    yield told("lost to a deploy", rate, during(ask, rate, deploy))

    def called_back() -> None:
        before = at.settle()["EndpointConfigName"]
        at.deploy(1, alarm=True)
        until(at.baking)
        at.ring()
        if at.settle()["EndpointConfigName"] != before:
            raise RuntimeError("the alarm did not call the deploy back")

    yield told("lost to a deploy that an alarm calls back", rate, during(ask, rate, called_back))


def during(ask: Ask, rate: float, happening: Callable[[], object]) -> list[Outcome]:
    """The calls before, while and after something happens."""
    arrivals = Arrivals(ask, rate)
    with arrivals.running():
        time.sleep(AFTER_SECONDS / 4)
        happening()
        time.sleep(AFTER_SECONDS / 2)
    return arrivals.outcomes()


def told(what: str, rate: float, outcomes: list[Outcome], count: int | None = None) -> Figure:
    """The figure of calls that were lost."""
    value = lost(outcomes) if count is None else count
    detail = {"calls a second": rate, **summary(outcomes)}
    return Figure(f"load: calls {what}", f"at {LIGHT:.0%} of the capacity", value, "", 0, detail=detail)


def summary(outcomes: list[Outcome]) -> dict[str, Any]:
    """How calls ended, and how long they took."""
    return {"answers": kinds(outcomes), "latency by percentile, ms": latencies(outcomes)}


def lost(outcomes: list[Outcome]) -> int:
    """How many calls were not answered with 200."""
    return sum(outcome.kind != OK for outcome in outcomes)


def until(condition: Callable[[], bool]) -> float:
    """When a condition has come about, in seconds of `time.monotonic`. Raises TimeoutError when it does not."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {PATIENCE_SECONDS} s")
        time.sleep(0.2)
    return time.monotonic()


if __name__ == "__main__":
    main(measure)
