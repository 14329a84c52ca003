"""Among several processes what takes long begins first, so that nobody waits for it at the end.

pytest-xdist (`--dist worksteal`) gives each process one stretch of the list and lets who is done take from the end of
another's. So every stretch begins with some of the long ones; what shares a server or a browser stays together.
"""

from __future__ import annotations

from itertools import islice

import pytest

#: The longest first. Who builds the pages comes before those who would wait for them.
LONG: tuple[tuple[str, ...], ...] = (
    ("tests/browser/",),
    ("tests/run/",),
    (
        "tests/chat/test_search.py",
        "tests/chat/test_transcripts.py",
        "tests/chat/test_nodes.py",
        "tests/chat/test_pacing.py",
    ),
    ("tests/web/",),
    ("tests/conformance/",),
    ("tests/api/test_contract.py",),
)


def dealt(items: list[pytest.Item], processes: int) -> list[pytest.Item]:
    """All of `items`, in an order of which every process gets its share of the long ones at its beginning."""
    groups = [[item for item in items if item.nodeid.startswith(prefixes)] for prefixes in LONG]
    long = {item for group in groups for item in group}
    rest = iter([item for item in items if item not in long])
    found: list[pytest.Item] = []
    for process in range(processes):
        end = len(found) + (len(items) - len(found)) // (processes - process)  # as worksteal cuts it
        found += [item for group in groups[process::processes] for item in group]
        found += islice(rest, max(0, end - len(found)))
    return found


class OrderPlugin:
    """Orders what each of several processes has collected; all of them come to the same."""

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        told = getattr(config, "workerinput", None)
        if told is not None:
            items[:] = dealt(items, told["workercount"])
