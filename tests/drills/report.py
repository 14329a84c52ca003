"""What was drilled: `python -m tests.drills.report [RUNS]`.

The table of the last run, and a line for each of the last RUNS.
"""

from __future__ import annotations

import argparse

from tests.drills.results import FOLDER, compared, file, read, told


def main() -> None:
    parser = argparse.ArgumentParser(description=f"What `make drills` wrote into {file()} ({FOLDER} is its folder).")
    parser.add_argument("runs", nargs="?", type=int, default=3, help="how many of the last runs are compared")
    count: int = parser.parse_args().runs
    if not file().exists():
        parser.exit(1, f"nothing was drilled yet: there is no {file()}\n")
    runs = list(read(file()).values())[-count:]
    print(told(runs[-1]))
    print(compared(runs))


if __name__ == "__main__":
    main()
