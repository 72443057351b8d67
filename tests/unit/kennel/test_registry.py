from kennel.registry import Package, made_of, newest, obstacle


def champion(version: int = 1, **metadata: str) -> Package:
    known = {"run": "dogs-1", "snapshot": "aaa", "top1": "0.90", "cutoff": "2026-11-01T00:00:00+00:00"}
    return Package(f"arn:x/{version}", "Approved", "image", "s3://b/model.tar.gz", {**known, **metadata})


OLDER = "2026-10-01T00:00:00+00:00"


def test_the_newest_model_is_the_one_that_knows_the_latest_photos_whenever_it_was_registered() -> None:
    backfilled = champion(2, cutoff=OLDER)
    assert newest([backfilled, champion()]) == champion()
    assert newest([champion(1), champion(3), champion(2)]) == champion(3)
    assert newest([]) is None


def test_a_model_goes_into_service_over_none_an_older_one_and_itself() -> None:
    assert obstacle(champion(2), None) is None
    assert obstacle(champion(1), champion(2, cutoff=OLDER)) is None
    assert obstacle(champion(2), champion(2)) is None


def test_a_backfilled_model_does_not_take_the_place_of_a_later_one() -> None:
    assert (
        obstacle(champion(2, cutoff=OLDER, run="dogs-2"), champion())
        == "version 2 (dogs-2, photos up to 2026-10-01) is the newest that is approved, and version 1 (dogs-1, photos "
        'up to 2026-11-01) is in service and newer; trigger deploy with {"version": 2} to go back to the older one'
    )


def test_a_model_made_of_the_same_is_found_however_many_came_after_it() -> None:
    packages = [champion(snapshot="ccc"), champion(snapshot="bbb", code="1"), champion(snapshot="bbb", code="2")]
    assert made_of(packages, {"snapshot": "bbb", "code": "2"}) == packages[2]
    assert made_of(packages, {"snapshot": "bbb", "code": "3"}) is None
