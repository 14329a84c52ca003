"""`python -m backend.commands.openapi FILE`: write the OpenAPI document of the handlers to FILE."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from backend.app import openapi_document


def main() -> int:
    """Write it as the repository keeps it: sorted by nothing, two spaces, real characters."""
    text = json.dumps(openapi_document(), ensure_ascii=False, indent=2) + "\n"
    Path(sys.argv[1]).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
