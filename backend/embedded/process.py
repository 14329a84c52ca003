"""One server child: started in a folder of its own, tied to our life, stopped cleanly."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import itertools
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from backend.embedded import ports
from backend.embedded.binaries import Prefer, Program, find_program
from backend.embedded.errors import EmbeddedError

_PR_SET_PDEATHSIG = 1
_POLL = 0.02
_LOG_KEPT = 20 * 1024 * 1024
_TRIES = 4


def _load_prctl() -> Callable[[int, int], int] | None:
    if not sys.platform.startswith("linux"):
        return None
    # Loaded here, in the parent: between fork and exec the child must not import or allocate much.
    prctl: Callable[[int, int], int] = ctypes.CDLL(None, use_errno=True).prctl
    return prctl


_prctl = _load_prctl()


def die_with_parent(parent: int, last_signal: int = signal.SIGTERM) -> Callable[[], None]:
    """A `preexec_fn` by which the kernel ends the child when its parent dies, however it dies."""

    def prepare() -> None:
        if _prctl is not None:
            _prctl(_PR_SET_PDEATHSIG, last_signal)
            if os.getppid() != parent:  # it died before the call took effect
                os._exit(1)

    return prepare


class PortTaken(Exception):
    """The child lost its port to another program between the probe and its own bind."""


class ServerProcess:
    """What mongod and redis-server have in common; subclasses say how to start and when ready."""

    program: Program
    needed_free_bytes: int
    stop_seconds = 20.0

    def __init__(self, folder: Path | str, *, prefer: Prefer = "auto", start_seconds: float = 60.0) -> None:
        """Keep everything below `folder`; `start()` gives up after `start_seconds`."""
        self.folder = Path(folder).absolute()
        self.log_file = self.folder / f"{self.program.name}.log"
        self.port = 0
        self.cancelled: Callable[[], bool] = lambda: False
        """Asked while starting: True ends the start with an `EmbeddedError`."""
        self._prefer = prefer
        self._start_seconds = start_seconds
        self._child: subprocess.Popen[bytes] | None = None
        self._lock: IO[str] | None = None
        self._deadline = 0.0
        self._log_begins = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int | None:
        """Process id of the running child."""
        return self._child.pid if self._child and self._child.poll() is None else None

    @property
    def running(self) -> bool:
        """Whether the child is alive."""
        return self.pid is not None

    def start(self) -> None:
        """Start the server and return when it serves.

        Raises:
            EmbeddedError: it cannot run here; nothing is left running.

        """
        if self.running:
            return
        self._deadline = time.monotonic() + self._start_seconds
        try:
            self._prepare_folder()
            self._end_orphan()
            binary = find_program(self.program, self._prefer, self.folder)
            self._start_on_a_port(binary)
        except BaseException as error:
            self.stop(patience=2.0)
            if isinstance(error, OSError):
                raise EmbeddedError(self._explain_os_error(error)) from error
            raise

    def stop(self, patience: float | None = None) -> None:
        """End the server: SIGTERM, then SIGKILL after `patience` seconds. Idempotent."""
        self._end_child(self.stop_seconds if patience is None else patience)
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    # --- for subclasses -------------------------------------------------------------------

    def _arguments(self) -> Sequence[str]:
        raise NotImplementedError

    def _before_start(self, binary: Path) -> None:
        """Whatever the folder needs before the server may start on `self.port`."""

    def _wait_until_ready(self) -> None:
        raise NotImplementedError

    def _wait_for(self, condition: Callable[[], bool], what: str) -> None:
        """Poll until `condition()`; raise when the child ends or time is up."""
        while not condition():
            if self._child is None or self._child.poll() is not None:
                raise self._died()
            if self.cancelled():
                raise EmbeddedError(f"the start of {self.program.name} was interrupted")
            if time.monotonic() > self._deadline:
                raise EmbeddedError(
                    f"{self.program.name} did not {what} within {self._start_seconds:.0f} s: see {self.log_file}"
                )
            time.sleep(_POLL)

    # --- inside ---------------------------------------------------------------------------

    @property
    def _pid_file(self) -> Path:
        return self.folder / "pid"

    @property
    def _port_file(self) -> Path:
        return self.folder / "port"

    @property
    def _error_file(self) -> Path:
        return self.folder / f"{self.program.name}.err"

    def _prepare_folder(self) -> None:
        (self.folder / "data").mkdir(parents=True, exist_ok=True)
        if self._lock is None:
            # "a": another process holds its own pid in there until we have the lock.
            self._lock = (self.folder / "lock").open("a+", encoding="ascii")
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._lock.seek(0)
                owner = self._lock.read().strip() or "unknown"
                self._lock.close()
                self._lock = None
                raise EmbeddedError(f"{self.folder} is in use by process {owner}: stop it first") from None
            self._lock.truncate(0)
            self._lock.write(f"{os.getpid()}\n")
            self._lock.flush()
        free = shutil.disk_usage(self.folder).free
        if free < self.needed_free_bytes:
            raise EmbeddedError(
                f"no room for {self.program.name}: {free // 2**20} MB free at {self.folder}, "
                f"{self.needed_free_bytes // 2**20} MB needed; free some disk space "
                f"or set {self.program.variable}"
            )
        if self.log_file.exists() and self.log_file.stat().st_size > _LOG_KEPT:
            self.log_file.replace(self.log_file.with_suffix(".log.1"))

    def _end_orphan(self) -> None:
        """End the child of a parent that was killed, if it is still on its way out."""
        try:
            pid = int(self._pid_file.read_text(encoding="ascii"))
        except (OSError, ValueError):
            return
        # It got SIGTERM when its parent died; give it time to finish cleanly.
        for last_signal, seconds in ((None, 5.0), (signal.SIGTERM, 10.0), (signal.SIGKILL, 5.0)):
            if last_signal is not None and self._is_ours(pid):
                os.kill(pid, last_signal)
            until = time.monotonic() + seconds
            while self._is_ours(pid) and time.monotonic() < until:
                time.sleep(_POLL)
        self._pid_file.unlink(missing_ok=True)

    def _is_ours(self, pid: int) -> bool:
        """Whether `pid` is a living server of this very folder (a zombie has no command line)."""
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            return False
        return os.fsencode(self.folder / "data") in words

    def _start_on_a_port(self, binary: Path) -> None:
        for port in itertools.islice(ports.candidates(self._port_file), _TRIES):
            self.port = port
            try:
                self._before_start(binary)
                self._spawn(binary, self._arguments())
                self._wait_until_ready()
            except PortTaken:
                continue
            ports.keep_port(self._port_file, self.port)
            return
        raise EmbeddedError(f"{self.program.name} found no free port on 127.0.0.1")

    def _spawn(self, binary: Path, arguments: Sequence[str]) -> None:
        self._log_begins = self.log_file.stat().st_size if self.log_file.exists() else 0
        with self._error_file.open("wb") as output:
            self._child = subprocess.Popen(
                [str(binary), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self.folder,
                # Its own session: a Ctrl-C of the terminal reaches us alone, and we choose the
                # order in which things stop.
                start_new_session=True,
                preexec_fn=die_with_parent(os.getpid()),
            )
        self._pid_file.write_text(f"{self._child.pid}\n", encoding="ascii")

    def _end_child(self, patience: float) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        if child.poll() is None:
            child.terminate()
            try:
                child.wait(patience)
            except subprocess.TimeoutExpired:
                child.kill()
        child.wait()
        self._pid_file.unlink(missing_ok=True)

    def _died(self) -> Exception:
        """The meaning of an early end, read from its exit status and its own words."""
        name = self.program.name
        code = self._child.wait() if self._child else 0
        said = _tail(self._error_file, 0) + _tail(self.log_file, self._log_begins)
        library = re.search(r"(\S+\.so[.\d]*): cannot open shared object file", said)
        if library:
            hint = "apt-get install libcurl4 libssl3" if name == "mongod" else "install it"
            return EmbeddedError(
                f"{name} needs the shared library {library[1]}: {hint} (Debian, Ubuntu), or set {self.program.variable}"
            )
        needs = re.search(r"version `(\S+)' not found", said)
        if needs:
            return EmbeddedError(
                f"{name} needs {needs[1]}, newer than this system's: "
                f"install {name} from your system's packages or set {self.program.variable}"
            )
        if "Address already in use" in said:
            return PortTaken()
        if "No space left on device" in said:
            return EmbeddedError(f"no room for {name}: the disk of {self.folder} is full")
        if code == -signal.SIGILL:
            return EmbeddedError(
                f"this processor cannot run {name} (it needs AVX): "
                f"use an older {name} on PATH or set {self.program.variable}"
            )
        if "Permission denied" in said or "Read-only file system" in said:
            return EmbeddedError(f"{name} cannot write to {self.folder}: check its permissions")
        how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
        return EmbeddedError(f"{name} ended at once {how}: see {self.log_file}")

    def _explain_os_error(self, error: OSError) -> str:
        name, variable = self.program.name, self.program.variable
        if error.errno == errno.ENOEXEC:
            return (
                f"{name} is built for another kind of machine than {os.uname().machine}: "
                f"install {name} for this one or set {variable}"
            )
        if error.errno == errno.ENOENT and error.filename and name in str(error.filename):
            return (
                f"{name} cannot start, its system loader is missing (it needs glibc): "
                f"install {name} for this system or set {variable}"
            )
        if error.errno == errno.ENOSPC:
            return f"no room for {name}: the disk of {self.folder} is full"
        if error.errno == errno.EACCES and str(error.filename).endswith(name):
            return f"{error.filename} may not be executed (mounted noexec?): set {variable}"
        return f"cannot write to {self.folder}: {error.strerror}; check its permissions"


def _tail(file: Path, begin: int, size: int = 65_536) -> str:
    """The end of what was written from `begin` on."""
    try:
        with file.open("rb") as stream:
            stream.seek(max(begin, file.stat().st_size - size))
            return stream.read().decode(errors="replace")
    except OSError:
        return ""
