"""A matter as its editors see it: what is published, what is being written, what is wrong with that."""

from __future__ import annotations

from dataclasses import dataclass

from backend.domain.errors import InvalidInput, NotFound
from backend.domain.guide_checks import GuideProblem, Severity
from backend.domain.guide_drafts import GuideDraft
from backend.domain.matter_edits import MatterEdit
from backend.domain.matters import Matter
from backend.domain.organisation import Post


@dataclass(frozen=True, slots=True)
class NewMatter:
    """A matter that is not in the catalogue yet. `area_code` None: the department's."""

    code: str
    department_id: str
    guide: GuideDraft
    area_code: str | None = None


@dataclass(frozen=True, slots=True)
class Editable:
    """A matter as its editors see it. `matter` is None while nothing was published, `edit` None until an
    editor touched it. `post` answers for it; None: nobody does."""

    id: str
    matter: Matter | None
    edit: MatterEdit | None
    department_name: str
    post: Post | None
    problems: tuple[GuideProblem, ...]

    @property
    def version(self) -> int:
        """The edit version, 0 until an editor touched the matter."""
        return self.edit.version if self.edit is not None else 0

    @property
    def published_version(self) -> int:
        return self.matter.version if self.matter is not None else 0


def first_edit(found: Editable) -> MatterEdit:
    """The editors' side of a matter that none has touched: before its first version."""
    matter = found.matter
    if matter is None:
        raise NotFound("没有找到这个事项。")
    return MatterEdit(
        id=matter.id,
        code=matter.code,
        base_code=matter.base_code,
        department_id=matter.department_id,
        area_code=matter.area_code,
        version=0,
        updated_at=matter.published_at,
    )


def refuse(found: Editable) -> None:
    """Raises `InvalidInput` when something keeps the draft from being published; its `errors` say what."""
    problems = [problem for problem in found.problems if problem.severity is Severity.BLOCKING]
    if problems:
        raise InvalidInput(
            f"还有 {len(problems)} 处需要完善，暂时不能发布。",
            errors=[{"field": p.field, "code": p.code, "detail": p.detail} for p in problems],
        )
