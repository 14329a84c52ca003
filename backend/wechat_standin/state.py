"""What the stand-in knows: its clock, its users, their codes and session keys, tokens and counters."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
import string
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from backend.wechat_standin.faults import Faults, Stats
from backend.wechat_standin.people import FakeUser, first_users, openid_for, unionid_for
from backend.wechat_standin.store import StateFile, StateFileError
from backend.wechat_standin.subscriptions import Subscriptions
from backend.wechat_standin.tokens import TokenBook

CODE_LIFETIME = 300
_CODE_KEPT = 3600  # how long a used code is still told apart from an invalid one
_CODE_ALPHABET = string.ascii_letters + string.digits


@dataclass(slots=True)
class LoginCode:
    """What `wx.login` gave to a phone: five minutes, once."""

    user_id: str
    expires_at: float
    used: bool = False


class Standin:
    """The whole memory of the stand-in; used from one event loop."""

    def __init__(
        self,
        *,
        appid: str,
        secret: str,
        state_file: StateFile | None = None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.appid = appid
        self.secret = secret
        self.faults = Faults()
        self.stats = Stats()
        self.plain_tokens = TokenBook()
        self.stable_tokens = TokenBook()
        self.subscriptions = Subscriptions()
        self._wall = wall
        self._offset = 0.0
        self._file = state_file
        self._users: dict[str, FakeUser] = {user.id: user for user in first_users(appid)}
        self._codes: dict[str, LoginCode] = {}
        self._session_keys: dict[str, str] = {}
        self._counters: dict[tuple[str, int], tuple[int, int]] = {}

    def restore(self) -> None:
        """Take the users of the state file, and see that it can be written. Raises `StateFileError`."""
        if self._file is None:
            return
        document = self._file.read() or {}
        try:
            for fields in document.get("users", []):
                # openids follow from appid and id, so that a file made for another appid is of use too
                user = FakeUser(**{**fields, "openid": openid_for(self.appid, fields["id"])})
                self._users[user.id] = user
        except (TypeError, KeyError) as error:
            raise StateFileError(f"state file {self._file.path} has an unknown shape") from error
        self._file.write(self._document())

    async def save(self) -> None:
        """Make the present users last. Raises `StateFileError`."""
        if self._file is not None:
            await self._file.save(self._document)

    def _document(self) -> dict[str, Any]:
        return {"users": [user.to_json() for user in self._users.values()]}

    # --- clock -------------------------------------------------------------------------------

    def now(self) -> float:
        """Seconds since the epoch on the stand-in's own clock."""
        return self._wall() + self._offset

    def advance(self, seconds: float) -> None:
        self._offset += seconds

    @property
    def offset(self) -> float:
        return self._offset

    # --- users -------------------------------------------------------------------------------

    def users(self) -> list[FakeUser]:
        return list(self._users.values())

    def user(self, user_id: str) -> FakeUser | None:
        return self._users.get(user_id)

    def user_by_openid(self, openid: str) -> FakeUser | None:
        return next((user for user in self._users.values() if user.openid == openid), None)

    def add_user(
        self,
        *,
        nickname: str,
        name: str,
        phone_number: str,
        age: int,
        with_unionid: bool,
        user_id: str | None = None,
    ) -> FakeUser:
        user_id = user_id or f"u-{secrets.token_hex(8)}"
        user = FakeUser(
            id=user_id,
            openid=openid_for(self.appid, user_id),
            nickname=nickname,
            name=name,
            phone_number=phone_number,
            age=age,
            unionid=unionid_for(user_id) if with_unionid else None,
        )
        self._users[user_id] = user
        return user

    def put_user(self, user: FakeUser) -> None:
        self._users[user.id] = user

    # --- codes and session keys --------------------------------------------------------------

    def issue_code(self, user: FakeUser, *, new_session_key: bool = True) -> tuple[str, LoginCode]:
        """What `wx.login` does on the phone. It may replace the session key, as WeChat may."""
        now = self.now()
        for old in [code for code, entry in self._codes.items() if entry.expires_at + _CODE_KEPT < now]:
            del self._codes[old]
        code = "0" + "".join(secrets.choice(_CODE_ALPHABET) for _ in range(31))
        entry = LoginCode(user.id, now + CODE_LIFETIME)
        self._codes[code] = entry
        if new_session_key or user.openid not in self._session_keys:
            self._session_keys[user.openid] = base64.b64encode(os.urandom(16)).decode()
        return code, entry

    def code(self, code: str) -> LoginCode | None:
        return self._codes.get(code)

    def session_key(self, openid: str) -> str:
        return self._session_keys[openid]

    def session_holds(self, openid: str, signature: str) -> bool:
        """Whether `signature` is hmac_sha256(session_key, "") of the user's present session key."""
        key = self._session_keys.get(openid)
        if key is None:
            return False
        # the key is taken as the text that jscode2session gave, not decoded to its 16 bytes
        expected = hmac.new(key.encode(), b"", hashlib.sha256).hexdigest()
        return hmac.compare_digest(expected.encode(), signature.encode())

    # --- counters ----------------------------------------------------------------------------

    def count(self, what: str, *, seconds: int, limit: int) -> bool:
        """Count one call in the present window of `seconds`; False when it is over `limit`."""
        window = int(self.now()) // seconds
        counted_window, calls = self._counters.get((what, seconds), (window, 0))
        calls = calls + 1 if counted_window == window else 1
        self._counters[what, seconds] = (window, calls)
        return calls <= limit
