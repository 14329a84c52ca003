"""Consultations (咨询): asking and talking; handling and reading stand beside and are part of the service.

Who may do what is decided in these modules, for sockets and HTTP alike. Every change is an operation in
the log; what is returned has been committed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from backend.domain.access import Actor, Permission, require
from backend.domain.consultation_content import (
    MAX_SUBJECT,
    Attachment,
    Content,
    check_attachments,
    checked_content,
    checked_text,
)
from backend.domain.consultation_content import fingerprint as fingerprint_of
from backend.domain.consultation_operations import (
    AssignmentCause,
    Edit,
    MatterRef,
    Message,
    Note,
    Opened,
    Recall,
    Visibility,
)
from backend.domain.consultations import (
    Consultation,
    State,
    check_edit,
    check_edited_content,
    check_open,
    check_recall,
)
from backend.domain.errors import InvalidInput
from backend.domain.ids import derived_id, new_id
from backend.services.consultation_base import (
    AnsweredByOther,
    check_cid,
    content_fingerprint,
    party_of,
    taken,
    target_of,
)
from backend.services.consultation_handling import ConsultationHandling
from backend.services.consultation_log import Committed, Draft, Request, same_or_conflict
from backend.services.consultation_reading import ConsultationReading
from backend.services.consultation_turns import Awaited, Outcome, Rule, Talked
from backend.storage.consultations import ClientIdTaken


class ConsultationService(ConsultationHandling, ConsultationReading):
    """All use cases of consultations."""

    # --- asking ----------------------------------------------------------------------------------

    async def open(
        self,
        actor: Actor,
        *,
        cid: str,
        subject: str,
        matter_id: str | None = None,
        case_id: str | None = None,
        area_code: str | None = None,
        content: Content | None = None,
    ) -> Committed:
        """Open a consultation on a matter (or none), with its first message if there is one, and route it.

        The first message's own client id is derived: `derived_id("first-message", cid)`.
        """
        require(actor, Permission.ASK)
        check_cid(cid)
        checked_text(subject, field="subject", limit=MAX_SUBJECT)
        if content is not None:
            checked_content(content)
        request = Request(
            party_of(actor),
            cid,
            content_fingerprint(
                "open",
                content,
                subject=subject,
                matter_id=matter_id,
                case_id=case_id,
                area_code=area_code,
            ),
        )
        if before := await self._opened_before(actor, request):
            return before
        matter = await self._directory.matter(matter_id) if matter_id else None
        if case_id is not None:
            await self._references.check_case(actor, case_id)
        area = area_code or (matter.area_code if matter else None)
        pinned = MatterRef(matter.id, matter.version, matter.guide.name) if matter else None
        first: list[Draft] = [Draft(Opened(request.sender, subject, pinned, case_id, area))]
        consultation_id = new_id()
        operations, state = self._log.number(None, first, request, consultation_id, await self._epochs.current())
        if content is not None:
            said = replace(
                request, cid=derived_id("first-message", cid), fingerprint=content_fingerprint("message", content)
            )
            content = await self._resolved(actor, content)
            more, state = self._log.number(state, [Draft(Message(content))], said)
            operations += more
        situation = await self._directory.responsible(matter, area)
        where = await self._routed(situation, AssignmentCause.ROUTED)
        last, state = self._log.number(state, [Draft(where, own=False)], request)
        operations += last
        try:
            await self._store.open(state, operations, cid)
        except ClientIdTaken:
            if before := await self._opened_before(actor, request):
                return before
            raise
        after = Talked(state)
        self._log.announce(after, operations)
        return Committed(after, operations[0], operations)

    async def _opened_before(self, actor: Actor, request: Request) -> Committed | None:
        known = await self._store.opened_with(actor.id, request.cid)
        if known is None:
            return None
        state, first = await self._store.state(known), await self._store.operation(known, 1)
        if state is None or first is None:
            return None
        same_or_conflict(first, request)
        return Committed(Talked(state), first, (first,), dup=True)

    # --- talking ---------------------------------------------------------------------------------

    async def send(self, actor: Actor, consultation_id: str, *, cid: str, content: Content) -> Committed:
        """Say something. A clerk who speaks into a waiting consultation takes it by that.

        Messages have their places in the order of the calls: nothing is awaited before.
        """
        if not content.attachments:
            outcome = Awaited()
            self.say(actor, consultation_id, cid=cid, content=content, outcome=outcome)
            return await outcome.future
        request, rule = self._to_be_said(actor, cid, content)

        async def resolving(state: Consultation) -> list[Draft]:
            before = rule(state, state.last_seq)  # who may not speak here learns nothing of photographs
            return [*before, Draft(Message(await self._resolved(actor, content)))]

        return await self._log.commit(consultation_id, request, resolving)

    def say(
        self, actor: Actor, consultation_id: str, *, cid: str, content: Content, outcome: Outcome[Committed]
    ) -> None:
        """As `send`, of what carries no photographs: it has its place when this returns, and `outcome` hears what
        became of it. Raises at once what needs no state to be seen."""
        request, rule = self._to_be_said(actor, cid, content)
        self._log.say(consultation_id, request, Message(content), rule, outcome)

    def _to_be_said(self, actor: Actor, cid: str, content: Content) -> tuple[Request, Rule]:
        check_cid(cid)
        checked_content(content)
        reply_to = content.reply_to

        def rule(state: Consultation, last_seq: int) -> Sequence[Draft]:
            require(actor, Permission.SPEAK, target_of(state))
            check_open(state)
            if reply_to is not None and reply_to > last_seq:
                raise InvalidInput("引用的消息不存在。", field="body.reply_to")
            return self._taken_by(actor, state) if actor.kind == "staff" else ()

        return Request(party_of(actor), cid, content_fingerprint("message", content)), rule

    def _taken_by(self, actor: Actor, state: Consultation) -> list[Draft]:
        if state.state is State.ACTIVE:
            if state.staff is not None and state.staff.id != actor.id:
                raise AnsweredByOther(f"这次咨询正由{state.staff.name or '同事'}答复，接手后才能发言。")
            return []
        return [Draft(taken(actor, state), own=False)]

    async def edit(self, actor: Actor, consultation_id: str, *, cid: str, target_seq: int, text: str) -> Committed:
        """Change the text of one's own message, shown as edited."""
        check_cid(cid)
        checked_text(text, field="text")
        request = Request(party_of(actor), cid, fingerprint_of("edit", target_seq=target_seq, text=text))

        async def rule(state: Consultation) -> list[Draft]:
            require(actor, Permission.SPEAK, target_of(state))
            check_open(state)
            target = await self._store.operation(consultation_id, target_seq)
            check_edited_content(check_edit(target, request.sender, self._clock.now()), text)
            return [Draft(Edit(target_seq, text))]

        return await self._log.commit(consultation_id, request, rule)

    async def recall(self, actor: Actor, consultation_id: str, *, cid: str, target_seq: int) -> Committed:
        """Take back one's own message: empty for every reader from then on."""
        check_cid(cid)
        request = Request(party_of(actor), cid, fingerprint_of("recall", target_seq=target_seq))

        async def rule(state: Consultation) -> list[Draft]:
            require(actor, Permission.SPEAK, target_of(state))
            check_open(state)
            target = await self._store.operation(consultation_id, target_seq)
            check_recall(target, request.sender, self._clock.now())
            return [Draft(Recall(target_seq))]

        return await self._log.commit(consultation_id, request, rule)

    async def note(
        self,
        actor: Actor,
        consultation_id: str,
        *,
        cid: str,
        text: str,
        attachments: tuple[Attachment, ...] = (),
    ) -> Committed:
        """Write what only staff see: a text, photographs, or both."""
        check_cid(cid)
        checked_text(text, field="text", required=not attachments)
        check_attachments(attachments, field="attachments")
        shown = {"attachments": [a.upload_id for a in attachments]} if attachments else {}
        request = Request(party_of(actor), cid, fingerprint_of("note", text=text, **shown))

        async def rule(state: Consultation) -> list[Draft]:
            require(actor, Permission.NOTE, target_of(state))
            known = await self._references.attachments(actor, attachments) if attachments else ()
            return [Draft(Note(text, known), visibility=Visibility.STAFF)]

        return await self._log.commit(consultation_id, request, rule)
