"""The socket side of a node in Prometheus' words. docs/operations.md says what to do about each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from prometheus_client.core import Metric

from backend.measures import Tally
from backend.rest.exposition import counter, gauge, histogram
from backend.storage.consultations import ConsultationStore
from backend.storage.sessions import SessionCache
from chat.node import ChatNode


def _by(tally: Tally) -> dict[tuple[str, ...], float]:
    return {(label,): number for label, number in tally.items()}


def chat_metrics(node: ChatNode, store: ConsultationStore, sessions: SessionCache) -> Iterable[Metric]:
    """What one process did and has now."""
    yield from _sockets(node)
    yield from _events(node)
    yield from _commits(store)
    yield from _delivery(node)
    yield from _hints(node)
    yield counter(
        "banshi_session_cache_looks",
        "Looks at the session cache. `away`: Redis is not there, every request reads MongoDB.",
        _by(sessions.looks),
        ["outcome"],
    )


def _sockets(node: ChatNode) -> Iterable[Metric]:
    counters = node.hub.counters
    now = Counter({"/citizen": 0, "/clerk": 0})
    now.update(connection.namespace for connection in node.connections)
    yield gauge(
        "banshi_chat_sockets",
        "Sockets that are open. Near the limits in docs/operations.md: more processes or hosts.",
        {(namespace,): float(number) for namespace, number in now.items()},
        ["namespace"],
    )
    yield counter(
        "banshi_chat_connects",
        "Sockets that asked to be let in: admitted, or the code of the refusal. `rate-limited` after a restart is"
        " pacing; `unauthenticated` growing: clients with spent tickets, or clocks that differ.",
        _by(counters.opened),
        ["outcome"],
    )
    yield counter(
        "banshi_chat_disconnects",
        "Admitted sockets that ended, by the reason. `ping timeout` of many at once: the network before the nodes.",
        _by(counters.closed),
        ["reason"],
    )
    yield counter(
        "banshi_chat_kicks",
        "Sockets this node sent away, by the code they were told. `too-slow`: clients that do not read;"
        " `silent`: desks that are gone; `resync`: a database was put back.",
        _by(counters.kicked),
        ["code"],
    )


def _events(node: ChatNode) -> Iterable[Metric]:
    counters = node.hub.counters
    yield counter(
        "banshi_chat_events",
        "Events of clients by name and outcome, `ok` or the code of the refusal; names of no event are `unknown`."
        " `internal-error` is a defect: read the log; `temporarily-unavailable`: MongoDB is away.",
        {key: float(number) for key, number in counters.answered.items()},
        ["event", "outcome"],
    )
    yield histogram(
        "banshi_chat_event_seconds",
        "From an event's arrival to its answer. `msg:send` slow: compare banshi_chat_commit_seconds (MongoDB) and"
        " banshi_loop_lag_seconds (this process).",
        {(event,): seconds for event, seconds in counters.answer_seconds.items()},
        ["event"],
    )


def _commits(store: ConsultationStore) -> Iterable[Metric]:
    commits, receipts = store.commits, store.receipts
    yield histogram(
        "banshi_chat_commit_batch_size",
        "Operations per write to the log. Grows with load, which is how it should be; at 500 MongoDB is behind.",
        commits.sizes,
    )
    yield histogram(
        "banshi_chat_commit_seconds",
        "One write to the log, majority and journaled. Above 0.1 s: MongoDB's disks, its members, or the network.",
        commits.seconds,
    )
    yield counter(
        "banshi_chat_commits",
        "Writes to the log: `ok`; `partial`: a retry, or another process was first, which is taken again;"
        " `unknown`: MongoDB did not say, which senders ask again; `unsent`: there was no primary; `error`:"
        " a defect.",
        _by(commits.outcomes),
        ["outcome"],
    )
    yield gauge(
        "banshi_chat_commit_waiting_operations",
        "Operations that wait for the next write. Growing: MongoDB is away or behind; at 20,000 senders are refused.",
        commits.waiting,
    )
    yield counter("banshi_chat_receipts_written", "Readers' watermarks written.", receipts.written)
    yield counter(
        "banshi_chat_receipt_writes", "Writes that carried them; fewer is better under load.", receipts.batches
    )


def _delivery(node: ChatNode) -> Iterable[Metric]:
    counters = node.hub.counters
    yield counter(
        "banshi_chat_operations_committed",
        "Operations of the log that this process committed, by kind.",
        _by(counters.committed),
        ["kind"],
    )
    yield counter(
        "banshi_chat_operations_delivered",
        "Operations shown to sockets of this node, counted once for all of them, by the way they came: `local`,"
        " `hinted` by another process, `read` from the log, `swept`: the log was read since the sweep found what no"
        " hint told. `swept` growing: Redis loses hints, messages are up to 2 s late.",
        {
            ("local",): counters.pushed_local,
            ("hinted",): counters.pushed_hinted,
            ("read",): counters.pushed_read - counters.pushed_swept,
            ("swept",): counters.pushed_swept,
        },
        ["way"],
    )
    yield counter("banshi_chat_log_reads", "Times the log was read for readers behind.", counters.reads)
    yield counter(
        "banshi_chat_resynchronisations",
        "Times delivery fell back to the log. `gap`: something was missing before what arrived; `swept`: the sweep"
        " found a consultation behind; `relistened`: hints may have been lost, everything was looked at again;"
        " `epoch`: a database was put back. Growing without restarts: Redis or the way to it.",
        {
            ("gap",): counters.gaps,
            ("swept",): counters.swept,
            ("relistened",): counters.relistened,
            ("epoch",): counters.restarts,
        },
        ["cause"],
    )
    yield counter(
        "banshi_chat_buffer_overflows",
        "Sockets that did not take what was for them. `paused`: nothing more is pushed until they do; `cut`: closed,"
        " they come back by themselves. Many at once: the network or the balancer, not the clients.",
        {("paused",): counters.overflows, ("cut",): counters.given_up},
        ["then"],
    )
    yield gauge("banshi_chat_feeds", "Consultations somebody on this node follows.", len(node.hub.feeds))


def _hints(node: ChatNode) -> Iterable[Metric]:
    counters, bus = node.hub.counters, node.hub.bus
    yield counter("banshi_chat_hints_published", "Hints that left for other processes.", counters.hints_published)
    yield counter("banshi_chat_hint_round_trips", "Round trips to Redis in which they left.", counters.publish_rounds)
    yield counter("banshi_chat_hints_received", "Messages of hints that came.", counters.hints_received)
    yield counter(
        "banshi_chat_hints_lost",
        "Hints that will not arrive: `overflow`: no place in the queue, `unsent`: Redis did not take them,"
        " `garbled`: not readable, processes of different versions. The sweep delivers what they told.",
        {
            ("overflow",): counters.hints_dropped,
            ("unsent",): counters.hints_unsent,
            ("garbled",): counters.hints_garbled,
        },
        ["cause"],
    )
    yield histogram(
        "banshi_chat_hint_lag_seconds",
        "From publishing a hint to its arrival here, by both hosts' clocks. Above 0.1 s: Redis, the network, NTP, or"
        " banshi_loop_lag_seconds of either process.",
        counters.hint_lag,
    )
    yield gauge(
        "banshi_chat_hint_bus_silent_seconds",
        "Since this process last heard itself over Redis, which it does every 3 s. Above 15: Redis is away; messages"
        " between processes are up to 2 s late.",
        bus.silent_for,
    )
    yield counter(
        "banshi_chat_hint_subscriptions_rebuilt",
        "Times the connection to Redis was made anew.",
        counters.subscriptions_rebuilt,
    )
