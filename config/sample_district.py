"""Reads the sample district: YAML and form files in, domain dataclasses out.

Pure reading: nothing is stored here. Ids are derived from stable names (a department's and a matter's
code, a post's key, a username), so that loading twice means the same records. The format is described
in config/district/README.md.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass, replace
from datetime import date, time
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from backend.domain.access import Role
from backend.domain.errors import DomainError
from backend.domain.ids import derived_id
from backend.domain.limits import parse_limit
from backend.domain.matters import Guide, Level, LimitUnit, ReceptionMode, TaskType, TimeLimit
from backend.domain.organisation import (
    Department,
    DepartmentKind,
    DutySpan,
    Holder,
    Post,
    Responsibility,
)
from config.sample_words import SampleWords, read_words

DEFAULT_FOLDER = Path(__file__).parent / "district"

#: 行使层级 in a code (use_level).
_LEVEL_DIGIT = {
    Level.NATIONAL: "1",
    Level.PROVINCE: "2",
    Level.CITY: "3",
    Level.COUNTY: "4",
    Level.STREET: "5",
    Level.VILLAGE: "6",
}

_T = typing.TypeVar("_T")

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class SampleDistrictError(ValueError):
    """The files of the sample district are not right; the message names file and place."""


@dataclass(frozen=True, slots=True)
class StaffSeed:
    """A person of the staff, still without a password."""

    id: str
    username: str
    name: str
    department_id: str
    roles: frozenset[Role]


@dataclass(frozen=True, slots=True)
class MatterSeed:
    """A matter as it is to be published first. `code` has 31 digits, or 33 with an item number."""

    key: str
    code: str
    base_code: str
    department_id: str
    area_code: str
    guide: Guide

    @property
    def id(self) -> str:
        """The matter's id: the one its code derives."""
        return derived_id("matter", self.code)


@dataclass(frozen=True, slots=True)
class SampleDistrict:
    """Everything the first start stores. `guide_files` maps the names that guides use to contents."""

    area_code: str
    themes: tuple[str, ...]
    departments: list[Department]
    posts: list[Post]
    staff: list[StaffSeed]
    responsibilities: list[Responsibility]
    matters: list[MatterSeed]
    guide_files: dict[str, bytes]
    words: SampleWords


def load_sample_district(folder: Path | None = None) -> SampleDistrict:
    """Read the district in `folder` (the shipped one when None).

    Raises `SampleDistrictError` naming file and matter (or department, post, person) for anything that is
    unreadable, unknown, missing, double or points nowhere.
    """
    folder = folder or DEFAULT_FOLDER
    return _District(folder).read()


@cache
def district_name(folder: Path | None = None) -> str:
    """What the district in `folder` (the shipped one when None) is called. Raises `SampleDistrictError`.

    Read once in a process: it is asked for more than once, and the file tells of the whole district.
    """
    where = "district.yaml"
    return _text(_mapping(_load((folder or DEFAULT_FOLDER) / where), where), "district", where)


