"""What follows from operations, on the JSON of docs/protocol.md: the port of the browser client's folds.

Not the server's own code: a twin that folds by itself proves that the document says enough.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

Json = dict[str, Any]

RECALLED = "[已撤回]"
MAX_PREVIEW = 80
#: As many messages of a side are counted as unread.
COUNTED = 100
_TALK = frozenset({"message", "edit", "recall", "note", "skip"})
_LINES = frozenset({"opened", "offered", "assigned", "waiting", "transferred", "closed", "reopened", "rated"})
#: Bodies whose members become members of the header; what is absent becomes null.
_STATES: dict[str, tuple[str, tuple[str, ...]]] = {
    "offered": ("offered", ("staff",)),
    "assigned": ("active", ("staff", "post_id", "department_id", "tier")),
    "waiting": ("waiting_answer", ("post_id", "department_id", "promised_at")),
    "transferred": ("queued", ("post_id", "department_id")),
}


def preview_of(content: Json) -> str:
    """One line for lists: the beginning of the text, or what stands in its place."""
    line = " ".join((content.get("text") or "")[: MAX_PREVIEW * 4].split())
    if line:
        return line if len(line) <= MAX_PREVIEW else line[: MAX_PREVIEW - 1] + "…"
    if content.get("attachments"):
        return "[图片]"
    if content.get("location"):
        return "[位置]"
    card = content.get("card")
    return f"[卡片] {card['title']}"[:MAX_PREVIEW] if card else ""


def apply_to_header(header: Json, op: Json) -> Json:
    """The header after one more operation; only the one after `header.last_seq` changes anything."""
    if op["epoch"] != header["epoch"] or op["seq"] != header["last_seq"] + 1:
        return header
    kind, found = op["kind"], header | {"last_seq": op["seq"]}
    if kind not in _TALK:
        found["version"] = op["seq"]
    if kind == "skip" or op.get("vis") == "staff" or op.get("ts") is None:
        return found
    found["updated_at"] = op["ts"]
    sender = op["from"]
    if (sender["kind"], sender["id"]) == ("citizen", header["citizen"]["id"]):
        found["citizen"] = sender
    return _fold(found, kind, op, op.get("body") or {})


def _fold(header: Json, kind: str, op: Json, body: Json) -> Json:
    if kind == "message":
        return _message(header, op, body)
    if kind == "edit":
        return _preview(header, body["target_seq"], preview_of({"text": body["text"]}))
    if kind == "recall":
        return _preview(header, body["target_seq"], RECALLED)
    if kind in _STATES:
        state, members = _STATES[kind]
        found = header | {"state": state} | {name: body.get(name) for name in members}
        if kind in ("waiting", "transferred"):
            found |= {"staff": None, "tier": None}
        if kind == "assigned":
            found["explanation"] = body.get("explanation") or header["explanation"]
        if kind == "waiting":
            found["explanation"] = body.get("explanation") or ""
        return found
    if kind == "closed":
        return header | {"state": "closed", "closed_at": op["ts"], "close_reason": body["reason"], "promised_at": None}
    if kind == "reopened":
        return header | {"state": "queued", "staff": None, "closed_at": None, "close_reason": None, "score": None}
    if kind == "rated":
        return header | {"score": body["score"]}
    return header  # a kind of a later version


def _message(header: Json, op: Json, body: Json) -> Json:
    text = RECALLED if op.get("recalled_by") else preview_of(body)
    found = header | {"last_message": {"seq": op["seq"], "from": op["from"], "text": text, "ts": op["ts"]}}
    if op["from"]["kind"] == "staff":
        found |= {"promised_at": None, "first_answered_at": header["first_answered_at"] or op["ts"]}
    return found


def _preview(header: Json, target: int, text: str) -> Json:
    last = header.get("last_message")
    if not last or last["seq"] != target or last["text"] == RECALLED:
        return header
    return header | {"last_message": last | {"text": text}}


def counts_of(ops: Sequence[Json], side: str, read: int) -> Json:
    """What follows from a whole log: `waiting_since`, and what is unread for a side after the number `read`."""
    waiting: list[Json] = []
    said: list[int] = []
    recalled = {op["body"]["target_seq"] for op in ops if op["kind"] == "recall"}
    for op in ops:
        if op["kind"] == "closed" or (op["kind"] == "message" and op["from"]["kind"] == "staff"):
            waiting = []
        elif op["kind"] == "message":
            waiting.append(op)
        if op["kind"] == "message" and op["from"]["kind"] != side and not op.get("recalled_by"):
            said.append(op["seq"])
    first = next((op["ts"] for op in waiting if op["seq"] not in recalled), None)
    return {"unread": sum(seq > read for seq in said[-COUNTED:]), "waiting_since": first}


def emptied(op: Json, recall: Json) -> Json:
    """An operation after the recall `recall`: what was recalled is not kept on the device either."""
    target = (recall.get("body") or {}).get("target_seq")
    if op["kind"] == "message" and op["seq"] == target:
        body: Json = {"text": "", "attachments": [], "location": None, "card": None, "reply_to": None}
    elif op["kind"] == "edit" and op["body"]["target_seq"] == target:
        body = op["body"] | {"text": ""}
    else:
        return op
    return op | {"body": body, "recalled_by": recall["seq"]}


def build_thread(
    ops: Iterable[Json], pending: Iterable[Json], me: tuple[str, str], state_of: Callable[[int], str]
) -> list[Json]:
    """Bubbles and lines as people read them: committed ones by number, then those on their way as typed.

    `pending` are bubbles, or `{"changing": "edit" | "recall", "target_seq": …, "text": …}`; `me` is (kind, id);
    `state_of` says how far an own message is.
    """
    items: list[Json] = []
    bubbles: dict[int, Json] = {}
    for op in ops:
        body = op.get("body") or {}
        kind, target = op["kind"], bubbles.get(body.get("target_seq") or 0)
        if kind in ("message", "note"):
            mine = (op["from"]["kind"], op["from"]["id"]) == me
            recalled = op.get("recalled_by") is not None
            bubbles[op["seq"]] = bubble = {
                "type": "bubble",
                "cid": op["cid"],
                "seq": op["seq"],
                "mine": mine,
                "from": op["from"],
                "content": {} if recalled else dict(body),
                "note": kind == "note",
                "recalled": recalled,
                "edited_at": None,
                "state": state_of(op["seq"]) if mine else "sent",
            }
            items.append(bubble)
        elif kind == "edit" and target and not target["recalled"]:
            target["content"]["text"], target["edited_at"] = body["text"], op["ts"]
        elif kind == "recall" and target:
            target |= {"content": {}, "edited_at": None, "recalled": True}
        elif kind in _LINES:
            items.append({"type": "system", "seq": op["seq"], "kind": kind, "op": op})
    for item in pending:
        if "changing" not in item:
            items.append(item)
        elif (target := bubbles.get(item["target_seq"])) and not target["recalled"]:
            target["changing"] = item["changing"]
            if item["changing"] == "edit":
                target["content"]["text"] = item["text"]
    for item in items:
        quoted = item.get("content", {}).get("reply_to")
        if quoted:
            item["quote"] = _quote(quoted, bubbles.get(quoted))
    return items


def _quote(seq: int, target: Json | None) -> Json:
    if target is None:
        return {"seq": seq, "from": None, "text": "", "recalled": False}
    text = "" if target["recalled"] else preview_of(target["content"])
    return {"seq": seq, "from": target["from"], "text": text, "recalled": target["recalled"]}
