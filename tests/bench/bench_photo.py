"""A 12-megapixel photograph: CPU of our pipeline beside bare Pillow, interleaved in one run.

`python -m tests.bench.bench_photo [--rounds N] [--json FILE]`. The goal is 100 ms of CPU from request to
stored page with thumbnail (aim 70), and is judged on the `cpu_ms` of our rows.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import io
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from PIL import Image, ImageOps

from tests.bench.report import report
from tests.uploads.samples import photo
from uploads.normalise import normalise_file
from uploads.workers import PhotoWorkers, WorkerLimits

NAIVE, OURS, POOLED = "bare Pillow: open, transpose, thumbnail", "ours, in process", "ours, through the pool"


def sample(folder: Path) -> Path:
    """A phone's photograph of a page: 4032 × 3024, about 3 MB, lying on its side."""
    path = folder / "photo.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    photo(4032, 3024, seed_sigma=25).save(path, "JPEG", quality=85, exif=exif.tobytes())
    return path


def naive(path: Path) -> None:
    """What one writes with Pillow's documentation open."""
    with Image.open(path) as image:
        page = ImageOps.exif_transpose(image).convert("RGB")
    page.thumbnail((2048, 2048), Image.Resampling.LANCZOS)
    body = io.BytesIO()
    page.save(body, "JPEG", quality=85)
    hashlib.sha256(body.getvalue()).hexdigest()
    small = page.copy()
    small.thumbnail((320, 320), Image.Resampling.LANCZOS)
    small.save(io.BytesIO(), "JPEG", quality=80)


def cpu_ms(work: Callable[[], object]) -> tuple[float, float]:
    """CPU and wall milliseconds of `work()` in this process."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return (time.process_time() - cpu) * 1000, (time.perf_counter() - wall) * 1000


def children_cpu(pids: frozenset[int]) -> float:
    """CPU milliseconds that living children have used."""
    ticks = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in pids]
    return sum(int(fields[11]) + int(fields[12]) for fields in ticks) * 10.0


async def pooled(workers: PhotoWorkers, path: Path) -> tuple[float, float]:
    """CPU (server's and process's) and wall milliseconds of one photograph through the pool."""
    wall, cpu, children = time.perf_counter(), time.process_time(), children_cpu(workers.pids)
    await workers.normalise(path)
    spent = (time.process_time() - cpu) * 1000 + children_cpu(workers.pids) - children
    return spent, (time.perf_counter() - wall) * 1000


async def measure(path: Path, rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Interleaved samples of the three pipelines; the first round warms up and is dropped."""
    found: dict[str, list[tuple[float, float]]] = {NAIVE: [], OURS: [], POOLED: []}
    async with PhotoWorkers(WorkerLimits(processes=1, wait_seconds=30, decode_seconds=30)) as workers:
        for _ in range(rounds + 1):
            found[NAIVE].append(cpu_ms(lambda: naive(path)))
            found[OURS].append(cpu_ms(lambda: normalise_file(path)))
            found[POOLED].append(await pooled(workers, path))
    return {name: samples[1:] for name, samples in found.items()}


def main() -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--json", type=Path, default=Path("bench-results/photo.json"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = sample(Path(folder))
        size = path.stat().st_size
        found = asyncio.run(measure(path, options.rounds))
    base = statistics.mean(cpu for cpu, _ in found[NAIVE])
    rows = [
        {
            "pipeline": name,
            "cpu_ms": round(statistics.mean(cpu for cpu, _ in samples), 1),
            "wall_ms_median": round(statistics.median(wall for _, wall in samples), 1),
            "share_of_bare": round(statistics.mean(cpu for cpu, _ in samples) / base, 3),
        }
        for name, samples in found.items()
    ]
    report(f"photograph 4032×3024, {size / 1e6:.1f} MB, {options.rounds} rounds", rows, options.json)


if __name__ == "__main__":
    main()
