"""A headless Chromium that opens one file and notes whatever it asks for or complains of."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.processes import DEADLINE

_DEADLINE = 1000 * DEADLINE  # ms
_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@contextmanager
def chromium() -> Iterator:
    """A browser with a fresh profile; skips, with the reason, where there is no Chromium."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if not path:
        pytest.skip("no Chromium on this machine: apt-get install chromium, or CHROMIUM=/path/to/it")
    with (
        playwright.sync_playwright() as running,
        running.chromium.launch(
            executable_path=path, headless=True, args=list(_FLAGS), timeout=_DEADLINE
        ) as browser,
    ):
        yield browser


@contextmanager
def opened(browser, file: Path, width=1440, scheme="light", javascript=True) -> Iterator:
    """The page of a file; fails at the end if it asked for anything else, or logged anything."""
    viewport = {"width": width, "height": 900}
    context = browser.new_context(viewport=viewport, color_scheme=scheme, java_script_enabled=javascript)
    context.set_default_timeout(_DEADLINE)
    page = context.new_page()
    requests, complaints = [], []
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: complaints.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(file.as_uri())
    if javascript:
        page.wait_for_selector("body[data-ready=yes]")
    yield page
    context.close()
    assert requests == [file.as_uri()], requests
    assert complaints == [], complaints
