from kennel.registry import Package, made_of, newest, obstacle


def champion(**metadata: str) -> Package:
    known = {"run": "dogs-1", "snapshot": "aaa", "top1": "0.90", "cutoff": "2026-11-01T00:00:00+00:00"}
    return Package("arn:1", "Approved", "image", "s3://b/model.tar.gz", {**known, **metadata})


def test_the_newest_model_is_the_one_that_knows_the_latest_photos() -> None:
    backfilled = champion(cutoff="2026-10-01T00:00:00+00:00", run="dogs-2")
    assert newest([backfilled, champion()]) == champion()
    assert newest([]) is None


def test_an_approved_model_may_go_into_service_over_none_and_over_an_older_one() -> None:
    older = champion(cutoff="2026-10-01T00:00:00+00:00")
    assert obstacle(champion(), None, force=False) is None
    assert obstacle(champion(), older, force=False) is None


def test_a_backfilled_model_does_not_take_the_place_of_a_later_one_unless_forced() -> None:
    backfilled = champion(cutoff="2026-10-01T00:00:00+00:00", run="dogs-2")
    assert "trigger with its package_arn and force" in (obstacle(backfilled, champion(), force=False) or "")
    assert obstacle(backfilled, champion(), force=True) is None


def test_nothing_puts_a_model_into_service_that_awaits_approval() -> None:
    pending = Package("arn:1", "PendingManualApproval", "image", "s3://b/m.tar.gz", champion().metadata)
    assert "approve it" in (obstacle(pending, None, force=True) or "")


def test_a_model_made_of_the_same_is_found_however_many_came_after_it() -> None:
    packages = [champion(snapshot="ccc"), champion(snapshot="bbb", code="1"), champion(snapshot="bbb", code="2")]
    assert made_of(packages, {"snapshot": "bbb", "code": "2"}) == packages[2]
    assert made_of(packages, {"snapshot": "bbb", "code": "3"}) is None