class _District:
    """One reading: keeps the names met so far, so that every reference can be checked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.departments: dict[str, Department] = {}
        self.posts: dict[str, Post] = {}
        self.staff: dict[str, StaffSeed] = {}
        self.responsibilities: list[Responsibility] = []
        self.matters: dict[str, MatterSeed] = {}
        self.files: dict[str, bytes] = {}
        self.themes: tuple[str, ...] = ()

    def read(self) -> SampleDistrict:
        where = "district.yaml"
        raw = _mapping(_load(self.folder / where), where)
        self.themes = tuple(_list(raw, "themes", where))
        self.files = {path.name: path.read_bytes() for path in sorted((self.folder / "forms").glob("*.html"))}
        entries = [_mapping(entry, where) for entry in _list(raw, "departments", where)]
        codes = {_text(entry, "key", where): _text(entry, "uscc", where) for entry in entries}
        for entry in _list(raw, "staff", where):
            self._person(_mapping(entry, where), codes, where)
        for entry in entries:
            self._department(entry, where)
        for entry in _list(raw, "posts", where):
            self._post(_mapping(entry, where), where)
        for entry in entries:
            self._general_post(entry, where)
        for path in sorted((self.folder / "matters").glob("*.yaml")):
            self._matters(path)
        return SampleDistrict(
            area_code=_text(raw, "area_code", where),
            themes=self.themes,
            departments=list(self.departments.values()),
            posts=list(self.posts.values()),
            staff=list(self.staff.values()),
            responsibilities=self.responsibilities,
            matters=list(self.matters.values()),
            guide_files=self.files,
            words=self._words(),
        )

    def _words(self) -> SampleWords:
        where = self.folder / "words.yaml"
        try:
            return read_words(_load(where), self.departments) if where.exists() else SampleWords()
        except ValueError as error:
            raise SampleDistrictError(f"{where.name}: {error}") from error

    def _person(self, raw: Mapping[str, Any], codes: Mapping[str, str], where: str) -> None:
        username = _text(raw, "username", where)
        where = f"{where}, staff {username}"
        _new(username, self.staff, where)
        self.staff[username] = StaffSeed(
            id=derived_id("staff", username),
            username=username,
            name=_text(raw, "name", where),
            department_id=derived_id("department", _known(_text(raw, "department", where), codes, where)),
            roles=frozenset(_value(Role, role, f"{where}: roles") for role in _list(raw, "roles", where)),
        )

    def _department(self, raw: Mapping[str, Any], where: str) -> None:
        key, code = _text(raw, "key", where), _text(raw, "uscc", where)
        where = f"{where}, department {key}"
        _new(key, self.departments, where)
        self.departments[key] = Department(
            id=derived_id("department", code),
            code=code,
            name=_text(raw, "name", where),
            kind=_value(DepartmentKind, raw.get("kind"), f"{where}: kind"),
            area_code=_text(raw, "area_code", where),
            duty_lead_ids=tuple(_known(name, self.staff, where).id for name in _list(raw, "duty_leads", where)),
            duty_spans=_spans(_list(raw, "duty_spans", where), where),
            address=_text(raw, "address", where),
            phone=_text(raw, "phone", where),
        )

    def _post(self, raw: Mapping[str, Any], where: str) -> None:
        key = _text(raw, "key", where)
        where = f"{where}, post {key}"
        _new(key, self.posts, where)
        holders = [_mapping(entry, where) for entry in _list(raw, "holders", where)]
        self.posts[key] = Post(
            id=derived_id("post", key),
            department_id=_known(_text(raw, "department", where), self.departments, where).id,
            name=_text(raw, "name", where),
            holders=tuple(
                Holder(_known(_text(entry, "staff", where), self.staff, where).id, int(entry["rank"]))
                for entry in holders
            ),
            duty_spans=_spans(raw.get("duty_spans") or (), where),
        )

    def _general_post(self, raw: Mapping[str, Any], where: str) -> None:
        """The rule for a department's questions that name no matter, and for matters without a rule."""
        where = f"{where}, department {raw['key']}"
        department = self.departments[raw["key"]]
        post = _known(_text(raw, "general_post", where), self.posts, where)
        self.responsibilities.append(
            Responsibility(
                id=derived_id("responsibility", department.code),
                department_id=department.id,
                post_id=post.id,
            )
        )

    def _matters(self, path: Path) -> None:
        where = f"matters/{path.name}"
        raw = _mapping(_load(path), where)
        _only({name for name in raw if not str(name).startswith("x-")}, {"department", "matters"}, where)
        key = _text(raw, "department", where)
        if key != path.stem:
            raise SampleDistrictError(f"{where}: file name and department ({key}) differ")
        department = _known(key, self.departments, where)
        for entry in _list(raw, "matters", where):
            self._matter(_mapping(entry, where), department, where)

    def _matter(self, raw: Mapping[str, Any], department: Department, where: str) -> None:
        key = _text(raw, "key", where)
        where = f"{where}, matter {key}"
        _only(set(raw), {"key", "base_code", "item", "post", "responsibilities", "guide"}, where)
        _new(key, self.matters, where)
        guide = _with_legal_days(_value(Guide, raw.get("guide"), where))
        self._check_references(guide, where)
        base_code, item = _text(raw, "base_code", where), str(raw.get("item") or "")
        code = f"{department.code}{_LEVEL_DIGIT[guide.level]}{base_code}{item}"
        if not (base_code.isdigit() and len(base_code) == 12 and (item == "" or (item.isdigit() and len(item) == 2))):
            raise SampleDistrictError(f"{where}: base_code has 12 digits, item 2: {base_code} {item}")
        if any(other.code == code for other in self.matters.values()):
            raise SampleDistrictError(f"{where}: code {code} is taken")
        self.matters[key] = seed = MatterSeed(key, code, base_code, department.id, department.area_code, guide)
        self._responsibility({"post": raw.get("post")}, seed, where)
        for entry in raw.get("responsibilities") or ():
            self._responsibility(_mapping(entry, where), seed, where)

    def _check_references(self, guide: Guide, where: str) -> None:
        for theme in guide.themes:
            _known(theme, dict.fromkeys(self.themes), f"{where}: themes")
        for material in guide.materials:
            for name in filter(None, (material.blank_form, material.filled_sample)):
                _known(name, self.files, f"{where}: material {material.key}")

    def _responsibility(self, raw: Mapping[str, Any], matter: MatterSeed, where: str) -> None:
        _only(set(raw), {"post", "area_code", "reception_mode"}, where)
        post = _known(_text(raw, "post", where), self.posts, where)
        area = raw.get("area_code")
        mode = raw.get("reception_mode")
        self.responsibilities.append(
            Responsibility(
                id=derived_id("responsibility", f"{matter.code}:{area or ''}:{mode or ''}"),
                department_id=matter.department_id,
                post_id=post.id,
                matter_id=matter.id,
                area_code=area,
                reception_mode=_value(ReceptionMode, mode, where) if mode else None,
            )
        )


