"""Drills: the short ones belong to the tests, those marked `drill` are played by `make drills`."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.cluster.stores import Redis, ReplicaSet
from tests.drills.results import Recorder, as_property, noted
from tests.drills.system import Begin, system


def pytest_configure(config: pytest.Config) -> None:
    if config.option.markexpr == "drill" and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Recorder(), "banshi-drill-results")


#: What takes longest begins first, so that nothing long is played alone at the end.
LONGEST = (
    "test_both_clients_behave_alike_in",
    "test_everything_breaks_at_once",
    "test_redis_stopped_restarted_empty_and_silent",
    "test_the_protocol_is_what_a_list_says_though_nodes_die",
    "test_every_host_is_restarted_behind_haproxy",
    "test_every_host_is_restarted_behind_nginx_marked_down",
    "test_the_primary_is_killed_steps_down_and_falls_silent",
    "test_the_document_holds_at_every_bound_for",
    "test_planted_trouble_is_found_in_plain_words",
    "test_a_node_of_another_release_on_another_redis_is_found",
    "test_one_way_loss_between_a_phone_and_its_node",
)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.option.markexpr == "drill":
        names = [item.name.partition("[")[0] for item in items]
        place = {name: LONGEST.index(name) if name in LONGEST else len(LONGEST) for name in names}
        items.sort(key=lambda item: place[item.name.partition("[")[0]])
    if config.option.markexpr:
        return
    long = [item for item in items if item.get_closest_marker("drill") and "drills" in item.path.parts]
    if long:
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]


@pytest.fixture(autouse=True)
def _figures(request: pytest.FixtureRequest) -> Iterator[None]:
    """What a drill notes goes into its report."""
    with noted() as found:
        yield
    request.node.user_properties.extend(as_property(figures) for figures in found)


@pytest.fixture
def begin(servers: tuple[str, str], wechat_standin: str, tmp_path: Path) -> Begin:
    """`async with begin() as drill`: a system on the stores of this session, or on those that are named."""
    return partial(system, tmp_path, mongo_url=servers[0], redis_url=servers[1], standin=wechat_standin)


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[Redis]:
    """A Redis of this drill's own, to be broken."""
    redis = Redis("redis", tmp_path / "redis")
    redis.start()
    yield redis
    redis.thaw()
    redis.kill()


@pytest.fixture
def replica_set(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ReplicaSet]:
    """Members of this drill's own, to be broken: three, or as many as its parameter says."""
    members = ReplicaSet(tmp_path, getattr(request, "param", 3))
    try:
        members.start()
        yield members
    finally:
        for member in members.members:
            member.thaw()
        members.stop()
