"""The web application of one node."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

import socketio
from aiohttp import web

from backend import keys
from backend.composition import Services, open_services, shown_district
from backend.rest import docs, health
from backend.rest.context import DRAINING, PUBLIC_ORIGIN, TRUSTED_PROXIES
from backend.rest.exposition import EXPOSITION, Exposition
from backend.rest.http_counts import HTTP_COUNTS, HttpCounts
from backend.rest.middleware import add_security_headers, observe
from backend.rest.openapi import document
from backend.rest.operations import Routes, mount
from backend.rest.process_figures import ProcessFigures
from backend.rest.siblings import SIBLINGS, Siblings
from backend.version import VERSION
from chat import sockets
from chat.metrics import chat_metrics
from chat.node import ChatNode
from config.first_accounts import ACCOUNTS_FILE, read_accounts
from config.settings import Settings
from handlers import (
    accounts,
    announcements,
    calendar,
    cases,
    catalogue,
    client_settings,
    consultation_records,
    consultations,
    desk_cases,
    desk_context,
    first_page,
    guide_cache,
    matters,
    notices,
    organisation,
    pages,
    quick_replies,
    staff,
)
from uploads import consultation_photos
from uploads import handlers as uploads

#: Every resource's routes, in the order of the documentation.
ROUTES: list[Routes] = [
    accounts.routes,
    staff.routes,
    organisation.routes,
    calendar.routes,
    announcements.routes,
    quick_replies.routes,
    matters.routes,
    catalogue.routes,
    cases.routes,
    desk_cases.routes,
    consultations.routes,
    consultation_records.routes,
    consultation_photos.routes,
    desk_context.routes,
    uploads.routes,
    notices.routes,
    client_settings.routes,
]


CHAT = web.AppKey("chat", ChatNode)


async def leave(app: web.Application, *, unnoticed: float, seconds: float) -> None:
    """Make ready to stop: unready at once, and when balancers know that, the sockets go elsewhere.

    `unnoticed` seconds pass before the first socket is told to go, all of them within `seconds` more. Requests
    are answered all the while.
    """
    app[DRAINING].set()
    await asyncio.sleep(unnoticed)
    await app[CHAT].leave(seconds)


def openapi_document() -> dict[str, Any]:
    """The OpenAPI document, from the handlers' signatures alone."""
    return document(ROUTES, version=VERSION)


def create_app(settings: Settings, services: Services | None = None, process: str | None = None) -> web.Application:
    """The application for `settings`. With `services` given, their owner closes them.

    `process` is its name among those that share the port, whose figures it then tells together with its own.
    """
    api = web.Application(client_max_size=settings.max_body)
    mount(api, ROUTES)
    docs.mount(api, openapi_document)

    app = web.Application(middlewares=[guide_cache.from_memory, observe], client_max_size=settings.max_body)
    app[keys.RATE_PER_MINUTE] = settings.rate_per_minute
    app[keys.LOGIN_RATE_PER_MINUTE] = settings.login_rate_per_minute
    app[TRUSTED_PROXIES] = settings.trusted_proxies
    app[PUBLIC_ORIGIN] = (settings.public_url or "").rstrip("/")
    app.on_response_prepare.append(add_security_headers)
    health.mount(app, settings.metrics_from)
    counts = app[HTTP_COUNTS] = HttpCounts()
    exposition = app[EXPOSITION] = Exposition(process or "server")
    exposition.add(counts.metrics)
    if process is not None:
        app[SIBLINGS] = Siblings(settings.metrics_folder, exposition)
    app[client_settings.FACTS] = _client_facts(settings)
    app[first_page.FIRST_PAGE] = first_page.FirstPageFacts(
        accounts=partial(read_accounts, settings.var / ACCOUNTS_FILE),
        listens_beyond=settings.host not in ("127.0.0.1", "localhost", "::1"),
    )
    pages.mount(app, settings.web)

    async def run_services(app: web.Application) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            if services is None:
                opened = await stack.enter_async_context(open_services(settings))
            else:
                opened = services
            _provide(app, opened)
            app[CHAT] = _chat(socket_server, opened)
            exposition.add(partial(chat_metrics, app[CHAT], opened.consultation_store, opened.session_cache))
            stack.enter_context(ProcessFigures().running(exposition))
            if process is not None:
                await stack.enter_async_context(app[SIBLINGS].listening())
            app[keys.ADMIT_TO_SOCKETS] = app[CHAT].admission.ticket
            await stack.enter_async_context(opened.catalogue.following())
            await stack.enter_async_context(app[CHAT].running())
            yield

    app.cleanup_ctx.append(run_services)
    origins = [settings.public_url] if settings.public_url else []
    socket_server = sockets.create_server(origins, settings.chat_sockets)
    sockets.mount(socket_server, app)
    app.cleanup_ctx.append(
        uploads.photo_intake(
            settings.var / "uploads" / "tmp",
            max_bytes=settings.max_photo,
            processes=settings.photo_workers,
            wait_seconds=settings.photo_wait_seconds,
        )
    )
    app.add_subapp("/api", api)
    return app


