"""Why a photograph is refused, each with one stable code and a sentence that says what to do instead."""

from __future__ import annotations

from typing import Final

from backend.domain.errors import DomainError, InvalidInput, TooLarge, Unavailable, UnsupportedMedia


class NotAPhoto(UnsupportedMedia):
    """The file is something else: a document, an archive, a film. `kind` in the problem says what."""

    code = "not-a-photo"
    title = "这不是照片"


class UnsupportedPhoto(UnsupportedMedia):
    """It is a picture, in a format that is not accepted. `kind` in the problem says which."""

    code = "unsupported-photo-format"
    title = "暂不支持这种图片格式"


class DamagedPhoto(InvalidInput):
    """The file says that it is a photograph, but cannot be read as one: cut off, or broken inside."""

    code = "damaged-photo"
    title = "照片文件不完整或已损坏"


class UnreasonablePhoto(InvalidInput):
    """Decoding it would take more time than a photograph ever does."""

    code = "unreasonable-photo"
    title = "照片无法处理"


class PhotoTooLarge(TooLarge):
    """More bytes, more pixels or more memory than a page may take."""

    code = "photo-too-large"
    title = "照片过大"


class PhotosBusy(Unavailable):
    """No process is free to decode; `retry_after` seconds say when to come back."""

    title = "正在处理的照片较多"

    def __init__(self, detail: str = "正在处理的照片较多，请稍后再试。", *, retry_after: int = 2) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


#: Code → class, for carrying an error out of the decoding process.
BY_CODE: Final[dict[str, type[DomainError]]] = {
    error.code: error for error in (NotAPhoto, UnsupportedPhoto, DamagedPhoto, UnreasonablePhoto, PhotoTooLarge)
}
