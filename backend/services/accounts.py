"""Logging in: citizens with WeChat's code, staff with name and password."""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from backend.domain.access import Actor
from backend.domain.accounts import (
    PER_ACCOUNT,
    PER_ADDRESS,
    Citizen,
    LockoutPolicy,
    LoginLocked,
    SessionEnded,
    Staff,
    WrongCurrentPassword,
    check_password,
    checked_name,
)
from backend.domain.errors import Forbidden, WrongCredentials
from backend.integrations.passwords import Passwords
from backend.integrations.wechat.login import WeChatLogin
from backend.ports import Clock
from backend.services.audit import Audit
from backend.services.sessions import SessionService, Tokens
from backend.storage.accounts import CitizenStore, LoginAttemptStore, StaffStore
from backend.storage.database import Session
from backend.storage.personal_data import PersonalDataCodec

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class CitizenLogin:
    citizen: Citizen
    tokens: Tokens


@dataclass(frozen=True, slots=True)
class StaffLogin:
    staff: Staff
    actor: Actor
    tokens: Tokens


class CitizenService:
    """Citizens and their logins."""

    def __init__(self, *, citizens: CitizenStore, sessions: SessionService, wechat: WeChatLogin, clock: Clock) -> None:
        self._citizens = citizens
        self._sessions = sessions
        self._wechat = wechat
        self._clock = clock

    async def login(self, code: str, device: str) -> CitizenLogin:
        """Redeem a `wx.login` code. The same openid is the same citizen for ever.

        Raises what `WeChatLogin.code_to_session` raises.
        """
        known = await self._wechat.code_to_session(code)
        citizen = await self._citizens.for_openid(known.openid, known.unionid, self._clock.now())
        return CitizenLogin(citizen, await self._sessions.open_citizen(citizen.id, device, citizen.name))

    async def me(self, actor: Actor) -> Citizen:
        """The citizen who asks. Raises `Forbidden` for the staff."""
        if actor.kind != "citizen":
            raise Forbidden
        citizen = await self._citizens.get(actor.id)
        if citizen is None:
            raise SessionEnded
        return citizen

    async def rename(self, actor: Actor, name: str) -> Citizen:
        """Say what one wants to be called; empty goes back to the name we give. Raises `InvalidInput`."""
        if actor.kind != "citizen":
            raise Forbidden
        chosen = checked_name(name)
        citizen = await self._citizens.rename(actor.id, chosen)
        if citizen is None:
            raise SessionEnded
        await self._sessions.rename(citizen.id, chosen)
        return citizen

    async def get(self, citizen_id: str) -> Citizen | None:
        """A citizen, for those who talk with them."""
        return await self._citizens.get(citizen_id)


class StaffLoginService:
    """Staff logins and passwords, with guessing slowed down per account and per address."""

    def __init__(
        self,
        *,
        audit: Audit,
        staff: StaffStore,
        attempts: LoginAttemptStore,
        sessions: SessionService,
        passwords: Passwords,
        personal_data: PersonalDataCodec,
        clock: Clock,
    ) -> None:
        self._audit = audit
        self._staff = staff
        self._attempts = attempts
        self._sessions = sessions
        self._passwords = passwords
        self._codec = personal_data
        self._clock = clock

    async def login(self, username: str, password: str, *, address: str, device: str) -> StaffLogin:
        """Open a session.

        Raises `WrongCredentials`, the same after the same work for an unknown name, a wrong password and
        an inactive account, and `LoginLocked` after too many of them, even for the right password.
        """
        username = username.strip().lower()
        # fingerprints: people type passwords into the wrong field
        account_key = f"account:{self._codec.fingerprint(username)}"
        address_key = f"address:{self._codec.fingerprint(address)}"
        await self._begin(address_key, PER_ADDRESS)
        await self._begin(account_key, PER_ACCOUNT)
        found = await self._staff.by_username(username)
        staff, known = found or (None, None)
        right = await self._passwords.verify(known, password)
        if staff is None or not right or not staff.active:
            raise WrongCredentials
        await self._attempts.succeeded(account_key, forgive=True)
        await self._attempts.succeeded(address_key, forgive=False)
        tokens = await self._sessions.open_staff(staff.id, device)
        if await self._staff.password_hash(staff.id) != known:  # reset while this login was under way
            await self._sessions.end_all(staff.id)
            raise WrongCredentials
        return StaffLogin(staff, await self._sessions.staff_actor(staff, tokens.session_id), tokens)

    async def _begin(self, key: str, policy: LockoutPolicy) -> None:
        locked = await self._attempts.begin(key, policy, self._clock.now())
        if locked:
            log.warning("login_locked", seconds=locked, scope=key.partition(":")[0])
            raise LoginLocked(f"登录尝试过多，请在 {locked} 秒后再试。", retry_after=locked)

    async def me(self, actor: Actor) -> Staff:
        """The member of the staff who asks. Raises `Forbidden` for citizens."""
        if actor.kind != "staff":
            raise Forbidden
        staff = await self._staff.get(actor.id)
        if staff is None:
            raise SessionEnded
        return staff

    async def change_password(self, actor: Actor, current: str, new: str) -> None:
        """Change one's own password; all other sessions of oneself end.

        Raises `WrongCurrentPassword`, `WeakPassword`, `LoginLocked`, `EditConflict`.
        """
        staff = await self.me(actor)
        check_password(new, username=staff.username)
        key = f"password:{staff.id}"
        await self._begin(key, PER_ACCOUNT)
        if not await self._passwords.verify(await self._staff.password_hash(staff.id), current):
            raise WrongCurrentPassword(field="current_password")
        await self._attempts.succeeded(key, forgive=True)
        hashed = await self._passwords.hash(new)

        async def write(session: Session) -> None:
            await self._staff.set_password(
                staff.id, hashed, must_change=False, read_version=staff.version, session=session
            )
            await self._sessions.end_staff(staff.id, session, except_id=actor.session_id)

        await self._audit.save(actor, "staff", staff.id, "password_changed", version=staff.version + 1, write=write)
        await self._sessions.end_all(staff.id, except_id=actor.session_id)
