"""Naming a version to `kennel rollback`."""

from typing import Any


def test_a_version_that_there_is_not_starts_nothing(kennel: Any, demo: dict[str, Any]) -> None:
    done = kennel.run("rollback", "999")
    assert done.returncode == 2
    assert done.stderr.startswith("kennel: kennel-dogs has no version 999; it has 1")
    assert done.stderr.count("\n") == 1


def test_the_version_in_service_is_found_there_and_left_alone(kennel: Any, demo: dict[str, Any]) -> None:
    [model] = {
        line.split()[3].rpartition("-")[0] for line in kennel.run("status").stdout.splitlines() if "InService" in line
    }
    version = model.removeprefix("dogs-v")
    done = kennel.run("rollback", version)
    assert done.returncode == 0, done.stderr
    assert f"Version {version} was in service with this config and function: nothing was changed." in done.stdout
