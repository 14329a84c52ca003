"""A photograph as it leaves the decoding process. A module of its own: that process imports little."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class NormalisedPhoto:
    """A photograph after normalising: upright pixels, re-encoded, with nothing of the original file left.

    `page` and `thumbnail` are whole encoded files of `media_type`. `width` and `height` are pixels of the
    page; `sha256` is the hex digest of `page`, its address in the store.
    """

    page: bytes
    thumbnail: bytes
    width: int
    height: int
    sha256: str
    media_type: str
