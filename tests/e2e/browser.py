"""A headless Chromium, driven through its own DevTools protocol: https://chromedevtools.github.io/devtools-protocol/."""

import base64
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import httpx
from websockets.sync.client import ClientConnection, connect

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Page:
    """One tab."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._numbers = count(1)

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """A DevTools command and its result; events in between are passed over."""
        number = next(self._numbers)
        self._connection.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            answer = json.loads(self._connection.recv(timeout=60))
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return dict(answer["result"])

    def evaluate(self, script: str) -> Any:
        """A JavaScript expression's value."""
        return self.call("Runtime.evaluate", expression=script, returnByValue=True)["result"].get("value")

    def wait_for(self, script: str, seconds: float = 60) -> None:
        """Return when a JavaScript expression is true."""
        deadline = time.monotonic() + seconds
        while not self.evaluate(script):
            assert time.monotonic() < deadline, f"{script} is still not true; the page says: {self.text()}"
            time.sleep(0.2)

    def text(self) -> str:
        """All that can be read on the page."""
        return str(self.evaluate("document.body.innerText"))

    def screenshot(self, file: Path) -> None:
        """The visible part of the page as PNG."""
        file.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))


@contextmanager
def opened(profile: Path) -> Iterator[Page]:
    """A new browser with one empty tab."""
    assert CHROMIUM
    command = [CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    # Nothing of its own may call home.
    command += ["--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
    command += ["--remote-debugging-port=0", f"--user-data-dir={profile}", "--window-size=1500,1000", "about:blank"]
    with (profile.parent / "chromium.log").open("w") as log:
        browser = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        with connect(_tab(profile), max_size=None) as connection:
            yield Page(connection)
    finally:
        browser.terminate()
        browser.wait(timeout=20)


def _tab(profile: Path) -> str:
    """The address of the first tab's DevTools, which the browser tells in a file when it is up."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        file = profile / "DevToolsActivePort"
        if file.exists() and file.read_text().count("\n"):
            tabs = httpx.get(f"http://127.0.0.1:{file.read_text().split()[0]}/json/list", trust_env=False).json()
            for tab in tabs:
                if tab["type"] == "page":
                    return str(tab["webSocketDebuggerUrl"])
        time.sleep(0.1)
    raise AssertionError(f"{CHROMIUM} did not start: {(profile.parent / 'chromium.log').read_text()[-2000:]}")
