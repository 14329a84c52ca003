"""One deployment for the tests of this folder: two nodes on three database members."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cluster.deployment import Deployment


@pytest.fixture(scope="package")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Two hosts with one server process each. Who breaks something mends it."""
    with Deployment(tmp_path_factory.mktemp("deployment"), nodes=2, BANSHI_DRAIN_SECONDS="3") as running:
        yield running
