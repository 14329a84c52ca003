"""Typed keys by which the composition root hands services to handlers: `request.config_dict[keys.CASES]`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from aiohttp import web
from redis.asyncio import Redis

from backend.domain.access import Actor
from backend.ports import Clock
from backend.services.accounts import CitizenService, StaffLoginService
from backend.services.announcements import AnnouncementService
from backend.services.calendar import CalendarService
from backend.services.case_desk import CaseDesk
from backend.services.case_overview import CaseOverview
from backend.services.cases import CaseService
from backend.services.catalogue_editing import CatalogueEditing
from backend.services.catalogue_imports import CatalogueImports
from backend.services.catalogue_reading import CatalogueReading
from backend.services.consultation_context import ConsultationContext
from backend.services.consultation_photos import ConsultationPhotoService
from backend.services.consultation_search import ConsultationSearch
from backend.services.consultations import ConsultationService
from backend.services.guide_files import GuideFiles
from backend.services.materials import MaterialService
from backend.services.matters import MatterService
from backend.services.notices import NoticeService
from backend.services.organisation import OrganisationService
from backend.services.quick_replies import QuickReplyService
from backend.services.sessions import SessionService
from backend.services.socket_tickets import SocketTicketService
from backend.services.staff import StaffService
from backend.services.transcripts import TranscriptService
from backend.storage.database import Database
from backend.storage.idempotency import IdempotencyStore


class Authenticator(Protocol):
    """Turns a token into an actor; raises `Unauthenticated`."""

    async def authenticate(self, token: str) -> Actor: ...


class Limiter(Protocol):
    """Counts hits; raises `RateLimited`."""

    async def hit(self, key: str, per_minute: int) -> None: ...


CLOCK: web.AppKey[Clock] = web.AppKey("clock", Clock)
DATABASE = web.AppKey("database", Database)
SESSIONS: web.AppKey[Authenticator] = web.AppKey("sessions", Authenticator)
RATE_LIMITER: web.AppKey[Limiter] = web.AppKey("rate_limiter", Limiter)
RATE_PER_MINUTE = web.AppKey("rate_per_minute", int)
LOGIN_RATE_PER_MINUTE = web.AppKey("login_rate_per_minute", int)
SESSION_SERVICE = web.AppKey("session_service", SessionService)
CITIZENS = web.AppKey("citizens", CitizenService)
STAFF_LOGIN = web.AppKey("staff_login", StaffLoginService)
STAFF = web.AppKey("staff", StaffService)
ANNOUNCEMENTS = web.AppKey("announcements", AnnouncementService)
QUICK_REPLIES = web.AppKey("quick_replies", QuickReplyService)
CALENDAR = web.AppKey("calendar", CalendarService)
ORGANISATION = web.AppKey("organisation", OrganisationService)
MATTERS = web.AppKey("matters", MatterService)
CATALOGUE_EDITING = web.AppKey("catalogue_editing", CatalogueEditing)
CATALOGUE_READING = web.AppKey("catalogue_reading", CatalogueReading)
CATALOGUE_IMPORTS = web.AppKey("catalogue_imports", CatalogueImports)
GUIDE_FILES = web.AppKey("guide_files", GuideFiles)
CASES = web.AppKey("cases", CaseService)
CASE_DESK = web.AppKey("case_desk", CaseDesk)
CASE_OVERVIEW = web.AppKey("case_overview", CaseOverview)
MATERIALS = web.AppKey("materials", MaterialService)
NOTICES = web.AppKey("notices", NoticeService)
CONSULTATIONS = web.AppKey("consultations", ConsultationService)
CONSULTATION_CONTEXT = web.AppKey("consultation_context", ConsultationContext)
CONSULTATION_SEARCH = web.AppKey("consultation_search", ConsultationSearch)
CONSULTATION_PHOTOS = web.AppKey("consultation_photos", ConsultationPhotoService)
SOCKET_TICKETS = web.AppKey("socket_tickets", SocketTicketService)
#: (kind, holder): raises `Unavailable` with `retry_after` while this node connects as many as it can.
ADMIT_TO_SOCKETS = web.AppKey[Callable[[str, str], None]]("admit_to_sockets")
TRANSCRIPTS = web.AppKey("transcripts", TranscriptService)
IDEMPOTENCY = web.AppKey("idempotency", IdempotencyStore)
REDIS = web.AppKey("redis", Redis)
