"""What the use cases of consultations share: rights, names, and the way to the one who answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Literal, Protocol

from backend.domain.access import Actor, Permission, Role, Target, allows
from backend.domain.accounts import shown_name
from backend.domain.consultation_content import Attachment, Content, text_fingerprint
from backend.domain.consultation_content import fingerprint as fingerprint_of
from backend.domain.consultation_operations import Assigned, AssignmentCause, Audience, Party, Waiting
from backend.domain.consultations import Consultation
from backend.domain.errors import Conflict, InvalidInput
from backend.domain.ids import is_uuid
from backend.domain.matters import Matter
from backend.domain.organisation import DutyTier, candidates
from backend.domain.routing import Assign, Decision, Situation, decide
from backend.ports import Clock
from backend.services.consultation_log import ConsultationLog
from backend.services.presence import PresenceService
from backend.storage.consultation_epochs import ConsultationEpochs
from backend.storage.consultations import ConsultationStore
from backend.storage.documents import to_value


class AnsweredByOther(Conflict):
    """A colleague has this consultation: take it over first."""

    code = "answered-by-other"
    title = "正由同事答复"


class Directory(Protocol):
    """Where responsibility is looked up."""

    async def matter(self, matter_id: str) -> Matter:
        """The matter as it is in force. Raises `NotFound`."""
        ...

    async def responsible(self, matter: Matter | None, area_code: str | None) -> Situation:
        """The post and department that answer for a matter (None: a general question), and triage."""
        ...

    async def situation(self, post_id: str | None, department_id: str | None) -> Situation:
        """The same for a post or department that is known. Raises `NotFound`."""
        ...


class References(Protocol):
    """What a consultation may refer to; raises `NotFound` for what the actor may not see."""

    async def check_case(self, actor: Actor, case_id: str) -> None: ...

    async def attachments(self, actor: Actor, wanted: Sequence[Attachment]) -> tuple[Attachment, ...]: ...


def party_of(actor: Actor) -> Party:
    """The actor as staff and citizens see it. A citizen who gave no name has one of ours."""
    return _party("citizen" if actor.kind == "citizen" else "staff", actor.id, actor.name)


@lru_cache(maxsize=4096)  # who talks now is asked for with every message
def _party(kind: Literal["citizen", "staff"], id_: str, name: str) -> Party:
    return Party(kind, id_, shown_name(id_, name) if kind == "citizen" else name)


def audience_of(actor: Actor) -> Audience:
    return Audience.CITIZEN if actor.kind == "citizen" else Audience.STAFF


def target_of(state: Consultation) -> Target:
    staff = frozenset({state.staff.id}) if state.staff else frozenset()
    return Target(
        citizen_id=state.citizen.id,
        staff_ids=staff,
        post_id=state.post_id,
        department_id=state.department_id,
    )


def may_read(actor: Actor, state: Consultation) -> bool:
    """Whether an actor sees a consultation; who once answered in it still does."""
    seen = Target(
        citizen_id=state.citizen.id,
        staff_ids=state.past_staff_ids | {state.staff.id} if state.staff else state.past_staff_ids,
        post_id=state.post_id,
        department_id=state.department_id,
    )
    return allows(actor, Permission.READ_CONSULTATION, seen)


class Readings(Protocol):
    """Where readings by those who have no part in a consultation are recorded."""

    async def note(self, actor: Actor, state: Consultation, what: str) -> None: ...


class ConsultationBase:
    """What every use case works with."""

    def __init__(
        self,
        *,
        store: ConsultationStore,
        log: ConsultationLog,
        presence: PresenceService,
        directory: Directory,
        clock: Clock,
        references: References,
        readings: Readings,
        epochs: ConsultationEpochs,
    ) -> None:
        self._store = store
        self._log = log
        self._presence = presence
        self._directory = directory
        self._clock = clock
        self._references = references
        self._readings = readings
        self._epochs = epochs

    async def _routed(
        self, situation: Situation, cause: AssignmentCause, excluded: frozenset[str] = frozenset()
    ) -> Assigned | Waiting:
        """Where a question goes now, as an operation."""
        asked = [c.staff_id for c in candidates(situation.post, situation.department, situation.triage)]
        known = replace(
            situation,
            online=await self._presence.available(asked),
            loads=await self._store.loads(asked),
            excluded=excluded,
        )
        return routed(decide(known, self._clock.now()), cause, known.names)

    async def _resolved(self, actor: Actor, content: Content) -> Content:
        if not content.attachments:
            return content
        return replace(content, attachments=await self._references.attachments(actor, content.attachments))


def check_cid(cid: str) -> None:
    """Raises `InvalidInput` for a client id that is not a UUID in lower case."""
    if not is_uuid(cid):
        raise InvalidInput("消息编号应当是 UUID。", field="cid")


def content_fingerprint(kind: str, content: Content | None, **inputs: object) -> str:
    """The fingerprint of what a client asked for. Of attachments only their ids count: the rest is ours."""
    bare = content is not None and not (content.attachments or content.location or content.card or inputs)
    if content is not None and bare:
        return text_fingerprint(kind, content.text, content.reply_to)
    body: dict[str, object] = {}
    if content is not None:
        body = dict(to_value(content))
        body["attachments"] = [a.upload_id for a in content.attachments]
    return fingerprint_of(kind, body=body, **inputs)


def routed(decision: Decision, cause: AssignmentCause, names: Mapping[str, str]) -> Assigned | Waiting:
    """A decision of the router as an operation."""
    if isinstance(decision, Assign):
        return Assigned(
            staff=Party("staff", decision.staff_id, names.get(decision.staff_id, "")),
            post_id=decision.post_id,
            department_id=decision.department_id,
            tier=decision.tier,
            cause=cause,
            explanation=decision.explanation,
        )
    return Waiting(
        post_id=decision.post_id,
        department_id=decision.department_id,
        promised_at=decision.promised_at,
        explanation=decision.explanation,
    )


def taken(actor: Actor, state: Consultation) -> Assigned:
    """The operation by which a clerk takes a consultation."""
    if state.post_id in actor.post_ids:
        tier = DutyTier.HOLDER
    elif Role.LEAD in actor.roles and state.department_id == actor.department_id:
        tier = DutyTier.DEPARTMENT_LEAD
    else:
        tier = DutyTier.TRIAGE
    return Assigned(
        staff=party_of(actor),
        post_id=state.post_id,
        department_id=state.department_id,
        tier=tier,
        cause=AssignmentCause.TAKEN,
        explanation=f"{actor.name or '工作人员'}已接手您的咨询。",
    )
