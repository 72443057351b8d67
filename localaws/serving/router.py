"""Who answers for which endpoint: every request leases an instance, so that none is stopped with requests in flight."""

import random
import threading
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from localaws.serving.instance import Instance


class NoEndpointError(Exception):
    """Nothing answers for this endpoint."""


class NoVariantError(Exception):
    """The endpoint has no such variant."""


class NotReadyError(Exception):
    """The variant's instances are all being started again."""


@dataclass
class Pool:
    """The instances of a variant, and its share of the traffic: weight over the sum of the endpoint's weights."""

    weight: float
    instances: list[Instance] = field(default_factory=list)


Fleet = dict[str, Pool]  # by the variant's name


class Router:
    """Fleets by endpoint, two of one that is shifting. Safe in any thread; nothing in it waits, but `drain`."""

    def __init__(self) -> None:
        self._fleets: dict[str, Fleet] = {}
        self._arriving: dict[str, tuple[Fleet, float]] = {}
        self._changed = threading.Condition()

    def lease(self, endpoint: str, variant: str | None) -> tuple[str, Instance]:
        """The least busy instance of the variant, or of one picked by weight; give it back with `release`."""
        with self._changed:
            fleet = self._pick(endpoint, variant)
            name = variant or _by_weight(fleet)
            ready = [instance for instance in fleet[name].instances if instance.ready]
            if not ready:
                raise NotReadyError
            instance = min(ready, key=lambda one: (one.in_flight, one.served))
            instance.in_flight += 1
            instance.served += 1
            return name, instance

    def release(self, instance: Instance) -> None:
        """The leased instance has answered."""
        with self._changed:
            instance.in_flight -= 1
            self._changed.notify_all()

    def shift(self, endpoint: str, fleet: Fleet, share: float) -> None:
        """Send this share of an endpoint's traffic to a fleet that is going to `replace` the one it has."""
        with self._changed:
            self._arriving[endpoint] = (fleet, share)

    def withdraw(self, endpoint: str) -> None:
        """The fleet that was arriving gets no more traffic."""
        with self._changed:
            self._arriving.pop(endpoint, None)

    def replace(self, endpoint: str, fleet: Fleet | None) -> list[Instance]:
        """From now on this fleet (or none) answers; returns the instances that did so far."""
        with self._changed:
            self._arriving.pop(endpoint, None)
            old = self._fleets.pop(endpoint, {})
            if fleet is not None:
                self._fleets[endpoint] = fleet
            return [instance for pool in old.values() for instance in pool.instances]

    def resize(self, endpoint: str, variant: str, more: Collection[Instance], count: int) -> list[Instance]:
        """Add instances to a variant, then take out all but `count`: those that are not ready, then the least busy."""
        with self._changed:
            pool = self._fleets[endpoint][variant]
            ranked = sorted([*pool.instances, *more], key=lambda one: (one.ready, one.in_flight))
            surplus = max(0, len(ranked) - count)
            pool.instances = ranked[surplus:]
            return ranked[:surplus]

    def weigh(self, endpoint: str, variant: str, weight: float) -> None:
        """Set a variant's weight."""
        with self._changed:
            self._fleets[endpoint][variant].weight = weight

    def clear(self) -> None:
        """From now on nothing answers."""
        with self._changed:
            self._fleets.clear()
            self._arriving.clear()

    def drain(self, instances: Collection[Instance], seconds: float) -> None:
        """Wait until instances that are out of every fleet have answered all they hold, or the time is over."""
        with self._changed:
            self._changed.wait_for(lambda: not any(instance.in_flight for instance in instances), seconds)

    def sizes(self) -> Iterator[tuple[str, str, int]]:
        """(endpoint, variant, instances) of all there are."""
        counts: Counter[tuple[str, str]] = Counter()
        with self._changed:
            arriving = ((endpoint, fleet) for endpoint, (fleet, _) in self._arriving.items())
            for endpoint, fleet in (*self._fleets.items(), *arriving):
                for variant, pool in fleet.items():
                    counts[endpoint, variant] += len(pool.instances)
        for (endpoint, variant), count in counts.items():
            yield endpoint, variant, count

    def _pick(self, endpoint: str, variant: str | None) -> Fleet:
        """The fleet to answer, one that has the variant asked for."""
        fleet = self._fleets.get(endpoint)
        if fleet is None:
            raise NoEndpointError
        arriving, share = self._arriving.get(endpoint, (fleet, 0.0))
        if variant and variant not in fleet and variant not in arriving:
            raise NoVariantError
        if variant and (variant in fleet) != (variant in arriving):
            return fleet if variant in fleet else arriving
        return arriving if random.random() < share else fleet  # noqa: S311 - traffic, not a secret


def _by_weight(fleet: Fleet) -> str:
    if len(fleet) == 1:
        return next(iter(fleet))
    weights = [pool.weight for pool in fleet.values()]
    return random.choices(list(fleet), weights if any(weights) else None)[0]  # noqa: S311 - traffic, not a secret
