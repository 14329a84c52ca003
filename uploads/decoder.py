"""The process that decodes, started by `uploads.workers`.

`python -m uploads.decoder MEMORY_BYTES CPU_SECONDS MAX_BYTES` speaks over its standard
streams and knows nothing of the product: no settings, no database, no loop.

- At start, when it is ready to work, one empty frame.
- Request: one line of JSON, `{"path": …}`. Reply: one frame.
- Frame: length of the head (4 bytes, big-endian), the head (JSON), then the bytes of the page and of the
  thumbnail, whose lengths stand in the head.

It ends when its standard input does. What binds it stands in `_bind`.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from backend.domain.errors import DomainError

#: Where a worker yields to the processes that talk to people (`nice`, 0–19).
NICENESS = 10


def main(memory_bytes: int, cpu_seconds: int, max_bytes: int) -> None:
    """Serve requests until standard input ends; each file of `max_bytes`, in `cpu_seconds`, in `memory_bytes`."""
    requests = os.fdopen(os.dup(0), "rb")
    replies = os.fdopen(os.dup(1), "wb")
    # A library that prints must not speak into the protocol.
    with Path(os.devnull).open("rb+") as nothing:
        os.dup2(nothing.fileno(), 0)
        os.dup2(nothing.fileno(), 1)
    _bind(memory_bytes)
    from uploads.normalise import normalise_file  # Pillow loads under the limits

    gc.freeze()
    _frame(replies, {})
    for line in requests:
        _allow_cpu(cpu_seconds)
        started = time.process_time()
        try:
            photo = normalise_file(Path(json.loads(line)["path"]), max_bytes=max_bytes)
        except DomainError as error:
            head: dict[str, object] = {"error": error.code, "detail": error.detail, "extra": error.extra}
            _frame(replies, head)
        else:
            head = {
                "width": photo.width,
                "height": photo.height,
                "sha256": photo.sha256,
                "media_type": photo.media_type,
                "page": len(photo.page),
                "thumbnail": len(photo.thumbnail),
                "cpu_ms": round((time.process_time() - started) * 1000, 1),
            }
            _frame(replies, head, photo.page, photo.thumbnail)


def _bind(memory_bytes: int) -> None:
    """Take away what decoding does not need, before anything hostile is read."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the server ends us
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core file would be the citizen's photograph
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # writes no file at all
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    os.nice(NICENESS)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500")  # rather us than the server


def _allow_cpu(seconds: int) -> None:
    """The kernel ends us after `seconds` more of CPU, also when the server is no longer there to do it."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime) + 1 + seconds, hard))


def _frame(replies: BinaryIO, head: dict[str, object], *bodies: bytes) -> None:
    encoded = json.dumps(head).encode()
    replies.write(len(encoded).to_bytes(4, "big") + encoded)
    replies.writelines(bodies)
    replies.flush()


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:4]))
