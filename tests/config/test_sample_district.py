"""The shipped sample district, held to what it promises, and the loader's complaints."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from itertools import combinations
from pathlib import Path

import pytest
from stdnum.cn import uscc

from backend.domain.access import Role
from backend.domain.codes import parse_matter_code
from backend.domain.matters import Guide, Level, LimitUnit, ProjectType, TaskType, TimeLimit
from backend.domain.organisation import DepartmentKind, most_specific
from config.sample_district import (
    DEFAULT_FOLDER,
    MatterSeed,
    SampleDistrict,
    SampleDistrictError,
    load_sample_district,
)


@pytest.fixture(scope="module")
def district() -> SampleDistrict:
    return load_sample_district()


def _each(district: SampleDistrict) -> list[tuple[str, Guide]]:
    return [(matter.key, matter.guide) for matter in district.matters]


# --- what is promised of the whole ------------------------------------------


def test_is_large_enough(district: SampleDistrict) -> None:
    used = {matter.department_id for matter in district.matters}
    streets = [d for d in district.departments if d.kind is DepartmentKind.STREET]
    assert len(district.matters) >= 64
    assert len(district.departments) >= 15
    assert len(used) >= 15
    assert len(streets) >= 3
    assert {street.id for street in streets} <= used


def test_mixes_kinds_of_matter(district: SampleDistrict) -> None:
    kinds = {guide.task_type for _, guide in _each(district)}
    assert kinds >= {TaskType.LICENSING, TaskType.CONFIRMATION, TaskType.BENEFIT, TaskType.PUBLIC_SERVICE}
    projects = {guide.project_type for _, guide in _each(district)}
    assert projects == {ProjectType.INSTANT, ProjectType.PROMISED, ProjectType.INFORMATION}


def test_loading_again_gives_the_same_records(district: SampleDistrict) -> None:
    assert load_sample_district() == district


# --- every guide is complete ------------------------------------------------


def test_every_guide_is_complete(district: SampleDistrict) -> None:
    lacking: list[str] = []
    for key, guide in _each(district):
        told = {
            "summary": len(guide.summary) >= 20,
            "everyday_names": len(set(guide.everyday_names)) >= 2,
            "conditions": bool(guide.conditions),
            "materials": 3 <= len(guide.materials) <= 10,
            "steps": len(guide.steps) >= 3 and all(step.detail for step in guide.steps),
            "limit": guide.promised_limit is not None or guide.project_type is ProjectType.INFORMATION,
            "result": guide.result is not None,
            "windows": bool(guide.windows) and all(w.phone and w.hours for w in guide.windows),
            "questions": len(guide.questions) >= 2,
            "basis": bool(guide.basis),
            "themes": bool(guide.themes),
            "audiences": bool(guide.audiences),
            "phones": bool(guide.consult_phone and guide.complaint_phone),
            "visits": guide.visits == 0 or bool(guide.visit_reason),
            "effective_from": guide.effective_from is not None,
        }
        lacking += [f"{key}: {name}" for name, fine in told.items() if not fine]
    assert lacking == []


def test_every_material_says_what_is_wanted(district: SampleDistrict) -> None:
    lacking = [
        f"{key}: {material.key}"
        for key, guide in _each(district)
        for material in guide.materials
        if not (material.originals + material.copies and (material.notes or material.acceptance_standard))
    ]
    assert lacking == []


def test_material_keys_are_unique_within_a_matter(district: SampleDistrict) -> None:
    for key, guide in _each(district):
        assert len({material.key for material in guide.materials}) == len(guide.materials), key


def test_laws_are_named_not_quoted(district: SampleDistrict) -> None:
    assert [key for key, guide in _each(district) if any(basis.text for basis in guide.basis)] == []


def _natural_days(limit: TimeLimit) -> float:
    """A rough length, for comparison: a working day is at least one natural day."""
    return (
        limit.amount
        * {
            LimitUnit.INSTANT: 0.0,
            LimitUnit.HOUR: 1 / 24,
            LimitUnit.WORKING_DAY: 1.0,
            LimitUnit.NATURAL_DAY: 1.0,
            LimitUnit.MONTH: 30.0,
        }[limit.unit]
    )


def test_promises_are_within_the_statutory_limit(district: SampleDistrict) -> None:
    broken = [
        key
        for key, guide in _each(district)
        if guide.promised_limit
        and guide.statutory_limit
        and _natural_days(guide.promised_limit) > _natural_days(guide.statutory_limit)
    ]
    assert broken == []


def test_instant_matters_promise_the_spot(district: SampleDistrict) -> None:
    broken = [
        key
        for key, guide in _each(district)
        if guide.project_type is ProjectType.INSTANT
        and guide.promised_limit
        and guide.promised_limit.unit not in (LimitUnit.INSTANT, LimitUnit.HOUR)
    ]
    assert broken == []


# --- no guide out of a template ---------------------------------------------


def _materials(guide: Guide) -> frozenset[str]:
    return frozenset(material.name for material in guide.materials)


def _steps(guide: Guide) -> tuple[tuple[str, str], ...]:
    return tuple((step.name, step.detail) for step in guide.steps)


def _pairs_of_departments(district: SampleDistrict) -> list[tuple[MatterSeed, MatterSeed]]:
    return [
        (one, other) for one, other in combinations(district.matters, 2) if one.department_id != other.department_id
    ]


def test_departments_do_not_share_materials_and_steps(district: SampleDistrict) -> None:
    alike = [
        (one.key, other.key)
        for one, other in _pairs_of_departments(district)
        if _materials(one.guide) == _materials(other.guide) and _steps(one.guide) == _steps(other.guide)
    ]
    assert alike == []


def test_hardly_any_two_matters_look_alike(district: SampleDistrict) -> None:
    """Nearly the same materials, or the same steps, tell of copying: also within one department."""

    def overlap(one: Guide, other: Guide) -> float:
        names, others = _materials(one), _materials(other)
        return len(names & others) / len(names | others)

    alike = [
        (one.key, other.key)
        for one, other in combinations(district.matters, 2)
        if overlap(one.guide, other.guide) > 0.8 or _steps(one.guide) == _steps(other.guide)
    ]
    assert alike == []


def test_texts_are_not_repeated(district: SampleDistrict) -> None:
    guides = [guide for _, guide in _each(district)]
    for texts in (
        Counter(guide.summary for guide in guides),
        Counter(guide.conditions for guide in guides),
        Counter(question.answer for guide in guides for question in guide.questions),
    ):
        assert [text for text, count in texts.items() if count > 1] == []


# --- codes and references ---------------------------------------------------


def test_department_codes_are_valid_and_ours(district: SampleDistrict) -> None:
    for department in district.departments:
        assert uscc.is_valid(department.code), department.name
        assert department.code.startswith("11440196")
        assert re.fullmatch(r"440196(\d{3})?", department.area_code)
        assert (len(department.area_code) == 9) == (department.kind is DepartmentKind.STREET)


def test_matter_codes_are_unique_and_well_formed(district: SampleDistrict) -> None:
    codes = {department.id: department.code for department in district.departments}
    for matter in district.matters:
        level = "5" if matter.guide.level is Level.STREET else "4"
        assert matter.code.startswith(codes[matter.department_id] + level + matter.base_code), matter.key
        assert parse_matter_code(matter.code).base_code == matter.base_code
        assert parse_matter_code(matter.code).warnings == ()
    assert len({matter.code for matter in district.matters}) == len(district.matters)
    assert len({matter.id for matter in district.matters}) == len(district.matters)


def test_street_matters_are_of_street_level(district: SampleDistrict) -> None:
    streets = {d.id for d in district.departments if d.kind is DepartmentKind.STREET}
    for matter in district.matters:
        assert (matter.guide.level is Level.STREET) == (matter.department_id in streets), matter.key


def test_themes_are_of_the_fixed_set(district: SampleDistrict) -> None:
    used = {theme for _, guide in _each(district) for theme in guide.themes}
    assert used <= set(district.themes)


def test_phones_are_fictional(district: SampleDistrict) -> None:
    phones = {department.phone for department in district.departments}
    phones |= {guide.consult_phone for _, guide in _each(district)}
    phones |= {guide.complaint_phone for _, guide in _each(district)}
    phones |= {window.phone for _, guide in _each(district) for window in guide.windows}
    assert [phone for phone in phones if not re.fullmatch(r"020-5550\d{4}", phone or "")] == []


# --- who is who -------------------------------------------------------------


def test_posts_are_held_by_staff_of_their_department(district: SampleDistrict) -> None:
    staff = {person.id: person for person in district.staff}
    for post in district.posts:
        assert all(staff[holder.staff_id].department_id == post.department_id for holder in post.holders)
        assert [holder.rank for holder in post.holders] in ([], [1], [1, 2]), post.name
        assert all(Role.CLERK in staff[holder.staff_id].roles for holder in post.holders), post.name


def test_most_posts_have_a_and_b_and_one_is_unstaffed(district: SampleDistrict) -> None:
    holders = Counter(len(post.holders) for post in district.posts)
    assert holders[0] == 1
    assert holders[2] > len(district.posts) / 2
    assert all(count >= 2 for count in Counter(post.department_id for post in district.posts).values())


def test_departments_have_a_lead_and_hours(district: SampleDistrict) -> None:
    roles = {person.id: person.roles for person in district.staff}
    for department in district.departments:
        assert department.duty_lead_ids, department.name
        assert all(Role.LEAD in roles[staff_id] for staff_id in department.duty_lead_ids)
        assert all(span.start < span.end for span in department.duty_spans)
    assert len({department.duty_spans for department in district.departments}) > 1


def test_the_hall_leads_are_triage(district: SampleDistrict) -> None:
    [hall] = [d for d in district.departments if d.kind is DepartmentKind.HALL]
    triage = {person.id for person in district.staff if Role.TRIAGE in person.roles}
    assert triage == set(hall.duty_lead_ids)


def test_the_special_roles_are_there_and_no_admin(district: SampleDistrict) -> None:
    roles = Counter(role for person in district.staff for role in person.roles)
    assert roles[Role.EDITOR] == 1
    assert roles[Role.SUPERVISOR] == 1
    assert roles[Role.HALL] >= 1
    assert roles[Role.ADMIN] == roles[Role.CITIZEN] == 0
    assert len({person.username for person in district.staff}) == len(district.staff)
    assert all(re.fullmatch(r"[a-z]{4,}", person.username) for person in district.staff)


def test_every_matter_and_department_has_a_post_that_answers(district: SampleDistrict) -> None:
    posts = {post.id for post in district.posts}
    assert {rule.post_id for rule in district.responsibilities} <= posts
    assert len({rule.id for rule in district.responsibilities}) == len(district.responsibilities)
    for matter in district.matters:
        rule = most_specific(
            district.responsibilities,
            matter_id=matter.id,
            department_id=matter.department_id,
            area_code=None,
            reception_mode=None,
        )
        assert rule is not None
        assert rule.matter_id == matter.id
    general = {rule.department_id for rule in district.responsibilities if rule.matter_id is None}
    assert general == {department.id for department in district.departments}


def test_a_street_answers_for_its_own_area(district: SampleDistrict) -> None:
    [matter] = [m for m in district.matters if m.key == "dibao"]
    posts = {post.id: post.department_id for post in district.posts}
    for street in (d for d in district.departments if d.kind is DepartmentKind.STREET):
        rule = most_specific(
            district.responsibilities,
            matter_id=matter.id,
            department_id=matter.department_id,
            area_code=street.area_code,
            reception_mode=matter.guide.reception_mode,
        )
        assert rule is not None
        assert posts[rule.post_id] == street.id


# --- forms ------------------------------------------------------------------


def test_forms_are_there_in_pairs_and_self_contained(district: SampleDistrict) -> None:
    named = [
        (material.blank_form, material.filled_sample)
        for _, guide in _each(district)
        for material in guide.materials
        if material.blank_form
    ]
    assert len(named) >= 4
    assert {name for pair in named for name in pair if name} == set(district.guide_files)
    for name, content in district.guide_files.items():
        text = content.decode()
        assert "A4" in text, name
        assert not re.search(r"<script|<link|<img|https?://|javascript:|\son\w+=", text), name
        assert ("样表" in text) == name.endswith("-sample.html"), name


# --- what the loader says when something is wrong ---------------------------


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(DEFAULT_FOLDER, tmp_path / "district"))


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("district.yaml", "general_post: gongan-huzheng", "general_post: nobody", "department gongan: nobody"),
        ("district.yaml", "{staff: linminyi, rank: 1}", "{staff: ghost, rank: 1}", "post gongan-huzheng: ghost"),
        ("district.yaml", '"09:00-12:00"', '"morning"', "duty span"),
        ("district.yaml", "roles: [editor]", "roles: [king]", "king"),
        ("matters/minzheng.yaml", "post: minzheng-jiuzhu", "post: gone", "minzheng.yaml, matter dibao: gone"),
        ("matters/minzheng.yaml", "themes: [婚姻登记]", "themes: [赛马]", "matter jiehun-dengji: themes: 赛马"),
        ("matters/minzheng.yaml", "minzheng-linshi-jiuzhu-blank.html", "no.html", "matter linshi-jiuzhu"),
        ("matters/minzheng.yaml", "promised_limit: 当场", "promised_limit: 尽快", "promised_limit"),
        ("matters/minzheng.yaml", "task_type: benefit", "task_type: gift", "matter dibao: task_type"),
        ("matters/minzheng.yaml", "visits: 1", "visits: once", "visits: int is expected"),
        ("matters/minzheng.yaml", "summary: ", "sumary: ", "unknown fields sumary"),
        ("matters/minzheng.yaml", '"440702001001"', '"44070200100"', "base_code has 12 digits"),
        ("matters/minzheng.yaml", '"440702001002"', '"440702001001"', "is taken"),
        ("matters/minzheng.yaml", "key: lihun-dengji", "key: jiehun-dengji", "jiehun-dengji is there twice"),
        ("matters/minzheng.yaml", "department: minzheng", "department: gongan", "differ"),
        ("matters/minzheng.yaml", "matters:", "matters: [", "cannot be read"),
    ],
)
def test_errors_name_file_and_place(copy: Path, file: str, old: str, new: str, said: str) -> None:
    path = copy / file
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(SampleDistrictError, match=re.escape(Path(file).name)) as caught:
        load_sample_district(copy)
    assert said in str(caught.value)


def test_an_absent_folder_is_said_plainly(tmp_path: Path) -> None:
    with pytest.raises(SampleDistrictError, match=r"district\.yaml: cannot be read"):
        load_sample_district(tmp_path)


def test_licensing_days_are_working_days(copy: Path) -> None:
    path = copy / "matters" / "weijian.yaml"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("statutory_limit: 20(工作日)", "statutory_limit: 20日", 1), encoding="utf-8")
    [matter] = [m for m in load_sample_district(copy).matters if m.key == "gonggong-changsuo"]
    assert matter.guide.statutory_limit == TimeLimit(20, LimitUnit.WORKING_DAY, None, "20日")
