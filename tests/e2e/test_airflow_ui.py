"""Seeing is believing: Airflow's own pages after a demo, in a headless Chromium."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.browser import CHROMIUM, Page, opened

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium here")
GREEN = "rgb(0, 128, 0)"
BADGES = "[...document.querySelectorAll('[data-testid=state-badge]')]"


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
def test_a_run_and_all_its_tasks_are_green(page: Page, demo: dict[str, Any], dag: str, tmp_path: Path) -> None:
    page.call("Page.navigate", url=f"{demo['airflow']['url']}/dags/{dag}/runs/{demo[dag]['run_id']}")
    page.wait_for("document.body.innerText.includes('Task Instances')")
    # the run's own badge and one for each task
    page.wait_for(f"{BADGES}.length == {len(demo[dag]['tasks']) + 1}")
    said = page.evaluate(f"{BADGES}.map(badge => badge.innerText.trim())")
    colours = page.evaluate(f"{BADGES}.map(badge => getComputedStyle(badge).backgroundColor)")
    page.screenshot(tmp_path / f"{dag}.png")
    assert set(said) == {"Success"}
    assert set(colours) == {GREEN}


def test_the_list_shows_both_dags_with_their_latest_run_green(page: Page, demo: dict[str, Any], tmp_path: Path) -> None:
    page.call("Page.navigate", url=f"{demo['airflow']['url']}/dags")
    page.wait_for("document.body.innerText.includes('2 Dags')")
    page.wait_for("document.querySelectorAll('[data-testid=state-badge]').length >= 2")
    page.screenshot(tmp_path / "dags.png")
    assert set(page.evaluate(f"{BADGES}.map(badge => getComputedStyle(badge).backgroundColor)")) == {GREEN}
