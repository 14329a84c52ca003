"""`python -m backend.commands.openapi FILE`: write the OpenAPI document (`make openapi`)."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from backend.app import openapi_document


def text() -> str:
    """The document as it is committed: indented, Chinese as it is."""
    return json.dumps(openapi_document(), ensure_ascii=False, indent=2) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(text(), encoding="utf-8")
