"""A real Chromium, driven through chromedriver by the W3C WebDriver protocol over plain HTTP."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",  # small in containers
]
_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
"""What the protocol calls a reference to an element."""

KEYS = {"Tab": "\ue004", "Enter": "\ue007", "Space": " ", "ArrowLeft": "\ue012", "Home": "\ue011"}
PATIENCE_S = 120
"""A busy machine is no reason to fail."""


class Browser:
    """One window of a new profile."""

    def __init__(self, session: httpx.Client) -> None:
        self._session = session

    def open(self, url: str) -> None:
        """Load a page; one that differs in its fragment alone is only scrolled to, as everywhere."""
        self._post("url", url=url)

    def script(self, source: str, *arguments: Any) -> Any:
        """What the body of a function returns."""
        return self._post("execute/sync", script=source, args=list(arguments))

    def later(self, source: str, *arguments: Any) -> Any:
        """What the body of a function gives to its last argument."""
        return self._post("execute/async", script=source, args=list(arguments))

    def until(self, condition: str, *arguments: Any) -> Any:
        """Wait until an expression is true, and give its value."""
        pause = threading.Event()
        for _ in range(PATIENCE_S * 20):
            if value := self.script(f"return {condition}", *arguments):
                return value
            pause.wait(0.05)
        raise AssertionError(f"never came: {condition}; the page says {self.text('body')!r}")

    def text(self, selector: str) -> str:
        """The text of an element as it is seen."""
        text: str = self.script("return document.querySelector(arguments[0]).innerText", selector)
        return text

    def texts(self, selector: str) -> list[str]:
        """The texts of all such elements."""
        found: list[str] = self.script(
            "return [...document.querySelectorAll(arguments[0])].map((one) => one.innerText)", selector
        )
        return found

    def click(self, selector: str) -> None:
        """Click in the middle of an element that is seen."""
        self._post(f"element/{self._find(selector)}/click")

    def type(self, selector: str, text: str) -> None:
        """Type into a field that is emptied first."""
        element = self._find(selector)
        self._post(f"element/{element}/clear")
        self._post(f"element/{element}/value", text=text)

    def choose(self, selector: str, value: str) -> None:
        """Choose an option, as a person does."""
        self.script(
            "const field = document.querySelector(arguments[0]); field.value = arguments[1];"
            "field.dispatchEvent(new Event('change', {bubbles: true}))",
            selector,
            value,
        )

    def press(self, *keys: str) -> None:
        """Press keys one after the other, wherever the focus is."""
        strokes = [{"type": kind, "value": KEYS.get(key, key)} for key in keys for kind in ("keyDown", "keyUp")]
        self._post("actions", actions=[{"type": "key", "id": "keyboard", "actions": strokes}])

    def resize(self, width: int, height: int) -> None:
        """Make the page as wide and high in CSS pixels, also where windows cannot be so narrow."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.devtools("Emulation.setDeviceMetricsOverride", **metrics)
        self.devtools("Emulation.setScrollbarsHidden", hidden=True)

    def prefer(self, scheme: str) -> None:
        """Have the system prefer ``light`` or ``dark``."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.devtools("Emulation.setEmulatedMedia", features=features)

    def picture(self, **options: Any) -> bytes:
        """The page as an image, as far down as it goes."""
        shot = self.devtools("Page.captureScreenshot", captureBeyondViewport=True, **options)
        return base64.b64decode(shot["data"])

    def devtools(self, command: str, **parameters: Any) -> Any:
        """Run a command of the DevTools protocol."""
        return self._post("goog/cdp/execute", cmd=command, params=parameters)

    def console(self) -> list[str]:
        """What the console has said since it was asked last, but for requests that were refused on purpose."""
        entries = self._post("se/log", type="browser")
        return [entry["message"] for entry in entries if entry["level"] == "SEVERE" and entry["source"] != "network"]

    def origins(self) -> set[str]:
        """Where the page has sent requests since it was asked last."""
        messages = [json.loads(entry["message"])["message"] for entry in self._post("se/log", type="performance")]
        urls = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
        return {f"{parts.scheme}://{parts.netloc}" for parts in map(urlsplit, urls)}

    def _find(self, selector: str) -> str:
        found: dict[str, str] = self._post("element", using="css selector", value=selector)
        return found[_ELEMENT]

    def _post(self, command: str, **body: Any) -> Any:
        response = self._session.post(command, json=body)
        value = response.json()["value"]
        assert response.is_success, value
        return value


@contextmanager
def chromium(driver: str) -> Iterator[Browser]:
    """A new browser, driven by the program ``driver``."""
    with tempfile.TemporaryDirectory() as profile, _driver(driver) as address:
        options = {"args": [*FLAGS, f"--user-data-dir={profile}"]}
        wanted = {
            "goog:chromeOptions": options,
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
            "timeouts": {"script": PATIENCE_S * 1000},
        }
        body = {"capabilities": {"alwaysMatch": wanted}}
        with httpx.Client(base_url=address, timeout=PATIENCE_S) as driver_client:
            made = driver_client.post("/session", json=body).json()["value"]
            session = f"{address}/session/{made['sessionId']}/"
            try:
                with httpx.Client(base_url=session, timeout=PATIENCE_S) as client:
                    yield Browser(client)
            finally:
                driver_client.delete(session.rstrip("/"))


@contextmanager
def _driver(program: str) -> Iterator[str]:
    """The address of a chromedriver on a free port, which it tells itself."""
    with subprocess.Popen(  # noqa: S603 - the program that the caller names
        [program, "--port=0"], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            port = _told(process.stdout.readline)
            threading.Thread(target=process.stdout.read, daemon=True).start()  # a full pipe would stop it
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def _told(next_line: Callable[[], str]) -> str:
    while line := next_line():
        if found := re.search(r"on port ([1-9]\d*)", line):  # it first says that it was asked for port 0
            return found[1]
    raise AssertionError("chromedriver ended before it was ready")
