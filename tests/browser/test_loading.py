"""What a first visit costs, and that the desk is an app of its own that opens without a network."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import expect

from tests.browser.conftest import OpenDesk, OpenPhone
from tests.browser.system import System

#: Bytes over the wire until the home page of the phone stands: a few seconds on a bad connection.
MOST = 200_000


def test_the_first_load_of_the_phone_is_small(phone: OpenPhone) -> None:
    visitor = phone()
    carried: dict[str, float] = {}
    names: dict[str, str] = {}
    devtools = visitor.context.new_cdp_session(visitor.page)
    devtools.on("Network.responseReceived", lambda event: names.update({event["requestId"]: event["response"]["url"]}))
    devtools.on(
        "Network.loadingFinished", lambda event: carried.update({event["requestId"]: event["encodedDataLength"]})
    )
    devtools.send("Network.enable")
    visitor.home()
    visitor.see("theme").first.wait_for()
    visitor.page.wait_for_load_state("networkidle")
    total = sum(carried.values())
    listing = "\n".join(f"{size:8.0f} {names.get(key, '')}" for key, size in sorted(carried.items()))
    assert len(carried) >= 3, "nothing was measured"
    assert total < MOST, f"{total:.0f} bytes:\n{listing}"


def test_the_desk_is_an_app_that_opens_without_a_network(desk: OpenDesk, system: System) -> None:
    clerk = desk(system.clerk_of("居住证申领"))
    manifest: dict[str, Any] = clerk.page.evaluate(
        "fetch(document.querySelector('link[rel=manifest]').href).then((answer) => answer.json())"
    )
    assert manifest["start_url"] == "/desk/"
    assert manifest["display"] == "standalone"
    assert {"192x192", "512x512"} <= {icon["sizes"] for icon in manifest["icons"]}
    scope = clerk.page.evaluate("navigator.serviceWorker.ready.then((ready) => ready.scope)")
    assert scope == f"{system.url}/desk/"
    clerk.offline()
    clerk.page.goto("/desk/")
    expect(clerk.page.locator("#app > *").first).to_be_visible()
    expect(clerk.see("offline-banner")).to_be_visible()
