"""What the Python client has of one consultation: its log, its header, how far everybody is."""

from __future__ import annotations

from typing import Any

from chat.client_fold import Json, apply_to_header, counts_of, emptied


class LocalLog:
    """What this client has of one consultation: operations 1 … `seq` of one epoch without gaps."""

    def __init__(self, consultation_id: str) -> None:
        self.consultation_id = consultation_id
        self.epoch = 0
        self.ops: list[Json] = []
        self.header: Json = {}
        self.receipts: dict[str, Json] = {}
        """The watermarks of each kind of reader: whoever got furthest."""
        self.joined = False
        self.read = 0
        """What this device wants to be known as read; `told` is what the server is known to have."""
        self.told = (0, 0)
        self.typing: str | None = None
        self.doubles = 0
        self.gaps = 0
        self._ahead: dict[int, Json] = {}

    @property
    def seq(self) -> int:
        return len(self.ops)

    @property
    def at(self) -> str:
        """When something last happened in it, by the server's clock; as text, which sorts like time."""
        said = next((str(op["ts"]) for op in reversed(self.ops) if "ts" in op), "")
        return max(said, str(self.header.get("updated_at", "")))

    @property
    def gap(self) -> bool:
        """Operations are kept aside until what lies before them is there."""
        return bool(self._ahead)

    def add(self, op: Json) -> list[Json]:
        """Take one operation in, and what waited for it. Returns what was applied, in order."""
        if op["epoch"] != self.epoch:
            self.reset(op["epoch"])
        if op["seq"] <= self.seq:
            self.doubles += 1
            return []
        self._ahead[op["seq"]] = op
        applied = []
        while following := self._ahead.pop(self.seq + 1, None):
            self.ops.append(following)
            if following["kind"] == "recall":
                self.ops = [emptied(each, following) for each in self.ops]
            if self.header:
                self.header = apply_to_header(self.header, following)
            applied.append(following)
        if self._ahead:
            self.gaps += 1
        return applied

    def reset(self, epoch: int) -> None:
        """The server's log is another one now: begin again."""
        self.epoch = epoch
        self.ops.clear()
        self._ahead.clear()
        self.receipts.clear()
        self.read, self.told = 0, (0, 0)

    def meet(self, header: Json) -> None:
        """A header as the server has it now, brought up to date with what the log has beyond."""
        old = self.header
        if old and old["epoch"] == header["epoch"] and old["last_seq"] > header["last_seq"]:
            self.header = header | old | {"read": header["read"]}
            return
        if header["epoch"] == self.epoch:
            for op in self.ops[header["last_seq"] :]:
                header = apply_to_header(header, op)
        self.header = header

    def receive(self, receipt: Json) -> None:
        """Watermarks only grow."""
        kind = receipt["reader"]["kind"]
        old = self.receipts.get(kind, receipt)
        self.receipts[kind] = receipt | {name: max(old[name], receipt[name]) for name in ("delivered", "read")}

    def shown(self, side: str) -> Json:
        """The header with all that follows from the log, where the log is here as far as the header."""
        if not self.header:
            return {}
        read = dict(self.header["read"])
        for kind, receipt in self.receipts.items():
            if kind in read:
                read[kind] = max(read[kind], receipt["read"])
        read[side] = max(read[side], self.read)
        found = self.header | {"read": read}
        if self.epoch == found["epoch"] and self.seq >= found["last_seq"]:
            found |= counts_of(self.ops, side, read[side])
        return found

    def state_of(self, side: str, seq: int) -> str:
        """How far an own message is: `sent`, `delivered` or `read`."""
        other = "staff" if side == "citizen" else "citizen"
        receipt = self.receipts.get(other, {"delivered": 0, "read": 0})
        if max(receipt["read"], self.header.get("read", {}).get(other, 0)) >= seq:
            return "read"
        return "delivered" if receipt["delivered"] >= seq else "sent"

    def texts(self) -> list[str]:
        """The messages as sent, in order; what was recalled is empty."""
        return [op["body"]["text"] for op in self.ops if op["kind"] == "message"]

    def to_json(self) -> Json:
        """What is kept through a restart."""
        return {
            "epoch": self.epoch,
            "ops": self.ops,
            "header": self.header,
            "receipts": self.receipts,
            "read": self.read,
        }

    @classmethod
    def from_json(cls, consultation_id: str, stored: Any) -> LocalLog:
        """What `to_json` gave."""
        log = cls(consultation_id)
        log.epoch, log.ops, log.header = stored["epoch"], stored["ops"], stored["header"]
        log.receipts, log.read = stored["receipts"], stored["read"]
        return log
