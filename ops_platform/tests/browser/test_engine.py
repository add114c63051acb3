"""The engine page in a real browser: live blocks, keyboard, a killed engine and its return."""

import os
import re
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import pytest
from playwright.sync_api import Page, expect

from ops_platform.tests.browser.stack import Stack

pytestmark = [pytest.mark.browser, pytest.mark.slow]
SignIn = Callable[[str], Page]


@contextmanager
def asking(stack: Stack, number: int) -> Iterator[None]:
    """Requests with a common start that go on until the block is left."""
    done = threading.Event()
    prompt = "Chillers reject heat to the condenser water loop. " * 12

    def go(index: int) -> None:
        body = {"prompt": f"{prompt}{index}", "max_tokens": 400, "ignore_eos": True}
        while not done.is_set():
            with httpx.stream(
                "POST",
                f"http://127.0.0.1:{stack.port + 100}/v1/completions",
                json={**body, "stream": True},
                timeout=60,
            ) as answer:
                for _ in answer.iter_lines():
                    if done.is_set():
                        return

    threads = [threading.Thread(target=go, args=(index,)) for index in range(number)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        done.set()
        for thread in threads:
            thread.join()


def test_it_shows_who_holds_which_block(sign_in: SignIn, stack: Stack, shots) -> None:
    page = sign_in("viewer")
    with asking(stack, 3):
        page.get_by_role("link", name="Engine").click()
        rows = page.locator("#sequences tr").filter(has_text="running")
        expect(rows).to_have_count(3, timeout=20_000)
        expect(page.locator("#map-legend [data-key=shared] b")).not_to_have_text("0")
        expect(page.locator("[data-tile=generation]")).to_have_text(re.compile(r"^[1-9]\d*/s"))
        expect(page.locator("#engine-line")).to_contain_text("SmolLM2-135M-Instruct")
        expect(page.locator("[data-series=generation] canvas")).to_be_visible()
        expect(page.locator("[data-tile=source]")).to_have_text(
            re.compile("estimated|measured by RAPL")
        )

        first = rows.first.get_by_role("button")
        first.click()
        expect(first).to_have_attribute("aria-pressed", "true")
        expect(page.locator("#map-detail")).to_contain_text("Following sequence #")
        page.keyboard.press("Escape")
        expect(first).to_have_attribute("aria-pressed", "false")

        map_ = page.locator("#map canvas")
        map_.focus()
        for key in ("ArrowRight", "ArrowRight", "ArrowDown"):
            page.keyboard.press(key)
        expect(page.locator("#map-spoken")).to_have_text(
            re.compile(r"Block \d+ · .* of 16 positions filled")
        )
        if shots:
            page.screenshot(path=shots / "engine.png", full_page=True)


def test_it_fits_a_phone(sign_in: SignIn, stack: Stack) -> None:
    page = sign_in("viewer")
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{stack.url}/engine/")
    expect(page.locator("#engine")).to_have_attribute("data-state", "ready", timeout=20_000)
    assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_it_rests_while_nobody_looks(sign_in: SignIn, stack: Stack) -> None:
    page = sign_in("viewer")
    page.goto(f"{stack.url}/engine/")
    expect(page.locator("#engine")).to_have_attribute("data-state", "ready", timeout=20_000)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.evaluate(
        "Object.defineProperty(document, 'hidden', {value: true, configurable: true});"
        "document.dispatchEvent(new Event('visibilitychange'))"
    )
    page.wait_for_timeout(1500)
    asked.clear()
    page.wait_for_timeout(2500)
    assert [url for url in asked if "/api/v1/engine/" in url] == []
    page.evaluate(
        "Object.defineProperty(document, 'hidden', {value: false, configurable: true});"
        "document.dispatchEvent(new Event('visibilitychange'))"
    )
    page.wait_for_timeout(1500)
    assert [url for url in asked if "/api/v1/engine/" in url]


def test_it_says_that_the_engine_is_gone_and_recovers(sign_in: SignIn, stack: Stack) -> None:
    page = sign_in("viewer")
    page.goto(f"{stack.url}/engine/")
    engine = page.locator("#engine")
    expect(engine).to_have_attribute("data-state", "ready", timeout=20_000)
    os.kill(stack.children()["kvserve"], signal.SIGKILL)
    expect(page.get_by_text(re.compile("does not answer|is getting ready"))).to_be_visible(
        timeout=10_000
    )
    expect(engine).to_have_attribute("data-state", "ready", timeout=60_000)
    expect(page.locator("#engine-down")).to_be_hidden()
