"""The rule of refresh tokens, for any history of answers that arrive or get lost."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.accounts import (
    PASSWORD_LENGTH,
    REFRESH_GRACE,
    REFRESH_KEPT,
    SIBLINGS,
    AccessToken,
    LoginSession,
    RefreshToken,
    SessionEnded,
    WeakPassword,
    check_password,
)
from backend.domain.errors import RateLimited

START = datetime(2026, 3, 2, 1, 0, tzinfo=UTC)
YEAR = timedelta(days=365)


def session(refresh: str = "r0") -> LoginSession:
    return LoginSession(
        id="s",
        kind="citizen",
        subject_id="c",
        device="",
        created_at=START,
        last_seen_at=START,
        expires_at=START + YEAR,
        access=(AccessToken("a0", START + timedelta(hours=2)),),
        refresh=(RefreshToken(refresh),),
    )


def step(state: LoginSession, token: str, number: int, now: datetime) -> LoginSession:
    access = AccessToken(f"a{number}", now + timedelta(hours=2))
    return state.refreshed(token, access=access, refresh=f"r{number}", now=now, expires_at=now + YEAR)


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(1, 14)), min_size=1, max_size=100))
def test_a_client_on_a_bad_network_is_never_logged_out(history: list[tuple[int, int]]) -> None:
    """It repeats within the grace until an answer arrives, and then uses what arrived."""
    state, held, now, number = session(), "r0", START, 0
    for tries, seconds in history:
        for _ in range(tries):
            number += 1
            state = step(state, held, number, now)
            assert state.access_token(f"a{number}") is not None
            now += timedelta(seconds=seconds)
        held = f"r{number}"
        now += timedelta(hours=3)
    assert len(state.refresh) <= REFRESH_KEPT
    assert len(state.access) <= 2 * SIBLINGS


@given(st.integers(1, 30), st.integers(61, 10**6))
def test_an_old_token_is_told_from_an_unknown_one(steps: int, seconds: int) -> None:
    state, now = session(), START
    for number in range(1, steps + 1):
        now += timedelta(hours=1)
        state = step(state, f"r{number - 1}", number, now)
    later = now + timedelta(seconds=seconds)
    assert all(state.reused(f"r{number}", later) for number in range(steps))
    assert not state.reused(f"r{steps}", later)
    assert not state.reused("unknown", later)
    for token in ("r0", "unknown"):
        with pytest.raises(SessionEnded):
            step(state, token, 99, later)


def test_repeats_are_bounded() -> None:
    state = step(session(), "r0", 1, START)
    for number in range(2, SIBLINGS + 1):
        state = step(state, "r0", number, START)
    with pytest.raises(RateLimited):
        step(state, "r0", 99, START + REFRESH_GRACE)


def test_an_ended_session_is_not_refreshed() -> None:
    with pytest.raises(SessionEnded):
        step(session(), "r0", 1, START + YEAR)


@given(st.text(max_size=200).filter(lambda text: len(text) not in PASSWORD_LENGTH))
def test_passwords_have_a_length(password: str) -> None:
    with pytest.raises(WeakPassword) as caught:
        check_password(password, username="wang.fang")
    assert caught.value.field == "new_password"


@given(st.text("abcdefgh", min_size=4, max_size=20))
def test_passwords_do_not_hold_the_username(padding: str) -> None:
    with pytest.raises(WeakPassword):
        check_password(f"{padding}WANG.fang{padding}", username="wang.fang")
