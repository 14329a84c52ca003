"""The composition root: stores, integrations and services, built from the settings and handed to each other.

`open_services` owns everything it opens; the web application, the worker and the commands share it.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from backend.integrations.clock import SystemClock, WarpedClock
from backend.integrations.passwords import Passwords
from backend.integrations.pdf import PdfPrinter
from backend.integrations.wechat.client import OFFICIAL, AsyncWeChatClient
from backend.integrations.wechat.login import WeChatLogin
from backend.ports import Clock
from backend.rest.ratelimit import RateLimiter
from backend.services.accounts import CitizenService, StaffLoginService
from backend.services.announcements import AnnouncementService
from backend.services.audit import Audit
from backend.services.calendar import CalendarService
from backend.services.canary import CanaryService
from backend.services.case_desk import CaseDesk
from backend.services.case_overview import CaseOverview
from backend.services.case_reckoning import CaseReckoning
from backend.services.case_steps import CaseSteps
from backend.services.cases import CaseService
from backend.services.catalogue import Catalogue
from backend.services.catalogue_editing import CatalogueEditing
from backend.services.catalogue_imports import CatalogueImports
from backend.services.catalogue_reading import CatalogueReading
from backend.services.consultation_context import ConsultationContext
from backend.services.consultation_log import ConsultationLog
from backend.services.consultation_photos import ConsultationPhotoService
from backend.services.consultation_readings import ConsultationReadings
from backend.services.consultation_search import ConsultationSearch
from backend.services.consultations import ConsultationService
from backend.services.directory import DirectoryService
from backend.services.guide_files import GuideFiles
from backend.services.import_work import ImportWork
from backend.services.materials import MaterialService
from backend.services.matter_import import MatterImporter
from backend.services.matters import MatterService
from backend.services.notices import NoticeService
from backend.services.organisation import OrganisationService
from backend.services.presence import PresenceService
from backend.services.quick_replies import QuickReplyService
from backend.services.sessions import SessionService
from backend.services.socket_tickets import SocketTicketService
from backend.services.staff import StaffService
from backend.services.transcripts import TranscriptService
from backend.storage import schema
from backend.storage.accounts import CitizenStore, LoginAttemptStore, StaffStore
from backend.storage.announcements import AnnouncementStore
from backend.storage.calendar import CalendarStore
from backend.storage.canaries import CanaryStore
from backend.storage.cases import CaseStore
from backend.storage.catalogue_imports import CatalogueImportStore
from backend.storage.consultation_epochs import ConsultationEpochs
from backend.storage.consultation_photos import ConsultationPhotoStore
from backend.storage.consultation_search import ConsultationSearchStore
from backend.storage.consultations import ConsultationStore
from backend.storage.database import Database
from backend.storage.events import EventStore
from backend.storage.idempotency import IdempotencyStore
from backend.storage.materials import MaterialStore
from backend.storage.matter_edits import MatterEditStore
from backend.storage.matters import MatterStore
from backend.storage.notices import NoticeStore
from backend.storage.organisation import OrganisationStore
from backend.storage.personal_data import PersonalDataCodec
from backend.storage.presence import PresenceStore
from backend.storage.quick_replies import QuickReplyStore
from backend.storage.sessions import SessionCache, SessionStore
from backend.storage.socket_tickets import SocketTicketStore
from backend.storage.timers import TimerStore
from config.sample_district import district_name
from config.settings import Settings

#: The mappings for imports that come with the product.
MAPPINGS = Path(__file__).resolve().parents[1] / "config" / "mappings"


@dataclass(frozen=True, slots=True)
class Services:
    """Everything a process of the product works with."""

    settings: Settings
    clock: Clock
    database: Database
    redis: Redis
    personal_data: PersonalDataCodec
    idempotency: IdempotencyStore
    rate_limiter: RateLimiter
    sessions: SessionService
    session_cache: SessionCache
    citizens: CitizenService
    staff_login: StaffLoginService
    staff: StaffService
    organisation: OrganisationService
    announcements: AnnouncementService
    quick_replies: QuickReplyService
    calendar: CalendarService
    cases: CaseService
    case_desk: CaseDesk
    case_overview: CaseOverview
    case_reckoning: CaseReckoning
    materials: MaterialService
    notices: NoticeService
    notice_store: NoticeStore
    events: EventStore
    timers: TimerStore
    catalogue: Catalogue
    matters: MatterService
    matter_importer: MatterImporter
    catalogue_editing: CatalogueEditing
    catalogue_reading: CatalogueReading
    catalogue_imports: CatalogueImports
    guide_files: GuideFiles
    import_work: ImportWork
    consultation_store: ConsultationStore
    consultation_log: ConsultationLog
    consultation_epochs: ConsultationEpochs
    consultations: ConsultationService
    consultation_photos: ConsultationPhotoService
    consultation_context: ConsultationContext
    consultation_search: ConsultationSearch
    transcripts: TranscriptService
    presence: PresenceService
    socket_tickets: SocketTicketService
    canaries: CanaryService


@asynccontextmanager
async def open_services(settings: Settings, *, upgrade: bool = True) -> AsyncIterator[Services]:
    """Connect, bring the schema up to date, build the services; close everything at the end.

    Raises `Unavailable` when the database does not answer.
    """
    if not settings.mongo_url or not settings.redis_url:
        raise ValueError("mongo_url and redis_url must be known before services are opened")
    async with AsyncExitStack() as stack:
        clock: Clock = WarpedClock(settings.clock_file) if settings.clock_file else SystemClock()
        database = Database.connect(settings.mongo_url, settings.mongo_database)
        stack.push_async_callback(database.close)
        await database.ping()
        if upgrade:
            await schema.upgrade(database)
        redis = connect_redis(settings.redis_url)
        stack.push_async_callback(redis.aclose)
        personal_data = PersonalDataCodec(_personal_data_key(settings))
        wechat = await stack.enter_async_context(
            AsyncWeChatClient(
                appid=settings.wechat_appid,
                secret=settings.wechat_secret.get_secret_value(),
                base_url=settings.wechat_base_url or OFFICIAL,
            )
        )
        passwords = Passwords(cheap=settings.mode == "test")
        stack.callback(passwords.close)
        staff_store, organisation_store = StaffStore(database), OrganisationStore(database)
        audit = Audit(database=database, events=EventStore(database), clock=clock)
        session_cache = SessionCache(redis)
        sessions = SessionService(
            sessions=SessionStore(database),
            cache=session_cache,
            staff=staff_store,
            organisation=organisation_store,
            clock=clock,
            access_ttl=timedelta(seconds=settings.access_token_ttl),
            refresh_ttl=timedelta(seconds=settings.refresh_token_ttl),
            staff_ttl=timedelta(seconds=settings.staff_session_ttl),
        )
        calendar = CalendarService(audit=audit, calendar=CalendarStore(database), clock=clock)
        matter_store = MatterStore(database)
        catalogue = Catalogue(matter_store)
        matters = MatterService(matters=matter_store, organisation=organisation_store, catalogue=catalogue, clock=clock)
        organisation = OrganisationService(audit=audit, organisation=organisation_store, staff=staff_store)
        events, timers, notice_store = EventStore(database), TimerStore(database), NoticeStore(database)
        case_store = CaseStore(database, events, timers, personal_data)
        case_steps = CaseSteps(
            database=database,
            cases=case_store,
            events=events,
            matters=matter_store,
            office=organisation,
            clock=clock,
            calendars=calendar,
        )
        case_service = CaseService(steps=case_steps, office=organisation, pages=MaterialStore(database))
        consultation_store = ConsultationStore(database)
        consultation_log = ConsultationLog(store=consultation_store, clock=clock)
        stack.push_async_callback(consultation_log.close)
        epochs = ConsultationEpochs(database)
        await epochs.current()  # a restore that was not brought to its end is not to be served
        readings = ConsultationReadings(events=events, clock=clock)
        consultation_photos = ConsultationPhotoService(
            readings=readings,
            photos=ConsultationPhotoStore(database),
            files=MaterialStore(database),
            cases=case_store,
            consultations=consultation_store,
            clock=clock,
        )
        presence = PresenceService(store=PresenceStore(database))
        consultations = ConsultationService(
            store=consultation_store,
            log=consultation_log,
            presence=presence,
            directory=DirectoryService(
                organisation=organisation_store, staff=staff_store, find_matter=matters.matter, calendars=calendar
            ),
            clock=clock,
            references=consultation_photos,
            readings=readings,
            epochs=epochs,
        )
        matter_edits, catalogue_import_store = MatterEditStore(database), CatalogueImportStore(database)
        yield Services(
            settings=settings,
            clock=clock,
            database=database,
            redis=redis,
            personal_data=personal_data,
            idempotency=IdempotencyStore(database, ttl=timedelta(seconds=settings.idempotency_ttl)),
            rate_limiter=RateLimiter(settings.redis_url),
            sessions=sessions,
            session_cache=session_cache,
            citizens=CitizenService(
                citizens=CitizenStore(database), sessions=sessions, wechat=WeChatLogin(wechat), clock=clock
            ),
            staff_login=StaffLoginService(
                audit=audit,
                staff=staff_store,
                attempts=LoginAttemptStore(database),
                sessions=sessions,
                passwords=passwords,
                personal_data=personal_data,
                clock=clock,
            ),
            staff=StaffService(
                audit=audit,
                staff=staff_store,
                organisation=organisation_store,
                sessions=sessions,
                passwords=passwords,
                clock=clock,
            ),
            organisation=organisation,
            announcements=AnnouncementService(
                audit=audit, announcements=AnnouncementStore(database), organisation=organisation_store, clock=clock
            ),
            quick_replies=QuickReplyService(
                database=database, audit=audit, replies=QuickReplyStore(database), organisation=organisation_store
            ),
            calendar=calendar,
            cases=case_service,
            case_desk=CaseDesk(steps=case_steps),
            case_overview=CaseOverview(
                steps=case_steps, posts=organisation_store, people=staff_store, consultations=consultation_store
            ),
            case_reckoning=CaseReckoning(steps=case_steps),
            materials=MaterialService(pages=MaterialStore(database), cases=case_service, clock=clock),
            notices=NoticeService(notices=notice_store, clock=clock),
            notice_store=notice_store,
            events=events,
            timers=timers,
            catalogue=catalogue,
            matters=matters,
            catalogue_editing=CatalogueEditing(
                matters=matter_store,
                edits=matter_edits,
                organisation=organisation_store,
                catalogue=catalogue,
                audit=audit,
                clock=clock,
            ),
            catalogue_reading=CatalogueReading(
                matters=matter_store,
                edits=matter_edits,
                organisation=organisation_store,
                staff=staff_store,
                events=events,
            ),
            catalogue_imports=CatalogueImports(
                imports=catalogue_import_store, audit=audit, clock=clock, mappings=MAPPINGS
            ),
            guide_files=GuideFiles(matters=matter_store, audit=audit),
            import_work=ImportWork(
                database=database,
                imports=catalogue_import_store,
                matters=matter_store,
                organisation=organisation_store,
                events=events,
                catalogue=catalogue,
                clock=clock,
            ),
            matter_importer=MatterImporter(matters=matters, organisation=organisation_store),
            consultation_store=consultation_store,
            consultation_log=consultation_log,
            consultation_epochs=epochs,
            consultations=consultations,
            consultation_photos=consultation_photos,
            consultation_context=ConsultationContext(
                store=consultation_store,
                citizens=CitizenStore(database),
                matters=matter_store,
                desk=CaseDesk(steps=case_steps),
                readings=readings,
            ),
            consultation_search=ConsultationSearch(
                search=ConsultationSearchStore(database), store=consultation_store, readings=readings
            ),
            transcripts=TranscriptService(
                reader=consultations,
                store=consultation_store,
                photos=ConsultationPhotoStore(database),
                printer=PdfPrinter(),
                clock=clock,
                district=shown_district(settings),
            ),
            presence=presence,
            socket_tickets=SocketTicketService(store=SocketTicketStore(database)),
            canaries=CanaryService(
                store=CanaryStore(database), log=consultation_log, epochs=epochs, sessions=sessions, clock=clock
            ),
        )


def shown_district(settings: Settings) -> str | None:
    """What people are told the district is called. Production has no sample district to be called by."""
    if settings.district_name is None and (settings.district is not None or settings.mode != "production"):
        return district_name(settings.district)
    return settings.district_name


def connect_redis(url: str) -> Redis:
    """A client that gives up quickly: Redis only makes things fast, so nobody waits for it."""
    return Redis.from_url(
        url,
        socket_timeout=1.0,
        socket_connect_timeout=0.5,
        retry=Retry(NoBackoff(), 1),
        max_connections=200,
        decode_responses=False,
    )


def _personal_data_key(settings: Settings) -> bytes:
    if settings.personal_data_key is not None:
        return settings.personal_data_key.get_secret_value().encode()
    return hashlib.sha256(b"banshi:development-only").digest()
