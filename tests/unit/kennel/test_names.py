import datetime

import pytest

from kennel import names
from kennel.config import Classifier
from kennel.names import Names

MOMENT = datetime.datetime(2026, 11, 22, 3, 0, tzinfo=datetime.UTC)
LONGEST = "a" * 20


def test_a_run_has_the_same_name_on_every_retry_and_no_other_runs(dogs: Classifier) -> None:
    at = Names.of(dogs)
    assert at.run(MOMENT, "manual__1") == at.run(MOMENT, "manual__1")
    assert at.run(MOMENT, "manual__1") != at.run(MOMENT, "manual__2")
    assert at.run(MOMENT, "manual__1").startswith("dogs-20261122t030000-")


def test_a_moment_in_another_time_zone_is_named_in_utc(dogs: Classifier) -> None:
    zone = datetime.timezone(datetime.timedelta(hours=5))
    assert Names.of(dogs).run(MOMENT.astimezone(zone), "x") == Names.of(dogs).run(MOMENT, "x")


@pytest.mark.parametrize("classifier", ["dogs", "b" * 6, LONGEST])
def test_tuning_job_names_fit_in_32_characters_and_keep_classifier_and_digest(classifier: str) -> None:
    run = Names(classifier, "123456789012", "us-east-1").run(MOMENT, "manual__1")
    name = names.fit(run, names.TUNING_JOB_LIMIT, attempt=10)
    assert len(name) <= 32
    assert name.startswith(f"{classifier}-")
    assert name.endswith(f"-{run.rsplit('-', 1)[1]}-r10")


@pytest.mark.parametrize("part", ["train", "evaluate", "abcdef"])
def test_what_a_run_makes_keeps_the_whole_run_in_its_name(part: str) -> None:
    run = Names(LONGEST, "123456789012", "us-east-1").run(MOMENT, "manual__1")
    assert names.fit(f"{run}-{part}") == f"{run}-{part}"
    assert len(names.fit(f"{run}-{part}", attempt=99)) <= 63


def test_every_attempt_shares_the_first_ones_stem() -> None:
    run = Names(LONGEST, "123456789012", "us-east-1").run(MOMENT, "manual__1")
    assert names.fit(run, 32, 2) == names.fit(run, 32) + "-r2"


def test_the_embed_job_is_named_by_its_content(dogs: Classifier) -> None:
    assert Names.of(dogs).embed_job("0123456789ab", "89abcdef") == "dogs-embed-0123456789ab-89abcdef"


def test_the_attempts_before_a_job_are_known_by_its_name() -> None:
    assert names.attempts("dogs-1-train") == ["dogs-1-train"]
    assert names.attempts(names.fit("dogs-1-train", attempt=3)) == [
        names.fit("dogs-1-train", attempt=attempt) for attempt in (1, 2, 3)
    ]
