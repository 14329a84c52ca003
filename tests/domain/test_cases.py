"""The life of a case, step by step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain import case_decisions as office
from backend.domain import case_steps as steps
from backend.domain.access import SYSTEM, Actor, Role
from backend.domain.calendar import NATIONAL, SHANGHAI
from backend.domain.cases import (
    Case,
    IncompleteCase,
    Outcome,
    Party,
    PartyKind,
    TimerKind,
    apply,
    timers_of,
)
from backend.domain.errors import DomainError, InvalidInput, InvalidTransition
from backend.domain.events import Event
from backend.domain.matters import LimitUnit, Matter, MatterState, ProjectType, TaskType, TimeLimit
from backend.domain.procedure import (
    FINAL,
    TABLE,
    CaseState,
    NotFilable,
    RulePack,
    allowed,
    rule_pack_of,
)

MatterMaker = Callable[..., Matter]

CITIZEN = Actor("citizen", "c1", frozenset({Role.CITIZEN}))
CLERK = Actor("staff", "s1", frozenset({Role.CLERK}))
APPLICANT = Party(PartyKind.PERSON, "王小四", "11010519491231002x", "156 1234 5677")
NUMBER = "11450721MB155808114000104002000202603020001"


def local(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=SHANGHAI)  # type: ignore[misc, arg-type]


MONDAY = local(2026, 3, 2, 10)


def drafted(matter: Matter, now: datetime = MONDAY) -> Case:
    """A complete draft."""
    case, _ = steps.draft("k1", matter, by=CITIZEN, now=now)
    case, _ = steps.edit(case, steps.Edit(applicant=APPLICANT), by=CITIZEN, now=now)
    case, _ = steps.place_pages(case, "id-card", ["p1"], guide=matter.guide, by=CITIZEN, now=now)
    return case


def submitted(matter: Matter, now: datetime = MONDAY) -> Case:
    case, _ = steps.submit(
        drafted(matter, now),
        guide=matter.guide,
        by=CITIZEN,
        now=now,
        calendar=NATIONAL,
        number=NUMBER,
        post_id="po1",
    )
    return case


def accepted(matter: Matter, now: datetime = MONDAY) -> Case:
    case, _ = office.accept(submitted(matter, now), guide=matter.guide, by=CLERK, now=now, calendar=NATIONAL)
    return case


def test_a_whole_life(make_matter: MatterMaker) -> None:
    case = accepted(make_matter())
    assert case.state is CaseState.ACCEPTED
    assert case.deadlines.promised
    assert case.deadlines.promised.day.isoformat() == "2026-03-09"
    assert case.deadlines.statutory
    assert case.deadlines.statutory.day.isoformat() == "2026-03-30"
    case, event = office.approve(case, by=CLERK, now=MONDAY, calendar=NATIONAL, result="食品经营许可证")
    assert "食品经营许可证" in event.text
    case, _ = office.close(case, by=CLERK, now=MONDAY)
    assert (case.state, case.outcome, case.version) == (CaseState.CLOSED, Outcome.APPROVED, 7)


def test_a_draft_pins_the_version_it_began_on(make_matter: MatterMaker) -> None:
    case = drafted(make_matter())
    assert (case.matter_id, case.matter_version, case.rule_pack) == ("m1", 3, RulePack.LICENSING)


def test_all_that_is_missing_is_said_at_once(make_matter: MatterMaker) -> None:
    matter = make_matter()
    case, _ = steps.draft("k1", matter, by=CITIZEN, now=MONDAY)
    edit = steps.Edit(applicant=Party(id_number="123"), agent=Party(name="李"), situations=("租用场地",))
    case, _ = steps.edit(case, edit, by=CITIZEN, now=MONDAY)
    with pytest.raises(IncompleteCase) as caught:
        steps.submit(
            case,
            guide=matter.guide,
            by=CITIZEN,
            now=MONDAY,
            calendar=NATIONAL,
            number=NUMBER,
            post_id=None,
        )
    assert [(e["field"], e["code"]) for e in caught.value.extra["errors"]] == [  # type: ignore[attr-defined]
        ("applicant.name", "missing"),
        ("applicant.id_number", "invalid"),
        ("applicant.phone", "missing"),
        ("agent.id_number", "missing"),
        ("agent.phone", "missing"),
        ("materials.id-card", "missing"),
        ("materials.lease", "missing"),
    ]


def test_submitting_brings_the_parties_into_normal_form(make_matter: MatterMaker) -> None:
    case = submitted(make_matter())
    assert case.applicant == Party(PartyKind.PERSON, "王小四", "11010519491231002X", "15612345677")
    assert case.deadlines.acceptance
    assert case.deadlines.acceptance.day.isoformat() == "2026-03-09"
    assert case.number == NUMBER


def test_an_organisation_gives_its_credit_code(make_matter: MatterMaker) -> None:
    matter = make_matter()
    company = Party(PartyKind.ORGANISATION, "某某餐饮有限公司", "91440105DB0HHKRKA0", "020-34121084")
    case, _ = steps.edit(drafted(matter), steps.Edit(applicant=company), by=CITIZEN, now=MONDAY)
    case, _ = steps.submit(
        case,
        guide=matter.guide,
        by=CITIZEN,
        now=MONDAY,
        calendar=NATIONAL,
        number=NUMBER,
        post_id=None,
    )
    assert case.applicant == company


def test_no_personal_data_in_what_is_told(make_matter: MatterMaker) -> None:
    matter = make_matter()
    _, event = steps.submit(
        drafted(matter),
        guide=matter.guide,
        by=CITIZEN,
        now=MONDAY,
        calendar=NATIONAL,
        number=NUMBER,
        post_id=None,
    )
    told = f"{event.text} {event.data}"
    assert not any(secret in told for secret in ("王小四", "11010519491231002X", "15612345677"))


@pytest.mark.parametrize(
    "what",
    [
        {"project_type": ProjectType.INFORMATION},
        {"online": False},
        {"task_type": TaskType.PENALTY},
        {"state": MatterState.SUSPENDED},
    ],
)
def test_what_cannot_be_filed(make_matter: MatterMaker, what: dict[str, object]) -> None:
    with pytest.raises(NotFilable):
        steps.draft("k1", make_matter(**what), by=CITIZEN, now=MONDAY)


def test_correction_stops_one_clock_and_starts_another(make_matter: MatterMaker) -> None:
    matter = make_matter()
    case, event = office.request_correction(
        submitted(matter),
        {"id-card": "照片模糊，请重拍"},
        guide=matter.guide,
        by=CLERK,
        now=MONDAY,
        calendar=NATIONAL,
    )
    assert case.deadlines.acceptance is None
    assert case.deadlines.correction
    assert case.deadlines.correction.day.isoformat() == "2026-03-23"
    assert "身份证：照片模糊" in event.text
    later = MONDAY + timedelta(days=3)
    with pytest.raises(IncompleteCase):
        steps.resubmit(case, guide=matter.guide, by=CITIZEN, now=later, calendar=NATIONAL)
    case, _ = steps.place_pages(case, "id-card", ["p2"], guide=matter.guide, by=CITIZEN, now=later)
    case, _ = steps.resubmit(case, guide=matter.guide, by=CITIZEN, now=later, calendar=NATIONAL)
    assert case.deadlines.correction is None
    assert case.deadlines.acceptance
    assert case.deadlines.acceptance.day.isoformat() == "2026-03-12"
    with pytest.raises(InvalidTransition, match="一次性告知"):
        office.request_correction(case, {"id-card": "再来"}, guide=matter.guide, by=CLERK, now=later, calendar=NATIONAL)


@pytest.mark.parametrize("items", [{}, {"id-card": "  "}, {"unknown": "什么"}])
def test_a_correction_says_what(make_matter: MatterMaker, items: dict[str, str]) -> None:
    matter = make_matter()
    with pytest.raises(InvalidInput):
        office.request_correction(submitted(matter), items, guide=matter.guide, by=CLERK, now=MONDAY, calendar=NATIONAL)


def test_correction_that_never_comes_closes_the_case(make_matter: MatterMaker) -> None:
    matter = make_matter()
    case, _ = office.request_correction(
        submitted(matter),
        {"applicant": "姓名与证件不符"},
        guide=matter.guide,
        by=CLERK,
        now=MONDAY,
        calendar=NATIONAL,
    )
    with pytest.raises(InvalidTransition):
        office.expire_correction(case, by=SYSTEM, now=local(2026, 3, 23, 23, 59, 59))
    case, _ = office.expire_correction(case, by=SYSTEM, now=local(2026, 3, 24))
    assert (case.state, case.outcome) == (CaseState.CLOSED, Outcome.CORRECTION_EXPIRED)


def test_silence_accepts_from_the_day_of_receipt(make_matter: MatterMaker) -> None:
    matter, over = make_matter(), local(2026, 3, 10)
    case = submitted(matter)
    with pytest.raises(InvalidTransition):
        office.deem_accepted(case, guide=matter.guide, by=SYSTEM, now=local(2026, 3, 9, 23, 59, 59), calendar=NATIONAL)
    deemed, event = office.deem_accepted(case, guide=matter.guide, by=SYSTEM, now=over, calendar=NATIONAL)
    assert (deemed.deemed_accepted, deemed.accepted_at) == (True, MONDAY)
    assert deemed.deadlines.promised
    assert deemed.deadlines.promised.day.isoformat() == "2026-03-09"
    assert "视为" in event.text
    late, _ = office.accept(case, guide=matter.guide, by=CLERK, now=over, calendar=NATIONAL)
    assert late.accepted_at == MONDAY
    with pytest.raises(InvalidTransition):
        office.not_accept(case, by=CLERK, now=over, reason="晚了")


def test_silence_accepts_licences_only(make_matter: MatterMaker) -> None:
    matter = make_matter(task_type=TaskType.PUBLIC_SERVICE)
    case = submitted(matter)
    with pytest.raises(InvalidTransition):
        office.deem_accepted(case, guide=matter.guide, by=SYSTEM, now=local(2026, 4, 1), calendar=NATIONAL)
    late, _ = office.accept(case, guide=matter.guide, by=CLERK, now=local(2026, 4, 1), calendar=NATIONAL)
    assert late.accepted_at == local(2026, 4, 1)


def test_an_instant_matter_is_decided_in_one_step(make_matter: MatterMaker) -> None:
    matter = make_matter(
        task_type=TaskType.PUBLIC_SERVICE,
        project_type=ProjectType.INSTANT,
        promised_limit=TimeLimit(0, LimitUnit.INSTANT),
    )
    case, _ = office.approve(submitted(matter), by=CLERK, now=MONDAY, calendar=NATIONAL)
    assert (case.state, case.accepted_at) == (CaseState.APPROVED, MONDAY)
    assert accepted(matter).due.day == MONDAY.date()  # type: ignore[union-attr]
    with pytest.raises(InvalidTransition):
        office.approve(submitted(make_matter()), by=CLERK, now=MONDAY, calendar=NATIONAL)


def test_what_goes_against_the_applicant_has_a_reason_and_an_appeal(make_matter: MatterMaker) -> None:
    matter = make_matter()
    acts: tuple[Callable[[str], tuple[Case, Event]], ...] = (
        lambda reason: office.not_accept(submitted(matter), by=CLERK, now=MONDAY, reason=reason),
        lambda reason: office.refuse(accepted(matter), by=CLERK, now=MONDAY, reason=reason),
    )
    for act in acts:
        with pytest.raises(InvalidInput):
            act("  ")
        case, event = act("场地不符合要求")
        assert case.reason == "场地不符合要求"
        assert case.appeal
        assert case.appeal in event.text


def test_a_date_in_an_unpublished_year_is_called_provisional(make_matter: MatterMaker) -> None:
    case = submitted(make_matter(), local(2026, 12, 30, 9))
    assert case.deadlines.acceptance
    assert case.deadlines.acceptance.provisional


def test_pages(make_matter: MatterMaker) -> None:
    matter = make_matter()
    case = drafted(matter)
    case, _ = steps.place_pages(case, "floor-plan", ["p3", "p2"], guide=matter.guide, by=CITIZEN, now=MONDAY)
    assert case.pages("floor-plan") == ("p3", "p2")
    for key, pages in (("unknown", ["p9"]), ("id-card", ["p1", "p1"]), ("id-card", ["p2"])):
        with pytest.raises(InvalidInput):
            steps.place_pages(case, key, pages, guide=matter.guide, by=CITIZEN, now=MONDAY)
    case, _ = steps.place_pages(case, "floor-plan", [], guide=matter.guide, by=CITIZEN, now=MONDAY)
    assert [slot.key for slot in case.materials] == ["id-card"]
    with pytest.raises(InvalidTransition):
        steps.place_pages(submitted(matter), "id-card", ["p7"], guide=matter.guide, by=CITIZEN, now=MONDAY)


def test_timers_follow_the_state(make_matter: MatterMaker) -> None:
    case = submitted(make_matter())
    soon, over = timers_of(case, NATIONAL)
    assert (soon.kind, soon.due_at) == (TimerKind.ACCEPTANCE_SOON, local(2026, 3, 6, 9))
    assert (over.kind, over.due_at) == (TimerKind.ACCEPTANCE_OVER, local(2026, 3, 9, 23, 59, 59))
    step = office.warn(case, soon, by=SYSTEM, now=soon.due_at)
    assert timers_of(step[0], NATIONAL) == (over,)
    assert timers_of(drafted(make_matter()), NATIONAL) == ()


def test_every_row_is_sound() -> None:
    assert {
        CaseState.NOT_ACCEPTED,
        CaseState.WITHDRAWN,
        CaseState.CLOSED,
        CaseState.VOID,
    } == FINAL
    assert all(row.source is source and row.action is action for (source, action), row in TABLE.items())
    reached = {row.target for row in TABLE.values() if row.target}
    assert {row.source for row in TABLE.values()} <= reached | {CaseState.DRAFT}


def test_every_kind_of_matter_has_rules_or_cannot_be_filed(make_matter: MatterMaker) -> None:
    filable = {TaskType.LICENSING, TaskType.BENEFIT, TaskType.CONFIRMATION, TaskType.REWARD}
    filable |= {TaskType.ADJUDICATION, TaskType.LEVY, TaskType.OTHER, TaskType.PUBLIC_SERVICE}
    for kind in filable:
        assert rule_pack_of(make_matter(task_type=kind).guide)
    for kind in set(TaskType) - filable:
        with pytest.raises(NotFilable):
            rule_pack_of(make_matter(task_type=kind).guide)


def actions_on(case: Case, matter: Matter, now: datetime, page: str) -> list[Callable[[], tuple[Case, Event] | None]]:
    """Everything that anybody could try with a case now."""
    return [
        lambda: steps.edit(case, steps.Edit(applicant=APPLICANT), by=CITIZEN, now=now),
        lambda: steps.place_pages(case, "id-card", [page], guide=matter.guide, by=CITIZEN, now=now),
        lambda: steps.submit(
            case, guide=matter.guide, by=CITIZEN, now=now, calendar=NATIONAL, number=NUMBER, post_id="po1"
        ),
        lambda: steps.resubmit(case, guide=matter.guide, by=CITIZEN, now=now, calendar=NATIONAL),
        lambda: steps.withdraw(case, by=CITIZEN, now=now),
        lambda: office.accept(case, guide=matter.guide, by=CLERK, now=now, calendar=NATIONAL),
        lambda: office.request_correction(
            case, {"id-card": "模糊"}, guide=matter.guide, by=CLERK, now=now, calendar=NATIONAL
        ),
        lambda: office.approve(case, by=CLERK, now=now, calendar=NATIONAL),
        lambda: office.close(case, by=CLERK, now=now),
        lambda: next((office.warn(case, timer, by=SYSTEM, now=now) for timer in timers_of(case, NATIONAL)), None),
    ]


@given(
    st.sampled_from(sorted(TaskType)),
    st.booleans(),
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 400)), max_size=25),
)
def test_random_walks(make_matter: MatterMaker, kind: TaskType, instant: bool, walk: list[tuple[int, int]]) -> None:
    """Whatever is tried in whatever order: a step is taken by the table or refused, versions count the
    events, final states stay, and the events alone give the same case again."""
    kind = TaskType.OTHER if kind in (TaskType.PENALTY, TaskType.COERCION, TaskType.INSPECTION) else kind
    matter = make_matter(task_type=kind, project_type=ProjectType.INSTANT if instant else ProjectType.PROMISED)
    now = MONDAY
    case, event = steps.draft("k1", matter, by=CITIZEN, now=now)
    events = [event]
    for number, (choice, hours) in enumerate(walk):
        now += timedelta(hours=hours)
        actions = actions_on(case, matter, now, f"p{number}")
        before = case
        try:
            step = actions[choice]()
        except DomainError:
            continue
        if step is None:
            continue
        case, event = step
        events.append(event)
        assert before.state not in FINAL
        assert case.state in {row.target or row.source for row in TABLE.values() if row.source is before.state}
    assert case.version == len(events) == events[-1].sequence
    replayed: Case | None = None
    for event in events:
        replayed = apply(replayed, event)
    assert replayed == case
    rows = allowed(case.rule_pack, case.state, instant=case.instant, corrections=len(case.corrections))
    assert bool(rows) == (case.state not in FINAL)
    assert replace(case) == case
