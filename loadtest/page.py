"""How soon the page is seen, and the pictures of it that the docs show.

    python -m loadtest.page http://127.0.0.1:8080 --driver chromedriver

Drives a real Chromium against a service that runs and has the demo index. Prints the browser's own time of the first
paint, from an empty cache, and writes the pictures as WebP to ``docs/pictures``.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
from pathlib import Path

import httpx

from tests.api.playground.browser import Browser, chromium

FOLDER = Path(__file__).parents[1] / "docs/pictures"
QUERY = "read a csv file into dictionaries"
LOADS = 10
LOADED = "document.querySelector('[name=profile]').value"
ANSWERED = "document.querySelector('.panel') && !document.getElementById('answer').hasAttribute('aria-busy')"
FIRST_PAINT = "performance.getEntriesByName('first-paint')[0]?.startTime"


def main() -> None:
    """Print the figures and write the pictures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("url", help="where the service is")
    parser.add_argument("--driver", default="chromedriver", help="program that drives the browser")
    options = parser.parse_args()
    with chromium(options.driver) as browser, httpx.Client(base_url=options.url, timeout=60) as client:
        browser.resize(1280, 800)
        paints = sorted(first_paint(browser, options.url) for _ in range(LOADS))
        print(f"first paint: median {statistics.median(paints):.0f} ms, {paints[0]:.0f} to {paints[-1]:.0f} ms")
        picture_search(browser, options.url)
        picture_documents(browser, options.url)
        picture_status(browser, options.url, client)


def first_paint(browser: Browser, url: str) -> float:
    """Milliseconds from asking for the page to seeing it, with nothing of it kept."""
    browser.devtools("Network.clearBrowserCache")
    load(browser, url)
    return float(browser.until(FIRST_PAINT))


def load(browser: Browser, url: str, view: str = "") -> None:
    """Load the page anew and wait until it knows the service."""
    browser.open("about:blank")
    browser.open(f"{url}/{view}")
    browser.until(LOADED)


def picture_search(browser: Browser, url: str) -> None:
    """Both lists and what is behind them."""
    load(browser, url)
    browser.type("#query", QUERY)
    browser.click("[type=submit]")
    browser.until(ANSWERED)
    browser.script("document.activeElement.blur(); document.getElementById('settings').open = false")
    write(browser, "search")


def picture_documents(browser: Browser, url: str) -> None:
    """The example of pasted documents."""
    load(browser, url, "#documents")
    browser.click("#example")
    browser.click("[type=submit]")
    browser.until(ANSWERED)
    browser.script("document.activeElement.blur(); document.getElementById('settings').open = false")
    write(browser, "documents")


def picture_status(browser: Browser, url: str, client: httpx.Client) -> None:
    """The status in the dark, while somebody asks."""
    browser.prefer("dark")
    load(browser, url, "#status")
    for number in itertools.count():
        client.post("/v1/search", json={"query": f"question {number % 12}", "candidates": 20}).raise_for_status()
        if browser.script("return document.querySelector('.sparkline path')?.getAttribute('d').split('L').length > 8"):
            break
    write(browser, "status")


def write(browser: Browser, name: str) -> None:
    """Write what the page looks like now."""
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f"{name}.webp").write_bytes(browser.picture(format="webp", quality=70))


if __name__ == "__main__":
    main()
