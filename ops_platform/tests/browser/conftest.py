"""One running stack and one browser for all tests in this folder."""

import os
import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from ops_platform.testing import free_base_port
from ops_platform.tests.browser.stack import Stack

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def _browser_path() -> str:
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
    if found:
        return found
    message = "no chromium on this machine (Debian: apt-get install chromium)"
    if os.environ.get("HOLDPOINT_REQUIRE_BROWSER"):
        pytest.fail(f"browser tests must run here, but there is {message}")
    warnings.warn(f"BROWSER TESTS ARE SKIPPED: {message}", stacklevel=1)
    pytest.skip(f"BROWSER TESTS ARE SKIPPED: {message}")


LAST = ("test_approvals.py", "test_gate_pages.py", "test_survival.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What writes to the plant runs after the tests that count its writes, what kills the stack
    after all that uses it."""
    items.sort(key=lambda item: LAST.index(item.path.name) if item.path.name in LAST else -1)


@pytest.fixture(scope="package")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The whole product, started as `make run` does, with a short effect window."""
    folder = tmp_path_factory.mktemp("stack")
    stack = Stack(folder / "var", free_base_port(), extra={"OPS_EFFECT_WINDOW_S": "45"})
    try:
        stack.start()
        yield stack
    finally:
        if stack.process is not None and stack.process.poll() is None:
            stack.stop()


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    path = _browser_path()
    # Not for the session: Playwright keeps an event loop running in this thread while it is open.
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def sign_in(browser: Browser, stack: Stack) -> Iterator[Callable[[str], Page]]:
    """Return a function that gives a page signed in as a role; page errors fail the test."""
    contexts = []
    problems: list[str] = []

    def open_page(role: str) -> Page:
        context = browser.new_context(viewport={"width": 1440, "height": 900})
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: problems.append(f"{page.url}: {error}"))
        page.on(
            "console",
            lambda message: (
                problems.append(f"{page.url}: {message.text}")
                if "Content Security Policy" in message.text
                else None
            ),
        )
        page.goto(f"{stack.url}/login/")
        page.get_by_label("User name").fill(role)
        page.get_by_label("Password").fill(stack.logins[role])
        page.get_by_role("button", name="Log in").click()
        page.wait_for_url(f"{stack.url}/")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert problems == []


@pytest.fixture(scope="session")
def shots() -> Path | None:
    """Where to keep screenshots: the folder in HOLDPOINT_SHOTS, or nowhere."""
    folder = os.environ.get("HOLDPOINT_SHOTS")
    if not folder:
        return None
    path = Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    return path
