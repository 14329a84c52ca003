"""Who answers a consultation, and how it ends."""

from __future__ import annotations

from backend.domain.access import Actor, Permission, require
from backend.domain.consultation_content import MAX_REASON, checked_text
from backend.domain.consultation_content import fingerprint as fingerprint_of
from backend.domain.consultation_operations import (
    AssignmentCause,
    Closed,
    CloseReason,
    Note,
    Rated,
    Reopened,
    Transferred,
    Visibility,
)
from backend.domain.consultations import Consultation, check_open, check_rate, check_reopen, check_version
from backend.domain.errors import InvalidInput
from backend.services.consultation_base import (
    AnsweredByOther,
    ConsultationBase,
    check_cid,
    party_of,
    taken,
    target_of,
)
from backend.services.consultation_log import Committed, Draft, Request


class ConsultationHandling(ConsultationBase):
    # --- who answers -----------------------------------------------------------------------------

    async def accept(self, actor: Actor, consultation_id: str, *, cid: str, version: int) -> Committed:
        """Take a consultation that waits, or take it over from a colleague."""
        check_cid(cid)
        request = Request(party_of(actor), cid, fingerprint_of("accept", version=version))

        async def rule(state: Consultation) -> list[Draft]:
            require(actor, Permission.ANSWER, target_of(state))
            check_open(state)
            check_version(state, version)
            return [Draft(taken(actor, state))]

        return await self._log.commit(consultation_id, request, rule)

    async def decline(self, actor: Actor, consultation_id: str, *, cid: str, version: int, reason: str) -> Committed:
        """Give an assigned consultation back: to the next who is there, else it waits for an answer."""
        check_cid(cid)
        checked_text(reason, field="reason", limit=MAX_REASON)
        request = Request(party_of(actor), cid, fingerprint_of("decline", version=version, reason=reason))

        async def rule(state: Consultation) -> list[Draft]:
            require(actor, Permission.ANSWER, target_of(state))
            check_open(state)
            check_version(state, version)
            if state.staff is None or state.staff.id != actor.id:
                raise AnsweredByOther("这次咨询没有分配给您，不需要退回。")
            situation = await self._directory.situation(state.post_id, state.department_id)
            where = await self._routed(situation, AssignmentCause.DECLINED, frozenset({actor.id}))
            return [
                Draft(where),
                Draft(Note(f"退回原因：{reason}"), own=False, visibility=Visibility.STAFF),
            ]

        return await self._log.commit(consultation_id, request, rule)

    async def transfer(
        self, actor: Actor, consultation_id: str, *, cid: str, version: int, post_id: str, reason: str
    ) -> Committed:
        """Hand over to another post, with a reason; the citizen does not start anew."""
        check_cid(cid)
        checked_text(reason, field="reason", limit=MAX_REASON)
        request = Request(
            party_of(actor), cid, fingerprint_of("transfer", version=version, post_id=post_id, reason=reason)
        )

        async def rule(state: Consultation) -> list[Draft]:
            require(actor, Permission.ANSWER, target_of(state))
            check_open(state)
            check_version(state, version)
            if post_id == state.post_id:
                raise InvalidInput("已经在这个岗位，不需要转办。", field="post_id")
            situation = await self._directory.situation(post_id, None)
            where = await self._routed(situation, AssignmentCause.TRANSFERRED, frozenset({actor.id}))
            return [
                Draft(Transferred(where.post_id, where.department_id, reason)),
                Draft(where, own=False),
            ]

        return await self._log.commit(consultation_id, request, rule)

    # --- the end ---------------------------------------------------------------------------------

    async def close(
        self,
        actor: Actor,
        consultation_id: str,
        *,
        cid: str,
        reason: CloseReason = CloseReason.ANSWERED,
        remark: str = "",
        version: int | None = None,
    ) -> Committed:
        """End it. A citizen may always leave; staff close what is theirs to answer."""
        check_cid(cid)
        checked_text(remark, field="remark", limit=MAX_REASON, required=reason is CloseReason.MISPLACED)
        if actor.kind == "citizen":
            reason = CloseReason.CITIZEN_LEFT
        request = Request(party_of(actor), cid, fingerprint_of("close", reason=reason.value, remark=remark))

        async def rule(state: Consultation) -> list[Draft]:
            require(actor, Permission.ASK if actor.kind == "citizen" else Permission.ANSWER, target_of(state))
            check_open(state)
            check_version(state, version)
            return [Draft(Closed(reason, remark))]

        return await self._log.commit(consultation_id, request, rule)

    async def reopen(self, actor: Actor, consultation_id: str, *, cid: str) -> Committed:
        """Open it again and route it again."""
        check_cid(cid)
        request = Request(party_of(actor), cid, fingerprint_of("reopen"))

        async def rule(state: Consultation) -> list[Draft]:
            require(actor, Permission.ASK, target_of(state))
            check_reopen(state, self._clock.now())
            situation = await self._directory.situation(state.post_id, state.department_id)
            where = await self._routed(situation, AssignmentCause.ROUTED)
            return [Draft(Reopened()), Draft(where, own=False)]

        return await self._log.commit(consultation_id, request, rule)

    async def rate(self, actor: Actor, consultation_id: str, *, cid: str, score: int, comment: str = "") -> Committed:
        """Rate a closed consultation once, 1 to 5."""
        check_cid(cid)
        checked_text(comment, field="comment", limit=MAX_REASON, required=False)
        request = Request(party_of(actor), cid, fingerprint_of("rate", score=score, comment=comment))

        async def rule(state: Consultation) -> list[Draft]:
            require(actor, Permission.ASK, target_of(state))
            check_rate(state, score)
            return [Draft(Rated(score, comment))]

        return await self._log.commit(consultation_id, request, rule)
