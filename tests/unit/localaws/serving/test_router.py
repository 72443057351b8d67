"""Who answers, and when an instance may go."""

import threading
import time
from pathlib import Path

import pytest

from localaws.cloud import Cloud, Credentials
from localaws.serving.instance import Instance
from localaws.serving.router import NoEndpointError, NotReadyError, NoVariantError, Pool, Router
from localaws.serving.variant import Variant
from localaws.store import Store


@pytest.fixture
def instances(tmp_path: Path) -> list[Instance]:
    """Three that say they are ready; none is started."""
    root = Credentials("AKIAROOT", "secret")
    cloud = Cloud(Store(tmp_path / "store"), tmp_path, "http://127.0.0.1:1", "000000000000", "us-east-1", root)
    variant = Variant("AllTraffic", "ml.m5.large", "pytorch-inference", "s3://b/k", {}, "role", 60)
    made = [Instance(cloud, "pets", variant, 1) for _ in range(3)]
    for instance in made:
        instance.ready = True
    return made


@pytest.fixture
def router(instances: list[Instance]) -> Router:
    router = Router()
    router.replace("pets", {"AllTraffic": Pool(1.0, list(instances))})
    return router


def test_takes_turns_and_passes_by_the_busy(router: Router, instances: list[Instance]) -> None:
    leased = [router.lease("pets", None)[1] for _ in range(3)]
    router.release(leased[1])

    assert set(leased) == set(instances)
    assert router.lease("pets", "AllTraffic") == ("AllTraffic", leased[1])


def test_passes_by_what_is_not_ready(router: Router, instances: list[Instance]) -> None:
    instances[0].ready = instances[2].ready = False
    assert {router.lease("pets", None)[1] for _ in range(5)} == {instances[1]}

    instances[1].ready = False
    with pytest.raises(NotReadyError):
        router.lease("pets", None)


def test_knows_only_what_is_in_service(router: Router) -> None:
    with pytest.raises(NoEndpointError):
        router.lease("plants", None)
    with pytest.raises(NoVariantError):
        router.lease("pets", "canary")


def test_a_variant_without_weight_gets_no_traffic(instances: list[Instance]) -> None:
    router = Router()
    router.replace("pets", {"main": Pool(1.0, instances[:1]), "idle": Pool(0.0, instances[1:])})

    assert {router.lease("pets", None)[0] for _ in range(50)} == {"main"}
    router.weigh("pets", "main", 0)
    router.weigh("pets", "idle", 2)
    assert {router.lease("pets", None)[0] for _ in range(50)} == {"idle"}


def test_shrinking_takes_out_the_broken_then_the_idle(router: Router, instances: list[Instance]) -> None:
    _, broken = router.lease("pets", None)
    broken.ready = False
    _, busy = router.lease("pets", None)
    [idle] = set(instances) - {broken, busy}

    assert router.resize("pets", "AllTraffic", [], 2) == [broken]
    assert router.resize("pets", "AllTraffic", [], 1) == [idle]
    assert list(router.sizes()) == [("pets", "AllTraffic", 1)]


def test_draining_waits_for_the_last_answer(router: Router) -> None:
    _, instance = router.lease("pets", None)
    old = router.replace("pets", None)
    began = time.monotonic()
    threading.Timer(0.2, router.release, [instance]).start()

    router.drain(old, 10)

    assert 0.15 < time.monotonic() - began < 5
    assert instance.in_flight == 0


def test_draining_ends_with_its_patience(router: Router) -> None:
    router.lease("pets", None)

    began = time.monotonic()
    router.drain(router.replace("pets", None), 0.1)

    assert time.monotonic() - began < 5
