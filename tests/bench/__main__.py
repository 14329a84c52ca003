"""All benchmarks, one after the other: `make bench`. Tables on the terminal, JSON in `bench-results/`.

Each runs in a process of its own, so that none warms or crowds the next. One that needs the shared data and
does not find it says so and is passed over.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

BENCHMARKS = ("search", "import", "http", "chat", "storm", "photo")
RESULTS = Path("bench-results")


def main() -> int:
    """0 when every benchmark ran."""
    failed = []
    for name in BENCHMARKS:
        command = [sys.executable, "-m", f"tests.bench.bench_{name}", "--json", str(RESULTS / f"{name}.json")]
        if subprocess.run(command, check=False).returncode:
            failed.append(name)
    print(f"failed: {', '.join(failed)}" if failed else f"all {len(BENCHMARKS)} ran; JSON in {RESULTS}/")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
