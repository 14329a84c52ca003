"""Two processes of one name, while the one hands over to the other."""

from __future__ import annotations

from pathlib import Path

from backend.rest.exposition import Exposition
from backend.rest.siblings import Siblings


async def test_who_hands_over_does_not_take_the_figures_of_its_successor_along(tmp_path: Path) -> None:
    old, new, other = (Siblings(tmp_path, Exposition(name)) for name in ("server-1", "server-1", "server-2"))
    async with other.listening():
        leaving = old.listening()
        await leaving.__aenter__()
        async with new.listening():
            await leaving.__aexit__(None, None, None)
            assert (await other.collect()).get("server-1") is not None
        assert set(await other.collect()) == {"server-2"}
