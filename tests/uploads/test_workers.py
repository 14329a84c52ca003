"""The pool: what hangs or dies is ended alone, and the next photograph does not notice."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import uvloop

from tests.uploads.samples import encoded, endless_jpeg, photo, scene
from uploads.errors import DamagedPhoto, NotAPhoto, PhotosBusy, UnreasonablePhoto
from uploads.workers import PhotoWorkers, WorkerLimits

ROOT = Path(__file__).parents[2]
GENEROUS = WorkerLimits(wait_seconds=20, decode_seconds=20)


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "good.jpg"
    path.write_bytes(encoded(scene()))
    return path


@pytest.fixture
def endless(tmp_path: Path) -> Path:
    """95 KB that a decoder works on for far longer than any limit here."""
    path = tmp_path / "endless.jpg"
    path.write_bytes(endless_jpeg(4000, 4000, scans=20_000))
    return path


async def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


def living(pids: frozenset[int]) -> set[int]:
    return {pid for pid in pids if Path(f"/proc/{pid}").exists()}


def status(pid: int) -> dict[str, str]:
    """What the kernel says of a process; nothing when it is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return {}
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


async def test_a_hanging_decode_is_killed_and_the_next_photo_works(good: Path, endless: Path) -> None:
    limits = WorkerLimits(processes=1, wait_seconds=20, decode_seconds=0.5)
    async with PhotoWorkers(limits) as workers:
        await workers.start()
        before = workers.pids

        with pytest.raises(UnreasonablePhoto):
            await workers.normalise(endless)
        page = await workers.normalise(good)

        assert (page.width, page.height) == (640, 480)
        assert not before & workers.pids
        await until(lambda: not living(before))


async def test_a_hanging_decode_holds_up_nobody_else(good: Path, endless: Path) -> None:
    limits = WorkerLimits(processes=2, wait_seconds=20, decode_seconds=3)
    async with PhotoWorkers(limits) as workers:
        await workers.start()
        hanging = asyncio.create_task(workers.normalise(endless))
        await until(lambda: workers.busy == 1)

        await workers.normalise(good)

        assert not hanging.done()
        with pytest.raises(UnreasonablePhoto):
            await hanging


async def test_a_killed_process_is_replaced(good: Path, endless: Path) -> None:
    async with PhotoWorkers(GENEROUS) as workers:
        await workers.start()
        (pid,) = workers.pids
        decoding = asyncio.create_task(workers.normalise(endless))
        await until(lambda: workers.busy == 1)
        os.kill(pid, signal.SIGKILL)

        with pytest.raises(DamagedPhoto):
            await decoding
        assert (await workers.normalise(good)).width == 640


async def test_a_process_that_died_idle_is_replaced(good: Path) -> None:
    async with PhotoWorkers(GENEROUS) as workers:
        await workers.start()
        (pid,) = workers.pids
        os.kill(pid, signal.SIGKILL)
        await until(lambda: status(pid).get("State", "Z")[0] == "Z")

        results = [await attempt(workers, good) for _ in range(3)]

        assert results[-1] == "ok"


async def attempt(workers: PhotoWorkers, path: Path) -> str:
    try:
        await workers.normalise(path)
    except DamagedPhoto as error:
        return error.code
    return "ok"


async def test_a_full_queue_says_when_to_come_back(good: Path, endless: Path) -> None:
    limits = WorkerLimits(processes=1, max_waiting=2, wait_seconds=30, decode_seconds=2)
    async with PhotoWorkers(limits) as workers:
        await workers.start()
        hanging = asyncio.create_task(workers.normalise(endless))
        await until(lambda: workers.busy == 1)
        waiting = [asyncio.create_task(workers.normalise(good)) for _ in range(2)]
        await until(lambda: workers.waiting == 2)

        with pytest.raises(PhotosBusy) as refusal:
            await workers.normalise(good)

        assert refusal.value.retry_after == 2
        assert [(await task).width for task in waiting] == [640, 640]
        with pytest.raises(UnreasonablePhoto):
            await hanging


async def test_waiting_for_a_process_has_an_end(good: Path, endless: Path) -> None:
    limits = WorkerLimits(processes=1, wait_seconds=0.2, decode_seconds=3)
    async with PhotoWorkers(limits) as workers:
        await workers.start()
        hanging = asyncio.create_task(workers.normalise(endless))
        await until(lambda: workers.busy == 1)

        with pytest.raises(PhotosBusy):
            await workers.normalise(good)
        with pytest.raises(UnreasonablePhoto):
            await hanging


