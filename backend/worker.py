"""The background worker of one node: relays events, fires timers. Any number of nodes may run it."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack, suppress

import structlog

from backend.composition import Services, open_services
from backend.jobs.case_reckoning import CaseReckoningJob
from backend.jobs.catalogue import CatalogueDays, CatalogueImportJob
from backend.jobs.consultation_photo_cleanup import ConsultationPhotoCleanup
from backend.jobs.consultation_relay import ConsultationRelay
from backend.jobs.material_cleanup import MaterialCleanup
from backend.jobs.outbox import Outbox
from backend.jobs.timers import TimerSweep
from backend.rest.exposition import Exposition
from backend.rest.process_figures import ProcessFigures
from backend.rest.siblings import Siblings
from config.settings import Settings

log = structlog.get_logger()

Job = Callable[[], Coroutine[None, None, None]]


async def run_worker(settings: Settings, process: str | None = None, ready: Callable[[], None] | None = None) -> None:
    """Work until SIGTERM, SIGINT or SIGUSR2. What was begun is finished or taken up by another node.

    `process` is its name among those of one system, who tell its figures with theirs; `ready` is called
    when the work begins. Raises `Unavailable` when the database does not answer at the start.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for sign in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR2):
        loop.add_signal_handler(sign, stop.set)
    async with open_services(settings) as services:
        log.info("worker_started")
        async with AsyncExitStack() as stack:
            if process is not None:
                exposition = Exposition(process)
                stack.enter_context(ProcessFigures().running(exposition))
                await stack.enter_async_context(Siblings(settings.metrics_folder, exposition).listening())
            if ready is not None:
                ready()
            await work(services, stop)
        log.info("worker_stopped")


async def work(services: Services, stop: asyncio.Event) -> None:
    """Run every job until `stop`. A job that ends by itself is a defect and ends the worker."""
    tasks = [asyncio.create_task(job(), name=name) for name, job in jobs_of(services).items()]
    stopping = asyncio.create_task(stop.wait(), name="stop")
    done, _ = await asyncio.wait([*tasks, stopping], return_when=asyncio.FIRST_COMPLETED)
    for task in (*tasks, stopping):
        task.cancel()
    for task in (*tasks, stopping):
        with suppress(asyncio.CancelledError):
            await task
    for task in done - {stopping}:
        task.result()


def jobs_of(services: Services) -> dict[str, Job]:
    """Everything that goes on in the background, by name."""
    outbox = Outbox(events=services.events, consumers=[services.notices], clock=services.clock)
    timers = TimerSweep(timers=services.timers, target=services.case_desk, clock=services.clock)
    cleanup = MaterialCleanup(services.materials)
    answers = ConsultationRelay(store=services.consultation_store, notices=services.notice_store, clock=services.clock)
    imports = CatalogueImportJob(services.import_work)
    return {
        "outbox": outbox.run,
        "timers": timers.run,
        "case_reckoning": CaseReckoningJob(services.case_reckoning).run,
        "material_cleanup": cleanup.run,
        "consultation_photo_cleanup": ConsultationPhotoCleanup(services.consultation_photos).run,
        "consultation_relay": answers.run,
        "catalogue_days": CatalogueDays(services.catalogue_editing).run,
        "catalogue_imports": imports.run,
        "catalogue_import_files": imports.tidy,
    }
