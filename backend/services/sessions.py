"""Who is behind a token: opening, refreshing, listing and ending sessions."""

from __future__ import annotations

import secrets
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

import structlog

from backend.domain.access import Actor, Role
from backend.domain.accounts import (
    AccessToken,
    LoginSession,
    RefreshToken,
    SessionEnded,
    Staff,
    TokenExpired,
    token_hash,
)
from backend.domain.errors import NotFound, RateLimited, Unauthenticated
from backend.domain.ids import new_id
from backend.ports import Clock
from backend.storage.accounts import StaffStore
from backend.storage.database import Session
from backend.storage.organisation import OrganisationStore, Place
from backend.storage.sessions import SessionCache, SessionStore

_TOKEN_LIMIT = 200
_SESSIONS_PER_SUBJECT = 20
_SEEN_EVERY = timedelta(minutes=5)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a client gets. Only hashes of it are kept; `repr` shows none of it."""

    session_id: str
    access_token: str = field(repr=False)
    access_expires_at: datetime
    session_expires_at: datetime
    refresh_token: str | None = field(repr=False, default=None)


class SessionService:
    """Sessions of citizens and staff. Lifetimes are given as durations."""

    def __init__(
        self,
        *,
        sessions: SessionStore,
        cache: SessionCache,
        staff: StaffStore,
        organisation: OrganisationStore,
        clock: Clock,
        access_ttl: timedelta,
        refresh_ttl: timedelta,
        staff_ttl: timedelta,
    ) -> None:
        self._sessions = sessions
        self._cache = cache
        self._staff = staff
        self._organisation = organisation
        self._clock = clock
        self._access_ttl = access_ttl
        self._refresh_ttl = refresh_ttl
        self._staff_ttl = staff_ttl

    async def authenticate(self, token: str) -> Actor:
        """The actor behind an access token.

        A citizen's comes from the cache for up to half a minute. A member of the staff is always read
        anew: roles, department and posts are those of this moment. Raises `TokenExpired` when a refresh
        helps, `SessionEnded` when it does not.
        """
        if len(token) > _TOKEN_LIMIT:
            raise SessionEnded
        hashed, now = token_hash(token), self._clock.now()
        entry, generation = await self._cache.get(hashed)
        if entry is not None and now.timestamp() < entry["expires_at"]:
            return _citizen(entry["citizen_id"], entry["session_id"], entry.get("name", ""))
        session = await self._sessions.by_access(hashed)
        known = session.access_token(hashed) if session is not None else None
        if session is None or known is None or not session.live(now):
            raise SessionEnded
        if now >= known.expires_at:
            raise TokenExpired
        if now - session.last_seen_at >= _SEEN_EVERY:
            await self._sessions.seen(session.id, now)
        if session.kind == "citizen" and generation is not None:
            ends = min(known.expires_at, session.expires_at).timestamp()
            fresh = {
                "citizen_id": session.subject_id,
                "session_id": session.id,
                "name": session.name,
                "expires_at": ends,
            }
            await self._cache.put(hashed, fresh, generation)
        return await self._actor(session)

    async def actor_of(self, session_id: str) -> Actor:
        """The actor of a session as of now, for connections that outlive a request.

        Raises `SessionEnded` when the session is over or the member of the staff no longer active.
        """
        found = await self.actors_of([session_id])
        if session_id not in found:
            raise SessionEnded
        return found[session_id]

    async def actors_of(self, session_ids: Collection[str]) -> dict[str, Actor]:
        """As `actor_of`, of many sessions with four looks for all. Those that would raise are not in it."""
        subjects = await self._sessions.live(session_ids, self._clock.now())
        people = {subject.id for subject in subjects.values() if subject.kind == "staff"}
        staff = await self._staff.many(people) if people else {}
        staff = {staff_id: found for staff_id, found in staff.items() if found.active}
        places = await self._organisation.places_of({found.id: found.department_id for found in staff.values()})
        actors = {}
        for session_id, subject in subjects.items():
            if subject.kind == "citizen":
                actors[session_id] = _citizen(subject.id, session_id, subject.name)
            elif subject.id in staff:
                actors[session_id] = _staff_actor(staff[subject.id], places[subject.id], session_id)
        return actors

    async def _actor(self, session: LoginSession) -> Actor:
        if session.kind == "citizen":
            return _citizen(session.subject_id, session.id, session.name)
        staff = await self._staff.get(session.subject_id)
        if staff is None or not staff.active:
            raise SessionEnded
        return await self.staff_actor(staff, session.id)

    async def staff_actor(self, staff: Staff, session_id: str | None = None) -> Actor:
        """A member of the staff with the posts held now; duty leads have their role from the department."""
        places = await self._organisation.places_of({staff.id: staff.department_id})
        return _staff_actor(staff, places[staff.id], session_id)

    async def open_citizen(self, citizen_id: str, device: str, name: str = "") -> Tokens:
        """A new session of a citizen on one device."""
        return await self._open(
            "citizen", citizen_id, device, self._access_ttl, self._refresh_ttl, refreshable=True, name=name
        )

    async def rename(self, citizen_id: str, name: str) -> None:
        """A citizen is called so from now on, in every session; open sockets learn it within seconds."""
        await self._sessions.rename(citizen_id, name)
        await self._cache.new_generation()

    async def open_staff(self, staff_id: str, device: str) -> Tokens:
        """A new session of a member of the staff, for one working day, without refresh."""
        return await self._open("staff", staff_id, device, self._staff_ttl, self._staff_ttl, refreshable=False)

    async def _open(
        self,
        kind: Literal["citizen", "staff"],
        subject_id: str,
        device: str,
        access_ttl: timedelta,
        ttl: timedelta,
        *,
        refreshable: bool,
        name: str = "",
    ) -> Tokens:
        now = self._clock.now()
        tokens = Tokens(
            session_id=new_id(),
            access_token=secrets.token_urlsafe(32),
            access_expires_at=now + access_ttl,
            session_expires_at=now + ttl,
            refresh_token=secrets.token_urlsafe(32) if refreshable else None,
        )
        await self._sessions.add(
            LoginSession(
                id=tokens.session_id,
                kind=kind,
                subject_id=subject_id,
                device=device,
                created_at=now,
                last_seen_at=now,
                expires_at=tokens.session_expires_at,
                access=(AccessToken(token_hash(tokens.access_token), tokens.access_expires_at),),
                refresh=(RefreshToken(token_hash(tokens.refresh_token)),) if tokens.refresh_token else (),
                name=name,
            )
        )
        others = await self._sessions.of_subject(subject_id, now)
        if len(others) > _SESSIONS_PER_SUBJECT:
            oldest = [session.id for session in others[_SESSIONS_PER_SUBJECT:]]
            await self._end(subject_id, now, session_ids=oldest)
        return tokens

    async def refresh(self, refresh_token: str) -> Tokens:
        """A new pair for a refresh token, which this spends.

        The same token again within a minute gives another good pair (the first answer was lost); later
        it ends the session, because two hold it. Raises `SessionEnded`.
        """
        if len(refresh_token) > _TOKEN_LIMIT:
            raise SessionEnded
        hashed = token_hash(refresh_token)
        for _ in range(10):
            now = self._clock.now()
            session = await self._sessions.by_refresh(hashed)
            if session is None:
                raise SessionEnded
            if session.reused(hashed, now):
                log.warning("refresh_token_reused", session_id=session.id)
                await self._end(session.subject_id, now, session_ids=[session.id])
                raise SessionEnded("登录凭证被重复使用，为安全起见已退出登录，请重新登录。")
            tokens = Tokens(
                session_id=session.id,
                access_token=secrets.token_urlsafe(32),
                access_expires_at=now + self._access_ttl,
                session_expires_at=now + self._refresh_ttl,
                refresh_token=secrets.token_urlsafe(32),
            )
            renewed = session.refreshed(
                hashed,
                access=AccessToken(token_hash(tokens.access_token), tokens.access_expires_at),
                refresh=token_hash(tokens.refresh_token or ""),
                now=now,
                expires_at=tokens.session_expires_at,
            )
            if await self._sessions.save(renewed, read_version=session.version):
                # old access tokens end sooner than a cached entry says
                await self._cache.new_generation()
                return tokens
        raise RateLimited("同时刷新的请求过多，请稍后再试。")

    async def devices(self, actor: Actor) -> list[LoginSession]:
        """The actor's live sessions, the last used first."""
        _somebody(actor)
        return await self._sessions.of_subject(actor.id, self._clock.now())

    async def end(self, actor: Actor, session_id: str) -> None:
        """End one session of one's own. Raises `NotFound` for any other."""
        _somebody(actor)
        if not await self._end(actor.id, self._clock.now(), session_ids=[session_id]):
            raise NotFound

    async def logout(self, actor: Actor) -> None:
        """End the session that this request came with. Without one there is nothing to do."""
        if actor.session_id is not None:
            await self._end(actor.id, self._clock.now(), session_ids=[actor.session_id])

    async def end_all(self, subject_id: str, *, except_id: str | None = None) -> int:
        """End every session of a citizen or a member of the staff, but for `except_id`. Returns how many."""
        return await self._end(subject_id, self._clock.now(), except_id=except_id)

    async def end_staff(self, staff_id: str, session: Session, *, except_id: str | None = None) -> None:
        """End every session of a member of the staff together with what the transaction changes: no crash
        comes between a new password and the end of what the old one opened. No cache holds these sessions.

        A login that is under way is not seen in here: `end_all` after the commit ends that too.
        """
        await self._sessions.end(staff_id, self._clock.now(), except_id=except_id, session=session)

    async def _end(
        self,
        subject_id: str,
        now: datetime,
        *,
        session_ids: list[str] | None = None,
        except_id: str | None = None,
    ) -> int:
        ended = await self._sessions.end(subject_id, now, session_ids=session_ids, except_id=except_id)
        # after the truth has changed: what was read before it is now of an old generation
        await self._cache.new_generation()
        return ended


def _citizen(citizen_id: str, session_id: str, name: str) -> Actor:
    return Actor(kind="citizen", id=citizen_id, roles=frozenset({Role.CITIZEN}), session_id=session_id, name=name)


def _staff_actor(staff: Staff, place: Place, session_id: str | None) -> Actor:
    return Actor(
        kind="staff",
        id=staff.id,
        roles=staff.roles | place.roles,
        department_id=staff.department_id,
        post_ids=place.post_ids,
        session_id=session_id,
        name=staff.name,
        must_change_password=staff.must_change_password,
    )


def _somebody(actor: Actor) -> None:
    if actor.kind not in ("citizen", "staff"):
        raise Unauthenticated
