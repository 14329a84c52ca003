"""`python -m backend.wechat_standin --port N [--state FILE]`: the stand-in as a process."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys
from pathlib import Path

from aiohttp import web

from backend.wechat_standin.app import DEFAULT_APPID, DEFAULT_SECRET, create_standin_app
from backend.wechat_standin.store import StateFileError

HOST = "127.0.0.1"  # not an option: this server hands out identities


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM. Prints its address once it answers; 1 when it cannot start."""
    parser = argparse.ArgumentParser(
        prog="python -m backend.wechat_standin",
        description="A server that behaves like WeChat's, for trying, developing and testing.",
    )
    parser.add_argument("--port", type=int, required=True, help="0 takes a free one")
    parser.add_argument("--state", type=Path, help="JSON file that keeps created users")
    parser.add_argument("--appid", default=DEFAULT_APPID)
    parser.add_argument("--secret", default=DEFAULT_SECRET)
    parser.add_argument("--app-url", help="where the fake phone opens the mini-program's H5")
    options = parser.parse_args(arguments)
    try:
        asyncio.run(_serve(options.port, options.state, options.appid, options.secret, options.app_url))
    except StateFileError as error:
        sys.stderr.write(f"wechat stand-in: {error}\n")
        return 1
    except OSError as error:
        sys.stderr.write(f"wechat stand-in: port {options.port}: {error.strerror or error}\n")
        return 1
    return 0


async def _serve(port: int, state: Path | None, appid: str, secret: str, app_url: str | None) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    app = create_standin_app(appid=appid, secret=secret, state_file=state, app_url=app_url)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=2)
    await runner.setup()
    try:
        await web.TCPSite(runner, HOST, port).start()
        bound = runner.addresses[0][1]
        with contextlib.suppress(BrokenPipeError):
            sys.stdout.write(f"wechat stand-in: http://{HOST}:{bound}\n")
            sys.stdout.flush()
        await stopped.wait()
    finally:
        await runner.cleanup()


if __name__ == "__main__":
    sys.exit(main())
