"""What a start owes the database: `python -m backend.commands.prepare_process ANSWER`.

Migrations and, in an empty database, the district and its first accounts. ANSWER receives a JSON document
for `run.py serve` to greet with.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from backend.commands import orders
from backend.commands.environment import read_settings
from backend.commands.errors import CommandError
from backend.commands.first_start import prepare
from backend.commands.logs import configure_logging
from backend.commands.terminal import complain
from backend.domain.errors import DomainError
from config.sample_district import SampleDistrictError


def main() -> int:
    """Prepare, write the answer, exit."""
    orders.receive()
    try:
        settings = read_settings()
        configure_logging(settings, process="prepare")
        prepared = asyncio.run(prepare(settings))
    except (CommandError, DomainError, SampleDistrictError) as error:
        complain(f"prepare: {error}")
        return 1
    answer = Path(sys.argv[1])
    answer.touch(mode=0o600)
    answer.write_text(json.dumps(prepared), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
