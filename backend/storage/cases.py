"""Cases in MongoDB: one document per case, saved by version in one transaction with its event and timers."""

from __future__ import annotations

import re
import typing
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any, Literal

from pydantic import TypeAdapter
from pymongo import ASCENDING, DESCENDING, ReturnDocument
from pymongo.errors import DuplicateKeyError

from backend.domain.access import Target
from backend.domain.case_clocks import running
from backend.domain.cases import Case, Timer
from backend.domain.codes import case_number
from backend.domain.errors import EditConflict
from backend.domain.events import Event
from backend.domain.procedure import FINAL, CaseEventKind, CaseState
from backend.storage.database import Database, Document, IndexDeclaration, Session
from backend.storage.documents import from_document, to_document, to_value
from backend.storage.events import EventStore
from backend.storage.personal_data import PersonalDataCodec
from backend.storage.timers import TimerStore

INDEXES: list[IndexDeclaration] = [
    ("cases", [("citizen_id", 1), ("created_at", -1), ("_id", -1)], {"name": "mine"}),
    ("cases", [("post_id", 1), ("open", 1), ("sort_due", 1), ("_id", 1)], {"name": "post_desk"}),
    ("cases", [("handling_department_id", 1), ("open", 1), ("sort_due", 1), ("_id", 1)], {"name": "department_desk"}),
    ("cases", [("open", 1), ("sort_due", 1), ("_id", 1)], {"name": "district_desk"}),
    (
        "cases",
        [("number", 1)],
        {"unique": True, "name": "number", "partialFilterExpression": {"number": {"$type": "string"}}},
    ),
    (
        "cases",
        [("reckoned", 1), ("_id", 1)],
        {"name": "reckoned", "partialFilterExpression": {"reckoned": {"$exists": True}}},
    ),
    ("case_serials", [("day", 1)], {"name": "day"}),
]

#: What is not due sorts behind everything that is.
_NEVER = datetime(9999, 1, 1, tzinfo=UTC)

Phase = Literal["draft", "open", "closed", "submitted"]
#: Not handed in yet; handed in and not over; over; handed in, over or not.
_PHASES: Mapping[Phase, Document] = {
    "draft": {"state": CaseState.DRAFT.value},
    "open": {"open": True, "state": {"$ne": CaseState.DRAFT.value}},
    "closed": {"open": False},
    "submitted": {"state": {"$ne": CaseState.DRAFT.value}},
}

#: Recorded, but announced to nobody: a citizen filling in a form.
_QUIET = {CaseEventKind.DRAFTED.value, CaseEventKind.EDITED.value, CaseEventKind.DISCARDED.value}

_FIELDS = {name: TypeAdapter(kind) for name, kind in typing.get_type_hints(Case).items()}


def _serial_id(matter_code: str, day: date) -> str:
    return f"{matter_code}:{day:%Y%m%d}"


@dataclass(frozen=True, slots=True)
class Progress:
    """As much of a case as a progress page needs, from one small read."""

    id: str
    citizen_id: str
    post_id: str | None
    handling_department_id: str | None
    state: CaseState
    version: int
    number: str | None
    matter_name: str
    department_name: str
    updated_at: datetime
    due_at: datetime | None

    @property
    def target(self) -> Target:
        return Target(self.citizen_id, post_id=self.post_id, department_id=self.handling_department_id)


@dataclass(frozen=True, slots=True)
class DeskFilter:
    """Which cases a work list shows: of these posts or this department, None and empty meaning everybody's.
    `due_before` and `due_from` bound the due time; `is_open` None means open and over. `search` is a whole
    办件编号, its beginning (the matter's code and more) or its end (day and serial), else a part of the matter's name:
    applicants' names are encrypted and not searched."""

    post_ids: frozenset[str] | None = None
    department_id: str | None = None
    states: frozenset[CaseState] = frozenset()
    is_open: bool | None = True
    matter_id: str | None = None
    search: str | None = None
    due_from: datetime | None = None
    due_before: datetime | None = None


@dataclass(frozen=True, slots=True)
class DeskCounts:
    """How many cases stand where: `states` of the open ones, `matters` as (id, name, open cases), most first."""

    states: Mapping[CaseState, int]
    today: int
    overdue: int
    closed: int
    matters: tuple[tuple[str, str, int], ...]


def _reach(chosen: DeskFilter) -> Document:
    """Whose cases, drafts never among them."""
    query: Document = {"state": {"$ne": CaseState.DRAFT.value}}
    if chosen.post_ids is not None:
        query["post_id"] = {"$in": sorted(chosen.post_ids)}
    if chosen.department_id is not None:
        query["handling_department_id"] = chosen.department_id
    return query


def _searched(text: str) -> Document:
    number = re.sub(r"\s", "", text).upper()
    if re.fullmatch(r"[0-9A-Z]+", number) and re.search(r"[0-9]{4}", number):
        return {"number": {"$regex": f"^{number}|{number}$"}}
    return {"matter_name": {"$regex": re.escape(text.strip())}}