def _with_legal_days(guide: Guide) -> Guide:
    """A plain "20日" of a licensing matter means working days (行政许可法 art. 82)."""

    def read(limit: TimeLimit | None) -> TimeLimit | None:
        return parse_limit(limit.text, plain_day=LimitUnit.WORKING_DAY) if limit else None

    if guide.task_type is not TaskType.LICENSING:
        return guide
    return replace(guide, statutory_limit=read(guide.statutory_limit), promised_limit=read(guide.promised_limit))


def _load(path: Path) -> Any:
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506  (a safe loader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SampleDistrictError(f"{path.name}: cannot be read: {error}") from error


def _mapping(raw: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(raw, dict):
        raise SampleDistrictError(f"{where}: a mapping is expected, not {raw!r}")
    return raw


def _list(raw: Mapping[str, Any], name: str, where: str) -> Sequence[Any]:
    found = raw.get(name)
    if not isinstance(found, list):
        raise SampleDistrictError(f"{where}: {name} is missing or no list")
    return found


def _text(raw: Mapping[str, Any], name: str, where: str) -> str:
    found = raw.get(name)
    if not isinstance(found, str) or not found.strip():
        raise SampleDistrictError(f"{where}: {name} is missing or no text")
    return found


def _new(key: str, known: Mapping[str, object], where: str) -> None:
    if key in known:
        raise SampleDistrictError(f"{where}: {key} is there twice")


def _known(key: str, known: Mapping[str, _T], where: str) -> _T:
    if key not in known:
        raise SampleDistrictError(f"{where}: {key} is not known")
    return known[key]


def _only(names: Iterable[str], allowed: Iterable[str], where: str) -> None:
    if unknown := sorted(set(names) - set(allowed)):
        raise SampleDistrictError(f"{where}: unknown fields {', '.join(map(str, unknown))}")


def _spans(texts: Iterable[str], where: str) -> tuple[DutySpan, ...]:
    try:
        return tuple(DutySpan(*(time.fromisoformat(end) for end in text.split("-", 1))) for text in texts)
    except (TypeError, ValueError) as error:
        raise SampleDistrictError(f"{where}: a duty span is written like 09:00-12:00: {error}") from error


@cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _value(kind: Any, raw: Any, where: str) -> Any:
    """`raw` as the annotated type `kind` of a guide's dataclasses. Raises `SampleDistrictError`."""
    if isinstance(kind, types.UnionType):
        kind = next(choice for choice in kind.__args__ if choice is not types.NoneType)
    if typing.get_origin(kind) is tuple:
        if not isinstance(raw, list):
            raise SampleDistrictError(f"{where}: a list is expected, not {raw!r}")
        return tuple(_value(typing.get_args(kind)[0], item, f"{where}[{n}]") for n, item in enumerate(raw, 1))
    try:
        if kind is TimeLimit:
            return parse_limit(str(raw))
        if issubclass(kind, StrEnum):
            return kind(raw)
    except (DomainError, ValueError) as error:
        raise SampleDistrictError(f"{where}: {error}") from error
    if is_dataclass(kind):
        return _record(kind, _mapping(raw, where), where)
    # A date is written bare in YAML; bool is an int to Python, but a count is no yes or no.
    if kind in (str, int, bool, date) and type(raw) is kind:
        return raw
    raise SampleDistrictError(f"{where}: {getattr(kind, '__name__', kind)} is expected, not {raw!r}")


def _record(kind: Any, raw: Mapping[str, Any], where: str) -> Any:
    declared = {field.name: field for field in fields(kind)}
    _only(raw, declared, where)
    for name, field in declared.items():
        if name not in raw and field.default is MISSING and field.default_factory is MISSING:
            raise SampleDistrictError(f"{where}: {name} is missing")
    return kind(**{name: _value(_hints(kind)[name], item, f"{where}: {name}") for name, item in raw.items()})
