"""Seeing is believing: Airflow's own pages after a demo, in a headless Chromium."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.browser import CHROMIUM, Page, opened

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium here")
# Each badge of an element: what it says, and its colour as red, green and blue.
BADGES = """
[...document.querySelectorAll('%s [data-testid=state-badge]')].map(badge => {
    const dot = document.createElement('canvas').getContext('2d');
    dot.fillStyle = getComputedStyle(badge).backgroundColor;
    dot.fillRect(0, 0, 1, 1);
    return {said: badge.ariaLabel || badge.innerText.trim(), colour: [...dot.getImageData(0, 0, 1, 1).data]};
})
"""


def are_green(badges: list[dict[str, Any]]) -> bool:
    """Whether all say success, and in green."""
    return {badge["said"].lower() for badge in badges} == {"success"} and all(map(is_green, badges))


def is_green(badge: dict[str, Any]) -> bool:
    red, green, blue, _ = badge["colour"]
    return bool(green > 2 * max(red, blue))


@pytest.fixture
def page(kennel: Any, demo: dict[str, Any], tmp_path: Path) -> Iterator[Page]:
    """A tab of somebody who has logged in as admin with the password that the demo showed."""
    password = json.loads((kennel.home / "airflow-passwords.json").read_text())["admin"]
    assert f"password {password}" in demo["output"]
    login = {"username": "admin", "password": password}
    answer = httpx.post(f"{demo['airflow']['url']}/auth/token", json=login, trust_env=False)
    with opened(tmp_path / "profile") as tab:
        tab.call("Network.setCookie", name="_token", value=answer.json()["access_token"], url=demo["airflow"]["url"])
        yield tab


@pytest.mark.parametrize("dag", ["retrain", "deploy"])
def test_a_run_and_all_its_tasks_but_skipped_ones_are_green(
    page: Page, demo: dict[str, Any], dag: str, tmp_path: Path
) -> None:
    page.call("Page.navigate", url=f"{demo['airflow']['url']}/dags/{dag}/runs/{demo[dag]['run_id']}")
    page.wait_for("document.body.innerText.includes('Task Instances')")
    # the run's own badge and one for each task
    badges = BADGES % "body"
    page.wait_for(f"{badges}.length == {len(demo[dag]['tasks']) + 1}")
    page.screenshot(tmp_path / f"{dag}.png")
    found = page.evaluate(badges)
    assert are_green([badge for badge in found if badge["said"].lower() != "skipped"])
    skipped = [task for task in demo[dag]["tasks"] if task["state"] == "skipped"]
    assert len([badge for badge in found if badge["said"].lower() == "skipped"]) == len(skipped)


def test_the_list_shows_the_latest_run_of_both_dags_green(page: Page, demo: dict[str, Any], tmp_path: Path) -> None:
    page.call("Page.navigate", url=f"{demo['airflow']['url']}/dags")
    for dag in ("retrain", "deploy"):
        badges = BADGES % f'a[href="/dags/{dag}/runs/{demo[dag]["run_id"]}"]'
        page.wait_for(f"{badges}.length == 1")
        assert are_green(page.evaluate(badges))
    page.screenshot(tmp_path / "dags.png")


def test_somebody_who_is_not_logged_in_sees_the_login_and_nothing_else(demo: dict[str, Any], tmp_path: Path) -> None:
    with opened(tmp_path / "profile") as tab:
        tab.call("Page.navigate", url=f"{demo['airflow']['url']}/dags/retrain")
        tab.wait_for(
            "location.pathname.startsWith('/auth/login') && document.querySelector('input[type=password]') !== null"
        )
        assert "retrain" not in tab.text()
