"""A headless Chromium, and what it says of a page."""

from __future__ import annotations

import base64
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

SCREENS = Path(__file__).parents[2] / "out" / "screens"

_FLAGS = (
    "--headless=new",
    # The sandbox needs what a container does not give to root; pages here are our own.
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--force-color-profile=srgb",
)
_TALLEST = 4000


class Browser:
    """One tab, used for one page after the other."""

    def __init__(self, driver: Chrome) -> None:
        self.driver = driver

    def open(
        self, path: Path, *, width: int = 1280, scheme: str = "light", media: str = "screen"
    ) -> None:
        """Load a page anew, as a window of that width in that colour scheme shows it."""
        self.tell(
            "Emulation.setEmulatedMedia",
            media=media,
            features=[{"name": "prefers-color-scheme", "value": scheme}],
        )
        self.tell(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=800,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        self.driver.get("about:blank")
        self.said()
        self.requests()
        self.driver.get(path.as_uri())

    def tell(self, command: str, **values: Any) -> Any:
        """Give a command of the DevTools protocol."""
        return self.driver.execute_cdp_cmd(command, values)

    def run(self, script: str, *values: Any) -> Any:
        """Run a script in the page, past its policy."""
        return self.driver.execute_script(script, *values)

    def said(self) -> list[str]:
        """What has come to the console since this was asked last."""
        return [item["message"] for item in self.driver.get_log("browser")]

    def requests(self) -> list[str]:
        """What was asked for since this was asked last."""
        found = [
            json.loads(item["message"])["message"] for item in self.driver.get_log("performance")
        ]
        return [
            item["params"]["request"]["url"]
            for item in found
            if item["method"] == "Network.requestWillBeSent"
        ]

    def screenshot(self, name: str) -> None:
        """The whole page, or as much of it as somebody looks at."""
        width, height = self.run(
            "const e = document.documentElement; return [e.clientWidth, e.scrollHeight]"
        )
        shot = self.tell(
            "Page.captureScreenshot",
            captureBeyondViewport=True,
            clip={"x": 0, "y": 0, "width": width, "height": min(height, _TALLEST), "scale": 1},
        )
        SCREENS.mkdir(parents=True, exist_ok=True)
        (SCREENS / f"{name}.png").write_bytes(base64.b64decode(shot["data"]))


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    options = ChromeOptions()
    options.binary_location = shutil.which("chromium") or shutil.which("google-chrome") or ""
    for flag in (*_FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    folder = os.environ.get("CHROMEWEBDRIVER", "")
    service = Service(shutil.which("chromedriver") or f"{folder}/chromedriver")
    with Chrome(options=options, service=service) as driver:
        yield Browser(driver)
