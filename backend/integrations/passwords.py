"""Passwords as argon2id hashes, computed off the event loop."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

#: At 64 MiB a hash, the number at work is also the bound of the memory that a storm of logins takes.
_AT_ONCE = 2


@cache
def _hash_of_nobody(*, cheap: bool) -> str:
    """What an unknown name's password is compared with; made once for a process."""
    return _hasher(cheap=cheap).hash("")


def _hasher(*, cheap: bool) -> PasswordHasher:
    return PasswordHasher(time_cost=1, memory_cost=64, parallelism=1) if cheap else PasswordHasher()


class Passwords:
    """Hashes and verifies. The parameters are argon2-cffi's (RFC 9106, the second choice: 64 MiB).

    `cheap` is for the test mode alone, where hundreds of people log in: the same algorithm, no effort.
    """

    def __init__(self, *, cheap: bool = False) -> None:
        self._hasher = _hasher(cheap=cheap)
        self._threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="argon2")
        self._nobody = _hash_of_nobody(cheap=cheap)

    async def hash(self, password: str) -> str:
        """The encoded hash with a salt of its own."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._hasher.hash, password)

    async def verify(self, known: str | None, password: str) -> bool:
        """Whether `password` is the one hashed in `known`.

        With None (nobody has this name) it takes as long and is False.
        """
        loop = asyncio.get_running_loop()
        matches = await loop.run_in_executor(self._threads, self._verify, known or self._nobody, password)
        return matches and known is not None

    def _verify(self, known: str, password: str) -> bool:
        try:
            return self._hasher.verify(known, password)
        except (VerificationError, InvalidHashError):
            return False

    def close(self) -> None:
        """Let the threads end."""
        self._threads.shutdown(wait=False, cancel_futures=True)
