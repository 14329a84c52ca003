"""A consultation as it stands on a screen, and as it stands in the log."""

from __future__ import annotations

from typing import Any

from backend.commands.browser.desk import Desk
from backend.commands.browser.phone import Phone
from backend.commands.browser.window import Window
from tests.embedded.machine import wait_until

_ON_SCREEN = """bubbles => bubbles.map(bubble => {
  const text = bubble.querySelector('.bubble-text, p.text')?.innerText ?? ''
  const photos = bubble.querySelectorAll('[data-testid="photo"]').length
  return photos ? `${text}[${photos}]` : text
})"""


def on_screen(window: Window) -> list[str]:
    """The messages as they are shown, in order: their words, and how many photographs each carries."""
    return list(window.page.get_by_test_id("bubble").evaluate_all(_ON_SCREEN))


def in_the_log(desk: Desk, conv: str) -> list[str]:
    """The messages as the server has them, in order."""
    found: list[str] = []
    after = 0
    while True:
        answer = desk.context.request.get(f"/api/consultations/{conv}/ops?after={after}")
        assert answer.ok, answer.text()
        ops: list[dict[str, Any]] = answer.json()["ops"]
        for op in ops:
            if op["kind"] == "message":
                body = op["body"]
                photos = len(body.get("attachments") or [])
                found.append(f"{body.get('text') or ''}[{photos}]" if photos else body.get("text") or "")
        if not ops:
            return found
        after = ops[-1]["seq"]


def same_everywhere(conv: str, desk: Desk, *others: Phone | Desk) -> list[str]:
    """Every screen shows what the log holds: nothing lost, nothing twice, in the same order. Returns it."""
    windows: tuple[Phone | Desk, ...] = (desk, *others)
    for window in windows:
        window.settled()
    said = in_the_log(desk, conv)
    for window in windows:
        wait_until(lambda window=window: on_screen(window) == said, f"{on_screen(window)} is not {said}")  # type: ignore[misc]
    return said
