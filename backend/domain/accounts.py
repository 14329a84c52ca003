"""Who uses the product: citizens, staff, their sessions, and the rules of logging in.

Tokens are opaque random text; only their SHA-256 is kept. A session of a citizen has short-lived access
tokens and refresh tokens that are spent by use; a session of the staff has one access token.
"""

from __future__ import annotations

import hashlib
import unicodedata
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from backend.domain.access import Role
from backend.domain.errors import Conflict, InvalidInput, RateLimited, Unauthenticated

#: How long a spent refresh token may be presented again: the answer to its first use may have been lost.
REFRESH_GRACE = timedelta(seconds=60)
#: How long access tokens outlive the refresh that replaced them: requests may be under way.
ACCESS_GRACE = timedelta(seconds=60)
#: A session remembers this many refresh tokens, to tell a stolen old one from an unknown one.
REFRESH_KEPT = 64
#: Answers to repeats of one refresh; beyond it is no bad network.
SIBLINGS = 8
NAME_LIMIT = 20  # characters of what a citizen wants to be called
PASSWORD_LENGTH = range(10, 129)

#: What the staff may be; citizens are no staff.
STAFF_ROLES = frozenset(Role) - {Role.CITIZEN}


class LoginCodeInvalid(InvalidInput):
    """The `wx.login` code is wrong, used or older than five minutes: the phone fetches a new one."""

    code = "login-code-invalid"
    title = "微信登录凭证已失效，请重新登录"


class TokenExpired(Unauthenticated):
    """The access token has come to its end; a refresh gives a new one."""

    code = "token-expired"
    title = "登录已过期，请刷新登录"


class SessionEnded(Unauthenticated):
    """The session is over: logged out, ended from another device, expired, or its token was misused."""

    code = "session-ended"
    title = "登录已失效，请重新登录"


class LoginLocked(RateLimited):
    """Too many wrong passwords; not even the right one is accepted before `retry_after` seconds."""

    code = "login-locked"
    title = "登录尝试过多，已暂时锁定"


class WeakPassword(InvalidInput):
    """The new password does not meet the rules."""

    code = "weak-password"
    title = "密码不符合要求"


class WrongCurrentPassword(InvalidInput):
    """The present password was not given correctly when changing it."""

    code = "wrong-current-password"
    title = "当前密码不正确"


class UsernameTaken(Conflict):
    """Another member of the staff has this username."""

    code = "username-taken"
    title = "用户名已被使用"


class LastAdmin(Conflict):
    """The change would leave nobody who can administer."""

    code = "last-admin"
    title = "至少要保留一名管理员"


@dataclass(frozen=True, slots=True)
class Citizen:
    """A person with a WeChat account. The openid is no verified identity, and `name` is what they want to be
    called, empty when they did not say."""

    id: str
    openid: str
    unionid: str | None
    created_at: datetime
    name: str = ""

    @property
    def shown_name(self) -> str:
        return shown_name(self.id, self.name)


def shown_name(citizen_id: str, name: str) -> str:
    """What others see of a citizen: the name they gave, else one of ours that is the same every time."""
    return name or f"市民{citizen_id[-4:]}"


