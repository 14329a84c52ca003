"""Limits as people write them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.errors import InvalidInput
from backend.domain.limits import MAX_AMOUNT, format_limit, names_no_limit, parse_limit
from backend.domain.matters import LimitUnit, TimeLimit

W, N, H, M, I = (  # noqa: E741
    LimitUnit.WORKING_DAY,
    LimitUnit.NATURAL_DAY,
    LimitUnit.HOUR,
    LimitUnit.MONTH,
    LimitUnit.INSTANT,
)


@pytest.mark.parametrize(
    ("text", "amount", "unit", "extended"),
    [
        ("20(工作日)", 20, W, None),
        ("20（工作日）", 20, W, None),
        ("２０（工作日）", 20, W, None),
        ("90(自然日)", 90, N, None),
        ("1(小时)", 1, H, None),
        ("当场", 0, I, None),
        ("当场办结", 0, I, None),
        ("材料齐全当场办结", 0, I, None),
        ("即时", 0, I, None),
        ("即办件", 0, I, None),
        ("立等可取", 0, I, None),
        ("0(工作日)", 0, I, None),
        ("0个工作日", 0, I, None),
        ("1个月", 1, M, None),
        ("三个月", 3, M, None),
        ("半年", 6, M, None),
        ("1年", 12, M, None),
        ("半个月", 15, N, None),
        ("2周", 14, N, None),
        ("2小时", 2, H, None),
        ("两个小时", 2, H, None),
        ("48小时内", 48, H, None),
        ("30分钟", 1, H, None),
        ("15日（延长后不超过30日）", 15, N, 30),
        ("15日(延长至30日)", 15, N, 30),
        ("20个工作日（经批准可延长10个工作日）", 20, W, 30),
        ("20个工作日，特殊情况可延长10日", 20, W, 30),
        ("20个工作日（不含延长的10个工作日）", 20, W, 30),
        ("5个工作日", 5, W, None),
        ("5 个 工作 日", 5, W, None),
        ("5工作日", 5, W, None),
        ("二十日", 20, N, None),
        ("十五个工作日", 15, W, None),
        ("一百二十日", 120, N, None),
        ("一百零五天", 105, N, None),
        ("二〇日", 20, N, None),
        ("法定10个工作日", 10, W, None),
        ("10个法定工作日", 10, W, None),
        ("自受理之日起20个工作日内", 20, W, None),
        ("3-5个工作日", 5, W, None),
        ("3至5个工作日", 5, W, None),
        ("工作日：20", 20, W, None),
        ("5个工作日（不含公告期）", 5, W, None),
        ("3个工作日（现场审核时间除外）", 3, W, None),
        ("20个工作日（其中公示7日）", 20, W, None),
        ("20个工作日，其中专家评审15个工作日不计入", 20, W, None),
        ("0.5个工作日", 1, W, None),
        ("7天", 7, N, None),
        ("【5个工作日】", 5, W, None),
    ],
)
def test_reads_what_people_write(text: str, amount: int, unit: LimitUnit, extended: int | None) -> None:
    assert parse_limit(text) == TimeLimit(amount, unit, extended, text.strip())


def test_a_bare_day_counts_as_the_caller_says() -> None:
    assert parse_limit("20日", plain_day=W).unit is W
    assert parse_limit("15日（延长后不超过30日）", plain_day=W) == TimeLimit(15, W, 30, "15日（延长后不超过30日）")
    assert parse_limit("20个自然日", plain_day=W).unit is N


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  ",
        "无",
        "尽快",
        "及时办理",
        "20",
        "工作日",
        "-5个工作日",
        "1..5个工作日",
        "1个半月",
        "每月20日",
        "3月1日前",
        "非当场办结",
        "当场或5个工作日",
        "法定20个工作日，承诺5个工作日",
        "30日（延长后不超过15日）",
        "20个工作日（可延长1个月）",
        "99999个工作日",
        "9" * 400 + "日",
        "5-3个工作日",
        "当场（可延长5日）",
    ],
)
def test_refuses_what_it_would_have_to_guess(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_limit(text)
    assert caught.value.detail.endswith("。")
    assert caught.value.field is None


@pytest.mark.parametrize("text", ["", "无", "无法定时限", "没有规定", "—", "/", "未规定时限", "不限"])
def test_knows_no_limit_when_it_sees_it(text: str) -> None:
    assert names_no_limit(text)


def test_a_limit_is_not_no_limit() -> None:
    assert not names_no_limit("无需材料，5个工作日")


limits = st.one_of(
    st.just(TimeLimit(0, I)),
    st.builds(TimeLimit, st.integers(1, MAX_AMOUNT), st.sampled_from([W, N, H, M])),
    st.integers(1, MAX_AMOUNT - 1).flatmap(
        lambda amount: st.builds(
            TimeLimit,
            st.just(amount),
            st.sampled_from([W, N, H, M]),
            st.integers(amount + 1, MAX_AMOUNT),
        )
    ),
)


@given(limits)
def test_what_is_written_reads_back(limit: TimeLimit) -> None:
    read = parse_limit(format_limit(limit))
    assert (read.amount, read.unit, read.extended_amount) == (
        limit.amount,
        limit.unit,
        limit.extended_amount,
    )


@given(
    st.text(
        alphabet="0123456789一二十百半个工作自然日天月年时小当场延长不超过至到()（）-~.，。法定 每前",
        max_size=24,
    )
)
def test_any_text_is_read_or_refused(text: str) -> None:
    """Nothing else than a limit or `InvalidInput` comes out, and a limit is sound."""
    try:
        limit = parse_limit(text)
    except InvalidInput:
        return
    assert 0 <= limit.amount <= MAX_AMOUNT
    assert (limit.amount == 0) == (limit.unit is I)
    assert limit.extended_amount is None or limit.extended_amount > limit.amount


@pytest.mark.parametrize("field", ["legal_time_limit", "promised_time_limit"])
def test_every_limit_of_a_real_catalogue_is_understood(shared_data: Path, field: str) -> None:
    rows = (shared_data / "guangdong_items" / "items.jsonl").read_text(encoding="utf-8").splitlines()
    texts = {row[field] for row in map(json.loads, rows) if row[field] is not None}
    assert len(texts) > 20
    assert all(parse_limit(text) for text in texts)
