"""What can go wrong, by meaning.

Every error a user can meet is a `DomainError` with a stable kebab-case `code`. It is raised where the
rule is broken and translated once: to problem+json by `backend.rest.problems`, to the same object in
a socket's acknowledgement by `chat`. A `detail` is Chinese that a citizen understands and never
repeats what was typed, since that may be personal data.
"""

from __future__ import annotations

from typing import ClassVar


class DomainError(Exception):
    """Base of everything that is told to a user.

    `field` names the offending input (dotted path); `extra` are further members of the problem object.
    """

    code: ClassVar[str] = "internal-error"
    title: ClassVar[str] = "系统出错"

    def __init__(self, detail: str | None = None, *, field: str | None = None, **extra: object) -> None:
        self.detail = detail or self.title
        self.field = field
        self.extra = extra
        super().__init__(self.detail)


class InvalidInput(DomainError):
    """The request is well-formed, but a value is not acceptable."""

    code = "invalid-input"
    title = "填写的内容有误"


class Malformed(DomainError):
    """The request cannot be read at all (broken JSON, a wrong encoding)."""

    code = "malformed-request"
    title = "请求格式不正确"


class Unauthenticated(DomainError):
    """Nobody is logged in, or the session has ended."""

    code = "unauthenticated"
    title = "请先登录"


class WrongCredentials(DomainError):
    """A login failed. The same answer for an unknown name and a wrong password."""

    code = "wrong-credentials"
    title = "用户名或密码不正确"


class Forbidden(DomainError):
    """The actor is known and may not do this kind of thing at all."""

    code = "forbidden"
    title = "没有权限"


class PasswordChangeRequired(Forbidden):
    """The password was made by somebody else: nothing is possible before it is changed."""

    code = "password-change-required"
    title = "请先修改初始密码"


class NotFound(DomainError):
    """It does not exist, or it is someone else's: the two are answered alike."""

    code = "not-found"
    title = "没有找到"


class Conflict(DomainError):
    """The request contradicts what is there now."""

    code = "conflict"
    title = "操作冲突"


class EditConflict(Conflict):
    """Somebody saved in between: the version that was read is no longer current."""

    code = "edit-conflict"
    title = "内容已被更新，请刷新后再试"


class InvalidTransition(Conflict):
    """The action is not possible in the present state."""

    code = "invalid-transition"
    title = "当前状态不能进行这个操作"


class IdempotencyConflict(Conflict):
    """The same idempotency key (or client id) came with another content."""

    code = "idempotency-conflict"
    title = "同一编号的请求内容不一致"


class TooLarge(DomainError):
    """A body, a file or a list is over its limit."""

    code = "too-large"
    title = "内容过大"


class RangeNotSatisfiable(DomainError):
    """The part that is asked for lies beyond the end."""

    code = "range-not-satisfiable"
    title = "请求的范围超出了文件大小"


class UnsupportedMedia(DomainError):
    """The content is of a kind that is not accepted."""

    code = "unsupported-media"
    title = "不支持这种格式"


class RateLimited(DomainError):
    """Too many requests; `retry_after` seconds say when to come back."""

    code = "rate-limited"
    title = "操作太频繁"

    def __init__(self, detail: str | None = None, *, retry_after: int = 1) -> None:
        super().__init__(detail or f"操作太频繁，请在 {retry_after} 秒后再试。")
        self.retry_after = retry_after


class Unavailable(DomainError):
    """Something the answer depends on is away for now; trying again later is right."""

    code = "temporarily-unavailable"
    title = "服务暂时不可用，请稍后再试"


def may_be_retried(error: BaseException) -> bool:
    """Whether the same again may succeed. What is no refusal of ours is an error within, and passes."""
    return (
        isinstance(error, RateLimited | Unavailable) or not isinstance(error, DomainError) or type(error) is DomainError
    )
