"""Starting and retiring instances, many at once; knows every one there is, so that none is left behind."""

import threading
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed

from localaws.cloud import Cloud
from localaws.serving.instance import Instance, Stopped
from localaws.serving.router import Router
from localaws.serving.variant import Variant

DRAIN_SECONDS = 60.0  # the longest that an invocation may take

router = Router()
_lock = threading.Lock()
_alive: set[Instance] = set()
_closed = threading.Event()
_closed.set()


def start(cloud: Cloud, endpoint: str, wanted: Sequence[tuple[Variant, int]], share: int) -> dict[str, list[Instance]]:
    """Bring up so many instances of each variant, all at once; returns them by variant. `share` of them use the cores.

    When one does not come up, all are stopped and its StartError is raised; Stopped when the server ends meanwhile.
    """
    fleet = {
        variant.name: [Instance(cloud, endpoint, variant, share) for _ in range(count)] for variant, count in wanted
    }
    instances = [instance for pool in fleet.values() for instance in pool]
    with _lock:
        if _closed.is_set():
            raise Stopped
        _alive.update(instances)
    with ThreadPoolExecutor(max(1, len(instances))) as pool:
        starts = [pool.submit(instance.start) for instance in instances]
        failure = next((error for start in as_completed(starts) if (error := start.exception())), None)
        if failure:
            stop(instances)
    if failure:
        raise failure
    return fleet


def retire(instances: Collection[Instance]) -> None:
    """Stop instances that the router no longer knows, once they have answered what they hold."""
    router.drain(instances, DRAIN_SECONDS)
    stop(instances)


def stop(instances: Collection[Instance]) -> None:
    """Stop instances at once."""
    if instances:
        with ThreadPoolExecutor(len(instances)) as pool:
            list(pool.map(Instance.stop, instances))
    with _lock:
        _alive.difference_update(instances)


def pause(seconds: float) -> None:
    """Wait. Stopped when the server ends meanwhile."""
    if _closed.wait(seconds):
        raise Stopped


def open_up() -> None:
    """Allow instances to start."""
    _closed.clear()


def shut_down() -> None:
    """Stop every instance there is and let no other one start."""
    with _lock:
        _closed.set()
        instances = list(_alive)
    router.clear()
    stop(instances)
