"""Search in one's own history (咨询记录搜索): what somebody may read, the last opened first, and nothing else.

One request looks at a bounded number of operations, however much there is: what it did not come to is what
the cursor of its page goes on with. So a person with a thousand talks is answered at once, and nobody,
whatever their role, makes the server read through the district.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from backend.domain.access import TABLE, Actor, Permission, Scope, require
from backend.domain.consultation_operations import Audience, Operation, view_for
from backend.domain.consultation_search import (
    Snippet,
    Word,
    any_of,
    by_target,
    missing_in,
    snippet_of,
    spoken,
    words_of,
)
from backend.domain.consultations import Consultation
from backend.services.consultation_base import Readings, audience_of, may_read
from backend.storage.consultation_search import ConsultationSearchStore, Header, Reach
from backend.storage.consultations import ConsultationStore

#: Operations one request looks at, consultations it takes at a time, hits shown of one consultation.
MAX_LOOKED_AT = 30_000
_STRETCH = 200
_FIRST_STRETCH = 20
MAX_HITS = 20


@dataclass(frozen=True, slots=True)
class Hit:
    """An operation that says all the words. `snippet` shows where."""

    operation: Operation
    snippet: Snippet


@dataclass(frozen=True, slots=True)
class Found:
    """A consultation with its hits, the last said first; none when its subject or matter alone has the words.
    `subject` and `matter` show the words in what it is about; `more_hits`: there were more than `MAX_HITS`."""

    state: Consultation
    subject: Snippet
    matter: Snippet | None
    hits: tuple[Hit, ...]
    more_hits: bool


@dataclass(frozen=True, slots=True)
class FoundPage:
    """`next_before` is where the next page goes on, None at the end. `complete` is false when the page ends
    because enough was looked at: there may be more further back, also when nothing is on this page."""

    items: tuple[Found, ...]
    next_before: str | None
    complete: bool


@dataclass(slots=True)
class _Candidate:
    """`missing` are the words that what the consultation is about does not have."""

    header: Header
    missing: tuple[Word, ...]
    seqs: set[int] = field(default_factory=set)

    @property
    def sought(self) -> bool:
        return bool(self.seqs) or not self.missing


class ConsultationSearch:
    def __init__(self, *, search: ConsultationSearchStore, store: ConsultationStore, readings: Readings) -> None:
        self._readings = readings
        self._search = search
        self._store = store

    async def find(self, actor: Actor, query: str, *, limit: int, before: str | None = None) -> FoundPage:
        """The consultations in which all words of `query` are, at most `limit` of them.

        A word counts as found in an operation when its text (as it reads now), a name of a photograph or the
        title of a card holds it, or the subject or matter of the consultation does; at least one must be in
        the operation itself. Raises `InvalidInput`, and what `require` raises.
        """
        require(actor, Permission.READ_CONSULTATION)
        words = words_of(query)
        reach, audience = reach_of(actor), audience_of(actor)
        items: list[Found] = []
        looked_at, stretch = 0, _FIRST_STRETCH
        while True:
            headers = await self._search.headers(reach, before=before, limit=stretch + 1)
            more, headers = len(headers) > stretch, headers[:stretch]
            some = _affordable(headers, MAX_LOOKED_AT - looked_at, at_least_one=looked_at == 0)
            more = more or len(some) < len(headers)
            for candidate in await self._sift(some, words, audience):
                if len(items) == limit:  # this one is the first of the next page
                    return FoundPage(tuple(items), before, complete=True)
                if candidate.sought and (found := await self._look(actor, candidate, words, audience)):
                    items.append(found)
                before = candidate.header.id
            if not more:
                return FoundPage(tuple(items), None, complete=True)
            looked_at += sum(header.last_seq for header in some)
            if len(items) == limit:
                return FoundPage(tuple(items), before, complete=True)
            if looked_at >= MAX_LOOKED_AT or len(some) < len(headers):
                return FoundPage(tuple(items), before, complete=False)
            stretch = _STRETCH

    async def _sift(self, headers: Sequence[Header], words: tuple[Word, ...], audience: Audience) -> list[_Candidate]:
        """The consultations in their order, with the numbers of what may hold the words."""
        known = {
            header.id: _Candidate(header, missing_in(words, header.subject, header.matter_name)) for header in headers
        }
        # one word that must be in the operation is enough to sift by: the longest is the rarest
        anything = any_of(words)
        patterns = {c.header.id: c.missing[0].raw if c.missing else anything for c in known.values()}
        if known:
            async for said in self._search.sift(list(known), patterns, notes=audience is Audience.STAFF):
                known[said.consultation_id].seqs.add(said.target_seq or said.seq)
        return list(known.values())

    async def _look(
        self, actor: Actor, candidate: _Candidate, words: tuple[Word, ...], audience: Audience
    ) -> Found | None:
        """The consultation, if it is one for this reader and the words are there now."""
        header = candidate.header
        operations = await self._search.operations(header.id, candidate.seqs) if candidate.seqs else []
        edits = by_target(operations)
        hits: list[Hit] = []
        for operation in reversed(operations):
            texts = spoken(view_for(operation, audience), edits.get(operation.seq, ()))
            if missing_in(candidate.missing, *texts) or len(missing_in(words, *texts)) == len(words):
                continue
            hits.append(Hit(operation, snippet_of(texts, words)))
            if len(hits) > MAX_HITS:
                break
        if not hits and candidate.missing:
            return None
        state = await self._store.state(header.id)
        if state is None or not may_read(actor, state):
            return None
        await self._readings.note(actor, state, "search")
        return Found(
            state=state,
            subject=snippet_of([state.subject], words),
            matter=snippet_of([state.matter.name], words) if state.matter else None,
            hits=tuple(hits[:MAX_HITS]),
            more_hits=len(hits) > MAX_HITS,
        )


def reach_of(actor: Actor) -> Reach:
    """What the table of rights lets somebody read, as the store asks for it."""
    if actor.kind == "citizen":
        return Reach(citizen_id=actor.id)
    scopes = {TABLE[role].get(Permission.READ_CONSULTATION) for role in actor.roles}
    return Reach(
        staff_id=actor.id,
        post_ids=actor.post_ids,
        department_id=actor.department_id if Scope.DEPARTMENT in scopes else None,
        everything=Scope.ANY in scopes,
    )


def _affordable(headers: Sequence[Header], operations: int, *, at_least_one: bool) -> list[Header]:
    """The first of the headers that together have no more than `operations`."""
    some: list[Header] = []
    for header in headers:
        operations -= header.last_seq
        if operations < 0 and not (at_least_one and not some):
            break
        some.append(header)
    return some
