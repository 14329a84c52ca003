"""The example of docs/protocol.md is played, frame by frame, against the real server."""

from __future__ import annotations

import io
import json
import re
import uuid
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from PIL import Image

from tests.conformance.stage import World

DOCUMENT = Path(__file__).parents[2] / "docs" / "protocol.md"
ANY = "…"


def photograph() -> bytes:
    """320 × 200 pixels."""
    out = io.BytesIO()
    Image.new("RGB", (320, 200), (120, 60, 80)).save(out, "JPEG")
    return out.getvalue()


def split(frame: str) -> tuple[str, Any]:
    """A frame's numbers and namespace, and its JSON."""
    head, body = re.match(r"^(\d+(?:/\w+,)?\d*)(.*)$", frame, re.DOTALL).groups()  # type: ignore[union-attr]
    return head, json.loads(body) if body else None


def fits(wanted: Any, got: Any, known: dict[str, str]) -> bool:
    """Whether a value is what the document says; `$NAME` is learnt where it comes first."""
    if wanted == ANY:
        return True
    if isinstance(wanted, str) and wanted.startswith("$"):
        return bool(known.setdefault(wanted, got) == got)
    if isinstance(wanted, dict) and isinstance(got, dict):
        named = {known.get(name, name): value for name, value in wanted.items() if name != ANY}
        complete = ANY in wanted or set(named) == set(got)
        return complete and all(name in got and fits(value, got[name], known) for name, value in named.items())
    if isinstance(wanted, list) and isinstance(got, list):
        return len(wanted) == len(got) and all(fits(w, g, known) for w, g in zip(wanted, got, strict=True))
    return bool(wanted == got)


@pytest.mark.asyncio(loop_scope="session")
async def test_the_session_in_the_document_is_what_the_server_says(world: World) -> None:
    example = "".join(re.findall(r"```frames\n(.*?)```", DOCUMENT.read_text(), re.DOTALL))
    citizen = await world.command("citizen", f"reader-{uuid.uuid4().hex[:12]}")
    headers = {"Authorization": f"Bearer {citizen['token']}"}
    known = {f"$CID{n}": str(uuid.uuid4()) for n in range(1, 10)}
    known |= {"$MATTER": world.matter_id, "$PHOTO": str(uuid.uuid4())}
    async with aiohttp.ClientSession(headers=headers) as http:
        async with http.post(f"{world.url}/api/socket-tickets") as response:
            known["$TICKET"] = (await response.json())["ticket"]
        form = aiohttp.FormData({"upload_id": known["$PHOTO"]})
        form.add_field("file", photograph(), filename="户口本.jpg", content_type="image/jpeg")
        async with http.post(f"{world.url}/api/consultation-photos", data=form) as response:
            assert response.status == 201, await response.text()
        async with http.ws_connect(f"{world.url}/socket.io/?EIO=4&transport=websocket") as socket:
            heard: list[tuple[str, Any]] = []
            for line in example.splitlines():
                way, frame = line[0], line[2:]
                if way == ">":
                    for name, value in known.items():
                        frame = frame.replace(name, value)
                    await socket.send_str(frame)
                    continue
                head, wanted = split(frame)
                while not any(each[0] == head and fits(wanted, each[1], dict(known)) for each in heard):
                    try:
                        text = await socket.receive_str(timeout=15)
                    except TimeoutError:
                        raise AssertionError(f"{frame}\nnever came; what came: {heard}") from None
                    heard.append(split(text))
                found = next(each for each in heard if each[0] == head and fits(wanted, each[1], dict(known)))
                assert fits(wanted, found[1], known)
                heard.remove(found)
    assert "$CONV" in known