class CaseStore:
    def __init__(self, database: Database, events: EventStore, timers: TimerStore, codec: PersonalDataCodec) -> None:
        self._cases = database["cases"]
        self._serials = database["case_serials"]
        self._events = events
        self._timers = timers
        self._codec = codec

    # --- writing ---

    async def insert(self, case: Case, event: Event, session: Session) -> None:
        """Write a new case with its first event. Raises `EditConflict` when the id is taken."""
        try:
            await self._cases.insert_one(self._document(case), session=session)
        except DuplicateKeyError as error:
            raise EditConflict from error
        await self._append(event, session)

    async def save(
        self, case: Case, event: Event, timers: Sequence[Timer], session: Session, *, calendar_stamp: int = 0
    ) -> None:
        """Save the next version of a case, its event and its timers. `calendar_stamp` is that of the calendar
        its deadlines were reckoned with.

        Raises `EditConflict` when the stored version is not the one the step started from.
        """
        document = self._document(case)
        if running(case):
            document["reckoned"] = calendar_stamp
        result = await self._cases.replace_one(
            {"_id": case.id, "version": event.sequence - 1}, document, session=session
        )
        if result.matched_count == 0:
            raise EditConflict
        await self._append(event, session)
        await self._timers.replace(case.id, timers, session)

    async def remove(self, case: Case, event: Event, session: Session) -> None:
        """Delete a case that its last step ended; the event says who and when. Raises `EditConflict` as `save`."""
        result = await self._cases.delete_one({"_id": case.id, "version": event.sequence - 1}, session=session)
        if result.deleted_count == 0:
            raise EditConflict
        await self._append(event, session)
        await self._timers.replace(case.id, (), session)

    async def reckoned_before(self, stamp: int, *, limit: int, spared: Collection[str] = ()) -> list[tuple[str, int]]:
        """Cases with running clocks that come from an older calendar: (id, stamp of that calendar)."""
        query: Document = {"reckoned": {"$lt": stamp}}
        if spared:
            query["_id"] = {"$nin": list(spared)}
        found = self._cases.find(query, {"reckoned": 1}).sort([("reckoned", 1), ("_id", 1)]).limit(limit)
        return [(document["_id"], int(document["reckoned"])) async for document in found]

    async def reckoned_with(self, case_id: str) -> int | None:
        """The stamp of the calendar that a case's running clocks come from; None where none runs."""
        found = await self._cases.find_one({"_id": case_id}, {"reckoned": 1})
        return int(found["reckoned"]) if found and "reckoned" in found else None

    async def mark_reckoned(self, case: Case, stamp: int) -> None:
        """This version of the case is what the calendar with this stamp gives, too. Does nothing to a later one."""
        await self._cases.update_one(
            {"_id": case.id, "version": case.version, "reckoned": {"$lt": stamp}}, {"$set": {"reckoned": stamp}}
        )

    async def prepare_serial(self, matter_code: str, day: date) -> None:
        """Make the counter of a day, by a write of its own before the first of the transaction that counts:
        two transactions that both insert it would not be a conflict that repeating resolves, but a duplicate."""
        with suppress(DuplicateKeyError):  # another node was first
            await self._serials.update_one(
                {"_id": _serial_id(matter_code, day)},
                {"$setOnInsert": {"day": day.isoformat(), "last": 0}},
                upsert=True,
            )

    async def next_number(self, matter_code: str, day: date, session: Session) -> str:
        """A new 办件编号. The serial is taken inside the transaction: an aborted one leaves no gap."""
        found = await self._serials.find_one_and_update(
            {"_id": _serial_id(matter_code, day)},
            {"$inc": {"last": 1}},
            return_document=ReturnDocument.AFTER,
            session=session,
        )
        if found is None:
            raise RuntimeError("prepare_serial must come first")
        return case_number(matter_code, day, int(found["last"]))

    async def _append(self, event: Event, session: Session) -> None:
        changes = {name: self._protect(name, to_value(value)) for name, value in event.changes.items()}
        await self._events.append(event, session=session, changes=changes, announce=event.kind not in _QUIET)

    # --- reading ---

    async def get(self, case_id: str) -> Case | None:
        found = await self._cases.find_one({"_id": case_id})
        return self._case(found) if found else None

    async def progress(self, case_id: str) -> Progress | None:
        """A read of a few fields of one document."""
        found = await self._cases.find_one(
            {"_id": case_id},
            dict.fromkeys(
                (
                    "citizen_id",
                    "post_id",
                    "handling_department_id",
                    "state",
                    "version",
                    "number",
                    "matter_name",
                    "department_name",
                    "updated_at",
                    "sort_due",
                ),
                1,
            ),
        )
        if found is None:
            return None
        due_at = None if found["sort_due"] == _NEVER else found["sort_due"]
        return from_document(Progress, {**found, "due_at": due_at})

    async def of_citizen(
        self,
        citizen_id: str,
        *,
        states: Collection[CaseState] = (),
        phase: Phase | None = None,
        before: tuple[datetime, str] | None = None,
        limit: int,
    ) -> list[Case]:
        """A citizen's cases, newest first, older than the (created_at, id) `before`."""
        query: Document = {"citizen_id": citizen_id}
        if phase is not None:
            query |= _PHASES[phase]
        if states:
            query = {"$and": [query, {"state": {"$in": sorted(state.value for state in states)}}]}
        if before:
            query["$or"] = [
                {"created_at": {"$lt": before[0]}},
                {"created_at": before[0], "_id": {"$lt": before[1]}},
            ]
        cursor = self._cases.find(query).sort([("created_at", DESCENDING), ("_id", DESCENDING)]).limit(limit)
        return [self._case(document) async for document in cursor]

    async def desk(
        self, chosen: DeskFilter, *, after: tuple[datetime, str] | None, limit: int
    ) -> list[tuple[Case, datetime]]:
        """A work list in the order of what is due (what is over: the newest first), drafts never in it, with the
        time each is sorted by."""
        query = _reach(chosen)
        if chosen.is_open is not None:
            query["open"] = chosen.is_open
        if chosen.states:
            query["state"] = {"$in": sorted(s.value for s in chosen.states if s is not CaseState.DRAFT)}
        if chosen.matter_id is not None:
            query["matter_id"] = chosen.matter_id
        if chosen.search is not None:
            query |= _searched(chosen.search)
        due = {
            **({"$gte": chosen.due_from} if chosen.due_from else {}),
            **({"$lt": chosen.due_before} if chosen.due_before else {}),
        }
        if due:
            query["sort_due"] = due
        order, beyond = (DESCENDING, "$lt") if chosen.is_open is False else (ASCENDING, "$gt")
        if after:
            query["$or"] = [
                {"sort_due": {beyond: after[0]}},
                {"sort_due": after[0], "_id": {beyond: after[1]}},
            ]
        cursor = self._cases.find(query).sort([("sort_due", order), ("_id", order)]).limit(limit)
        return [(self._case(document), document["sort_due"]) async for document in cursor]

    async def desk_counts(self, chosen: DeskFilter, *, now: datetime, until: datetime) -> DeskCounts:
        """How much work there is: by state, due between `now` and `until`, overdue, by matter. Of the filter
        only whose cases they are counts."""

        def group(key: object) -> Document:
            return {"$group": {"_id": key, "n": {"$sum": 1}, "name": {"$last": "$matter_name"}}}

        due = {"$switch": {
            "branches": [
                {"case": {"$lt": ["$sort_due", now]}, "then": "overdue"},
                {"case": {"$lt": ["$sort_due", until]}, "then": "today"},
            ],
            "default": "later",
        }}  # fmt: skip
        by_matter = [group("$matter_id"), {"$sort": {"n": -1, "_id": 1}}, {"$limit": 100}]
        facets: Document = {"states": [group("$state")], "due": [group(due)], "matters": by_matter}
        pipeline: list[Document] = [{"$match": {**_reach(chosen), "open": True}}, {"$facet": facets}]
        found = await self._cases.aggregate(pipeline).to_list(1)
        by_due = {row["_id"]: int(row["n"]) for row in found[0]["due"]}
        return DeskCounts(
            states={CaseState(row["_id"]): int(row["n"]) for row in found[0]["states"]},
            today=by_due.get("today", 0),
            overdue=by_due.get("overdue", 0),
            closed=int(await self._cases.count_documents({**_reach(chosen), "open": False})),
            matters=tuple((row["_id"], row["name"], int(row["n"])) for row in found[0]["matters"]),
        )

    async def history(self, case_id: str) -> list[Event]:
        """Every event of a case with its changes as domain values: `apply` them and the case is there."""
        return [
            replace(event, changes={name: self._value(name, kept) for name, kept in event.changes.items()})
            for event in await self._events.of("case", case_id)
        ]

    # --- documents ---

    def _document(self, case: Case) -> Document:
        document = to_document(case)
        for name in ("applicant", "agent", "form"):
            document[name] = self._protect(name, document[name])
        due = case.due
        document["open"] = case.state not in FINAL
        document["sort_due"] = due.due_at if due else _NEVER
        return document

    def _case(self, document: Mapping[str, Any]) -> Case:
        revealed = dict(document)
        for name in ("applicant", "agent", "form"):
            revealed[name] = self._reveal(name, revealed.get(name))
        return from_document(Case, revealed)

    def _value(self, name: str, stored: Any) -> Any:
        return _FIELDS[name].validate_python(self._reveal(name, stored))

    def _protect(self, name: str, value: Any) -> Any:
        """Names, numbers, phones and whatever the form holds go through the codec."""
        if name not in ("applicant", "agent", "form") or value is None:
            return value
        return {k: v if k == "kind" and name != "form" else self._codec.protect(v) for k, v in value.items()}

    def _reveal(self, name: str, stored: Any) -> Any:
        if name not in ("applicant", "agent", "form") or stored is None:
            return stored
        return {k: v if k == "kind" and name != "form" else self._codec.reveal(v) for k, v in stored.items()}