def checked_name(name: str) -> str:
    """What a citizen wants to be called, without spaces around it. Raises `InvalidInput`."""
    plain = unicodedata.normalize("NFC", name).strip()
    if len(plain) > NAME_LIMIT:
        raise InvalidInput(f"称呼最多 {NAME_LIMIT} 个字。", field="name")
    if any(unicodedata.category(char) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp") for char in plain):
        raise InvalidInput("称呼里有不能显示的字符，请重新输入。", field="name")
    return plain


@dataclass(frozen=True, slots=True)
class Staff:
    """A member of the staff. `username` is lower-case and unique for ever."""

    id: str
    username: str
    name: str
    department_id: str | None
    roles: frozenset[Role]
    created_at: datetime
    active: bool = True
    must_change_password: bool = False
    version: int = 1


@dataclass(frozen=True, slots=True)
class AccessToken:
    hash: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """`spent_at` None: not used yet."""

    hash: str
    spent_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class LoginSession:
    """One device on which somebody is logged in. `device` is what the client calls itself."""

    id: str
    kind: Literal["citizen", "staff"]
    subject_id: str
    device: str
    created_at: datetime
    last_seen_at: datetime
    expires_at: datetime
    access: tuple[AccessToken, ...]
    refresh: tuple[RefreshToken, ...] = ()
    ended_at: datetime | None = None
    version: int = 1
    name: str = ""  # of a citizen, as they want to be called: a copy, so that no request has to look it up

    def live(self, now: datetime) -> bool:
        """Neither ended nor run out."""
        return self.ended_at is None and now < self.expires_at

    def access_token(self, token: str) -> AccessToken | None:
        """The access token with this hash."""
        return next((known for known in self.access if known.hash == token), None)

    def reused(self, token: str, now: datetime) -> bool:
        """Whether the refresh token with this hash was spent too long ago to be a repeat over a bad
        network: somebody else may have it."""
        known = next((entry for entry in self.refresh if entry.hash == token), None)
        return known is not None and known.spent_at is not None and now - known.spent_at > REFRESH_GRACE

    def refreshed(
        self, token: str, *, access: AccessToken, refresh: str, now: datetime, expires_at: datetime
    ) -> LoginSession:
        """The session after the refresh token with hash `token` was exchanged for a new pair.

        The first use spends the token and all its siblings. A repeat within the grace adds a sibling
        pair, so that whichever of the answers arrived is good. Raises `SessionEnded` for a session that
        is over and a token that is unknown or was spent too long ago.
        """
        known = next((entry for entry in self.refresh if entry.hash == token), None)
        if known is None or not self.live(now) or self.reused(token, now):
            raise SessionEnded
        if known.spent_at is None:
            kept_refresh = tuple(
                replace(entry, spent_at=now) if entry.spent_at is None else entry for entry in self.refresh
            )
            kept_access = tuple(
                replace(entry, expires_at=min(entry.expires_at, now + ACCESS_GRACE)) for entry in self.access
            )
        else:
            if sum(entry.spent_at is None for entry in self.refresh) >= SIBLINGS:
                raise RateLimited(retry_after=int(REFRESH_GRACE.total_seconds()))
            kept_refresh, kept_access = self.refresh, self.access
        return replace(
            self,
            access=(*(entry for entry in kept_access if entry.expires_at > now), access),
            refresh=(*kept_refresh, RefreshToken(refresh))[-REFRESH_KEPT:],
            last_seen_at=now,
            expires_at=expires_at,
            version=self.version + 1,
        )


def token_hash(token: str) -> str:
    """What is kept of a token: enough to know it again, nothing to use it with."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True, slots=True)
class LockoutPolicy:
    """How guessing is slowed down. Every attempt counts as wrong until it proves right.

    The attempt number `threshold` starts the first of `locks` (seconds), each further one the next, the
    last again and again. Without an attempt for `forget_after` everything is forgotten.
    """

    threshold: int
    locks: tuple[int, ...]
    forget_after: timedelta


PER_ACCOUNT = LockoutPolicy(5, (60, 120, 300, 900, 1800, 3600), timedelta(hours=24))
#: Offices share an address: many may mistype before it is locked.
PER_ADDRESS = LockoutPolicy(30, (60, 120, 300, 900), timedelta(hours=1))


def check_password(password: str, *, username: str) -> None:
    """The rules for a new password: length counts, the username does not. Raises `WeakPassword`."""
    if len(password) not in PASSWORD_LENGTH:
        raise WeakPassword(
            f"密码长度应为 {PASSWORD_LENGTH.start} 至 {PASSWORD_LENGTH.stop - 1} 个字符。", field="new_password"
        )
    if username.lower() in password.lower():
        raise WeakPassword("密码中不能包含用户名。", field="new_password")
    if len(set(password)) < 5:
        raise WeakPassword("密码过于简单，请使用更多不同的字符。", field="new_password")
