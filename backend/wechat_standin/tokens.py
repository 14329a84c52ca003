"""Access tokens as WeChat hands them out: two kinds that know nothing of each other."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

LIFETIME = 7200
OVERLAP = 300  # seconds in which the old and the new token both work
TOKEN_LENGTH = 512  # WeChat asks for room for at least this many characters
FORCED_APART = 30
FORCED_PER_DAY = 20
_DAY = 86400


@dataclass(slots=True)
class _Token:
    value: str
    expires_at: float


class TokenBook:
    """One kind of token: the current one, and the one before while both still work."""

    def __init__(self) -> None:
        self._current: _Token | None = None
        self._previous: _Token | None = None
        self._forced: list[float] = []

    def renew(self, now: float) -> tuple[str, int]:
        """`cgi-bin/token`: always a new token; the old one works for five more minutes."""
        self._rotate(now)
        return self._answer(now)

    def stable(self, now: float) -> tuple[str, int]:
        """`cgi-bin/stable_token`, normal mode: the same token with the time that is left of it, a new
        one in the last five minutes."""
        if self._current is None or self._current.expires_at - now <= OVERLAP:
            self._rotate(now)
        return self._answer(now)

    def forced(self, now: float) -> tuple[str, int] | None:
        """`cgi-bin/stable_token`, forced mode; None once the day's twenty are used up.

        Calls less than 30 s apart do not refresh. Since only one previous token is kept, two forced
        calls end a leaked token at once.
        """
        self._forced = [moment for moment in self._forced if now - moment < _DAY]
        if len(self._forced) >= FORCED_PER_DAY:
            return None
        if not self._forced or now - self._forced[-1] >= FORCED_APART or self._current is None:
            self._forced.append(now)
            self._rotate(now)
        return self._answer(now)

    def judge(self, value: str, now: float) -> str:
        """`valid`, `expired` or `unknown`."""
        for token in (self._current, self._previous):
            if token is not None and secrets.compare_digest(token.value.encode(), value.encode()):
                return "valid" if now < token.expires_at else "expired"
        return "unknown"

    def forget(self) -> None:
        """Kill both, as a new app secret would."""
        self._current = self._previous = None

    def _rotate(self, now: float) -> None:
        self._previous = self._current
        if self._previous is not None:
            self._previous.expires_at = min(self._previous.expires_at, now + OVERLAP)
        value = secrets.token_urlsafe(TOKEN_LENGTH)[:TOKEN_LENGTH]
        self._current = _Token(value, now + LIFETIME)

    def _answer(self, now: float) -> tuple[str, int]:
        assert self._current is not None
        return self._current.value, int(self._current.expires_at - now)
