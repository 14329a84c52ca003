from datetime import UTC, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.calendar import SHANGHAI, Calendar
from backend.domain.organisation import Department, DepartmentKind, DutySpan, DutyTier, Holder, Post
from backend.domain.routing import (
    CAPACITY,
    DEFAULT_DUTY_SPANS,
    Assign,
    LeaveMessage,
    Situation,
    decide,
    on_duty,
    promised_time,
)

BUREAU = Department("d1", "001", "民政局", DepartmentKind.BUREAU, "440100", duty_lead_ids=("lead1", "lead2"))
HALL = Department("hall", "000", "政务服务中心", DepartmentKind.HALL, "440100")
POST = Post("p1", "d1", "婚姻登记岗", (Holder("b", 2), Holder("a", 1)))
UNSTAFFED = Post("p2", "d1", "收养登记岗")

MONDAY_10 = datetime(2026, 3, 16, 10, tzinfo=SHANGHAI)
SATURDAY = datetime(2026, 3, 14, 10, tzinfo=SHANGHAI)


def situation(post: Post | None = POST, *online: str, **loads: int) -> Situation:
    return Situation(
        post=post,
        department=BUREAU,
        triage=("t1",),
        triage_department=HALL,
        online=frozenset(online),
        loads=loads,
        names={"a": "王敏"},
    )


def chosen(decision: object) -> tuple[str, DutyTier]:
    assert isinstance(decision, Assign)
    return decision.staff_id, decision.tier


def test_the_a_holder_answers_before_the_b_holder() -> None:
    decision = decide(situation(POST, "a", "b"), MONDAY_10)
    assert chosen(decision) == ("a", DutyTier.HOLDER)
    assert decision.explanation == "已为您接通民政局婚姻登记岗的王敏。"


@pytest.mark.parametrize(
    ("online", "expected"),
    [
        (("b", "lead1", "t1"), ("b", DutyTier.HOLDER)),
        (("lead2", "t1"), ("lead2", DutyTier.DEPARTMENT_LEAD)),
        (("t1",), ("t1", DutyTier.TRIAGE)),
    ],
)
def test_a_question_travels_to_the_first_who_is_there(online: tuple[str, ...], expected: tuple[str, DutyTier]) -> None:
    assert chosen(decide(situation(POST, *online), MONDAY_10)) == expected


def test_a_full_holder_is_passed_over() -> None:
    assert chosen(decide(situation(POST, "a", "b", a=CAPACITY), MONDAY_10)) == ("b", DutyTier.HOLDER)


def test_among_leads_the_least_loaded_is_asked() -> None:
    assert chosen(decide(situation(UNSTAFFED, "lead1", "lead2", lead1=3, lead2=1), MONDAY_10))[0] == "lead2"


def test_nobody_online_on_duty_leaves_a_message_for_the_post() -> None:
    decision = decide(situation(), MONDAY_10)
    assert isinstance(decision, LeaveMessage)
    assert (decision.post_id, decision.department_id) == ("p1", "d1")
    assert decision.promised_at == datetime(2026, 3, 16, 16, tzinfo=SHANGHAI)  # 2 h to noon, 2 h from 14:00
    assert decision.explanation == (
        "负责您问题的工作人员暂时不在线，您的问题已作为留言转给民政局婚姻登记岗，"
        "将在3月16日（星期一）下午4:00前答复您，答复后会通知您。"
    )


def test_online_on_a_saturday_is_not_on_duty() -> None:
    decision = decide(situation(POST, "a"), SATURDAY)
    assert isinstance(decision, LeaveMessage)
    assert decision.promised_at == datetime(2026, 3, 16, 15, tzinfo=SHANGHAI)
    assert decision.explanation.startswith("现在不是工作时间")


def test_a_make_up_sunday_is_a_working_day() -> None:
    # 2026-02-14 (Saturday) is worked for the Spring Festival
    assert chosen(decide(situation(POST, "a"), datetime(2026, 2, 14, 10, tzinfo=SHANGHAI)))[0] == "a"


def test_the_promise_leaps_over_the_national_day_holiday() -> None:
    promised, provisional = promised_time(
        DEFAULT_DUTY_SPANS, datetime(2026, 9, 30, 16, tzinfo=SHANGHAI), timedelta(hours=4)
    )
    assert promised == datetime(2026, 10, 8, 12, tzinfo=SHANGHAI)
    assert not provisional


def test_an_unpublished_year_is_said_to_be_provisional() -> None:
    *_, provisional = promised_time(DEFAULT_DUTY_SPANS, datetime(2027, 3, 1, 8, tzinfo=SHANGHAI), timedelta(hours=1))
    assert provisional


def test_a_question_without_matter_goes_to_triage() -> None:
    decision = decide(
        Situation(None, None, triage=("t1",), triage_department=HALL, online=frozenset({"t1"})), MONDAY_10
    )
    assert chosen(decision) == ("t1", DutyTier.TRIAGE)
    assert decision.department_id == "hall"


def test_who_declined_is_not_asked_again() -> None:
    again = Situation(POST, BUREAU, online=frozenset({"a", "b"}), excluded=frozenset({"a"}))
    assert chosen(decide(again, MONDAY_10))[0] == "b"


def test_an_empty_organisation_still_promises() -> None:
    decision = decide(Situation(None, None), MONDAY_10)
    assert isinstance(decision, LeaveMessage)
    assert "政务服务总台" in decision.explanation


spans = st.lists(
    st.tuples(st.integers(0, 22), st.integers(1, 23)).filter(lambda p: p[0] < p[1]), min_size=1, max_size=4
).map(lambda ps: tuple(DutySpan(time(a), time(b)) for a, b in ps))
moments = st.datetimes(datetime(2026, 1, 1), datetime(2026, 11, 1)).map(lambda d: d.replace(tzinfo=UTC))


@given(spans, moments, st.integers(1, 40))
def test_a_promise_falls_into_duty_time_and_never_before_the_promised_hours(
    duty: tuple[DutySpan, ...], now: datetime, hours: int
) -> None:
    promised, _ = promised_time(duty, now, timedelta(hours=hours))
    assert promised - now >= timedelta(hours=hours)
    assert on_duty(duty, promised - timedelta(microseconds=1))


@given(spans, moments, st.integers(1, 20), st.integers(1, 20))
def test_promises_add_up(duty: tuple[DutySpan, ...], now: datetime, first: int, second: int) -> None:
    halfway, _ = promised_time(duty, now, timedelta(hours=first))
    assert (
        promised_time(duty, halfway, timedelta(hours=second))[0]
        == (promised_time(duty, now, timedelta(hours=first + second))[0])
    )


def test_a_roster_without_any_working_day_is_an_error() -> None:
    with pytest.raises(ValueError, match="no duty time"):
        promised_time((), MONDAY_10, timedelta(hours=1), Calendar())