async def test_memory_beyond_the_limit_is_a_refusal_and_not_a_death(tmp_path: Path, good: Path) -> None:
    path = tmp_path / "large.png"
    path.write_bytes(encoded(photo(3000, 2400), "PNG", compress_level=1))
    limits = WorkerLimits(processes=1, wait_seconds=20, decode_seconds=20, memory_bytes=55_000_000)
    async with PhotoWorkers(limits) as workers:
        await workers.start()
        before = workers.pids

        with pytest.raises(Exception, match="像素过多"):
            await workers.normalise(path)

        assert (await workers.normalise(good)).width == 640
        assert workers.pids == before


async def test_a_cancelled_caller_leaves_a_working_pool(good: Path, endless: Path) -> None:
    limits = WorkerLimits(processes=1, wait_seconds=20, decode_seconds=20)
    async with PhotoWorkers(limits) as workers:
        await workers.start()
        before = workers.pids
        decoding = asyncio.create_task(workers.normalise(endless))
        await until(lambda: workers.busy == 1)
        decoding.cancel()
        await asyncio.gather(decoding, return_exceptions=True)

        assert (await workers.normalise(good)).width == 640
        assert not living(before)


async def test_many_at_once_are_all_made(good: Path) -> None:
    async with PhotoWorkers(GENEROUS) as workers:
        pages = await asyncio.gather(*(workers.normalise(good) for _ in range(20)))

        assert len({page.sha256 for page in pages}) == 1
        assert len(workers.pids) <= 2


async def test_processes_that_nobody_needs_end(good: Path) -> None:
    limits = WorkerLimits(processes=3, wait_seconds=20, decode_seconds=20, idle_seconds=0.2)
    async with PhotoWorkers(limits) as workers:
        await asyncio.gather(*(workers.normalise(good) for _ in range(12)))
        await until(lambda: len(workers.pids) == 1)

        (pid,) = workers.pids
        assert int(status(pid)["VmRSS"].split()[0]) < 60_000


async def test_a_process_is_renewed_after_its_share(good: Path) -> None:
    limits = WorkerLimits(processes=1, wait_seconds=20, decode_seconds=20, photos_per_process=2)
    async with PhotoWorkers(limits) as workers:
        await workers.start()
        before = workers.pids
        for _ in range(3):
            await workers.normalise(good)

        assert not before & workers.pids


async def test_refusals_cross_the_process_with_all_they_say(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(b"%PDF-1.4")
    async with PhotoWorkers(GENEROUS) as workers:
        with pytest.raises(NotAPhoto, match="PDF") as refusal:
            await workers.normalise(path)

        assert refusal.value.extra == {"kind": "pdf"}


async def test_stopping_finishes_what_is_being_decoded_and_leaves_no_process(good: Path) -> None:
    workers = PhotoWorkers(GENEROUS)
    await workers.start()
    pids = workers.pids
    (pid,) = pids
    os.kill(pid, signal.SIGSTOP)  # else so small a photograph may be done before anyone sees it busy
    decoding = asyncio.create_task(workers.normalise(good))
    await until(lambda: workers.busy == 1)

    stopping = asyncio.create_task(workers.stop())
    await asyncio.sleep(0)
    os.kill(pid, signal.SIGCONT)
    await stopping
    await workers.stop()

    assert (await decoding).width == 640
    assert not living(pids)
    with pytest.raises(PhotosBusy):
        await workers.normalise(good)


async def test_a_process_is_bound_before_it_reads_anything() -> None:
    async with PhotoWorkers(GENEROUS) as workers:
        await workers.start()
        (pid,) = workers.pids
        environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        limits = Path(f"/proc/{pid}/limits").read_text()

        assert {entry.partition(b"=")[0] for entry in environment} <= {b"PATH", b"LANG", b"MALLOC_ARENA_MAX", b""}
        assert os.getpriority(os.PRIO_PROCESS, pid) == os.getpriority(os.PRIO_PROCESS, 0) + 10
        assert re.search(rf"Max address space +{GENEROUS.memory_bytes} ", limits)
        assert re.search(r"Max file size +0 ", limits)


async def test_a_process_ends_when_its_server_does(good: Path) -> None:
    program = (
        "import asyncio, os, pathlib, sys\n"
        "from uploads.workers import PhotoWorkers\n"
        "async def main():\n"
        "    workers = PhotoWorkers()\n"
        "    await workers.start()\n"
        "    await workers.normalise(pathlib.Path(sys.argv[1]))\n"
        "    print(*workers.pids, flush=True)\n"
        "    os.kill(os.getpid(), 9)\n"
        "asyncio.run(main())\n"
    )
    server = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program, str(good)), cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await server.communicate()
    pids = frozenset(int(pid) for pid in out.split())

    assert len(pids) == 1
    await until(lambda: not any(status(pid).get("State", "Z")[0] != "Z" for pid in pids))


def test_the_pool_runs_on_uvloop(good: Path) -> None:
    async def once() -> int:
        async with PhotoWorkers(GENEROUS) as workers:
            return (await workers.normalise(good)).width

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(once()) == 640
