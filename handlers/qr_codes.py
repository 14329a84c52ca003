"""QR codes that lead a phone to a page of ours."""

from __future__ import annotations

import io

import segno

#: The white border that scanners need (ISO/IEC 18004: four modules).
_QUIET_ZONE = 4


def guide_address(origin: str, matter_id: str) -> str:
    """Where a phone reads the guide of a matter."""
    return f"{origin}/m/#/pages/guide/guide?id={matter_id}"


def draw(text: str) -> bytes:
    """`text` as a QR code in SVG: scales to any size, survives a scratch (15 % of it may be lost)."""
    picture = io.BytesIO()
    segno.make(text, error="m", micro=False).save(
        picture, kind="svg", scale=8, border=_QUIET_ZONE, light="#fff", svgclass=None, lineclass=None, omitsize=True
    )
    return picture.getvalue()
