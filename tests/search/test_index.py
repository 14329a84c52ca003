"""What people type, and what they should find."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.domain.matters import Audience, TaskType
from backend.services.search import SearchEntry, SearchFilters, SearchIndex

ENTRIES = [
    SearchEntry("residence", "居住证申领", everyday_names=("暂住证",), department="区公安分局", department_id="ga"),
    SearchEntry("passport", "普通护照签发", department="区公安分局", department_id="ga", themes=("出境入境",)),
    SearchEntry("hkmacao", "往来港澳通行证签发", short_name="港澳通行证", department="区公安分局"),
    SearchEntry("licence", "机动车驾驶证补发", parent_name="机动车驾驶证核发", department="区公安分局"),
    SearchEntry("clinic", "医疗机构执业登记", materials=("房屋租赁合同",), task_type=TaskType.LICENSING),
    SearchEntry("marriage", "内地居民婚姻登记", audiences=frozenset({Audience.PERSON}), area_code="440106"),
    SearchEntry("bank", "银行业金融机构设立", department="金融局"),
    SearchEntry("lookup", "居住证申领", fileable=False),
]


@pytest.fixture(scope="module")
def index() -> SearchIndex:
    return SearchIndex.build(ENTRIES)


def best(index: SearchIndex, query: str, **options: Any) -> str | None:
    hits = index.search(query, **options).hits
    return hits[0].entry.id if hits else None


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("居住证", "residence"),
        ("暂住证", "residence"),
        ("驾驶证", "licence"),
        ("驾照", "licence"),  # a general synonym
        ("诊所", "clinic"),
        ("结婚", "marriage"),
        ("房屋租赁合同", "clinic"),
        ("juzhuzheng", "residence"),
        ("JuZhuZheng", "residence"),
        ("ju zhu zheng", "residence"),
        ("juzhuzh", "residence"),
        ("jzz", "residence"),
        ("居住z", "residence"),
        ("jz证", "residence"),
        ("居zhu证", "residence"),
        ("juzhuzheng banli", "residence"),
        ("gatxz", "hkmacao"),
        ("gangao", "hkmacao"),
        ("hz", "passport"),
        ("huzhao", "passport"),
        ("yinhang", "bank"),  # 行 is read hang here
        ("hunyindengji", "marriage"),
        ("hydj", "marriage"),
        ("驾驶证　补发", "licence"),
        ("ｊｚｚ", "residence"),
    ],
)
def test_the_right_matter_comes_first(index: SearchIndex, query: str, expected: str) -> None:
    assert best(index, query) == expected


@pytest.mark.parametrize("query", ["", "   ", "？！", "qqqq", "\U0001f600"])
def test_what_says_nothing_finds_nothing(index: SearchIndex, query: str) -> None:
    assert index.search(query).total == 0


def test_of_two_equals_the_one_that_can_be_applied_for_comes_first(index: SearchIndex) -> None:
    hits = [hit.entry.id for hit in index.search("居住证申领").hits]
    assert hits[:2] == ["residence", "lookup"]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (SearchFilters(department_id="ga"), {"residence", "passport"}),
        (SearchFilters(theme="出境入境"), {"passport"}),
        (SearchFilters(audience=Audience.PERSON), {"marriage"}),
        (SearchFilters(task_type=TaskType.LICENSING), {"clinic"}),
        (SearchFilters(area_code="4401"), {"marriage"}),
        (SearchFilters(area_code="4402"), set()),
    ],
)
def test_filters_hold(index: SearchIndex, filters: SearchFilters, expected: set[str]) -> None:
    queries = ("居住证", "护照", "登记", "签发", "jzz")
    found = {hit.entry.id for query in queries for hit in index.search(query, filters=filters).hits}
    assert found == expected


def test_pages_follow_each_other(index: SearchIndex) -> None:
    whole = index.search("登记证", limit=50)
    pages = [index.search("登记证", limit=2, offset=offset).hits for offset in range(0, whole.total, 2)]
    assert [hit for page in pages for hit in page] == list(whole.hits)


def test_changes_make_another_index_and_leave_the_old_one(index: SearchIndex) -> None:
    renamed = SearchEntry("residence", "流动人口凭证")
    changed = index.with_changes([renamed, SearchEntry("new", "社保卡申领")], removed=["passport", "unknown"])
    assert (len(index), len(changed)) == (8, 8)
    assert best(changed, "社保卡") == "new"
    assert best(changed, "ldrkpz") == "residence"
    assert best(changed, "jzz") == "lookup"
    assert best(changed, "护照") != "passport"
    assert best(index, "jzz") == "residence"
    assert index.with_changes([]) is index


def test_a_changed_index_ranks_as_a_fresh_one(index: SearchIndex) -> None:
    changed = index.with_changes([], removed=["residence"]).with_changes([ENTRIES[0]])
    for query in ("居住证", "jzz", "登记", "签发"):
        assert {h.entry.id for h in changed.search(query).hits} == {h.entry.id for h in index.search(query).hits}


SMALL = SearchIndex.build(ENTRIES[:3])


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=300))
def test_no_text_breaks_the_search(query: str) -> None:
    assert SMALL.search(query, limit=5).total <= 3


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet="abcdefghijklmnopqrstuvwxyz 居住证登记0123'", max_size=80))
def test_no_typing_breaks_the_search(query: str) -> None:
    assert SMALL.search(query).total <= 3


def test_an_empty_catalogue_is_searchable() -> None:
    assert SearchIndex.build(()).search("居住证 jzz").total == 0