def _client_facts(settings: Settings) -> client_settings.ClientFacts:
    """What clients may know of the settings."""
    return client_settings.ClientFacts(
        mode=settings.mode,
        district_name=shown_district(settings),
        standin_url=settings.standin_url,
        max_photo_bytes=settings.max_photo,
    )


def _chat(server: socketio.AsyncServer, services: Services) -> ChatNode:
    """The socket side of this node."""

    return ChatNode(
        server,
        service=services.consultations,
        log=services.consultation_log,
        presence=services.presence,
        tickets=services.socket_tickets,
        actors_of=services.sessions.actors_of,
        clock=services.clock,
        redis=services.redis,
        prefix=services.database.name,
        events_per_second=services.settings.chat_events_per_second,
        connects_per_second=services.settings.chat_connects_per_second,
        rights_seconds=services.settings.chat_rights_seconds,
    )


def _provide(app: web.Application, services: Services) -> None:
    """Put the services under their keys."""
    app[keys.CLOCK] = services.clock
    app[keys.DATABASE] = services.database
    app[keys.REDIS] = services.redis
    app[keys.RATE_LIMITER] = services.rate_limiter
    app[keys.IDEMPOTENCY] = services.idempotency
    app[keys.SESSIONS] = services.sessions
    app[keys.SESSION_SERVICE] = services.sessions
    app[keys.CITIZENS] = services.citizens
    app[keys.STAFF_LOGIN] = services.staff_login
    app[keys.STAFF] = services.staff
    app[keys.ORGANISATION] = services.organisation
    app[keys.ANNOUNCEMENTS] = services.announcements
    app[keys.QUICK_REPLIES] = services.quick_replies
    app[keys.CALENDAR] = services.calendar
    app[keys.MATTERS] = services.matters
    app[guide_cache.GUIDE_CACHE] = guide_cache.GuideCache(services.matters)
    app[keys.CATALOGUE_EDITING] = services.catalogue_editing
    app[keys.CATALOGUE_READING] = services.catalogue_reading
    app[keys.CATALOGUE_IMPORTS] = services.catalogue_imports
    app[keys.GUIDE_FILES] = services.guide_files
    app[keys.CASES] = services.cases
    app[keys.CASE_DESK] = services.case_desk
    app[keys.CASE_OVERVIEW] = services.case_overview
    app[keys.MATERIALS] = services.materials
    app[keys.NOTICES] = services.notices
    app[keys.CONSULTATIONS] = services.consultations
    app[keys.CONSULTATION_SEARCH] = services.consultation_search
    app[keys.TRANSCRIPTS] = services.transcripts
    app[keys.CONSULTATION_CONTEXT] = services.consultation_context
    app[keys.CONSULTATION_PHOTOS] = services.consultation_photos
    app[keys.SOCKET_TICKETS] = services.socket_tickets
