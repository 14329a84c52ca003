"""A node as a process of its own, for tests that kill it: `python -m tests.chat.node_process PORT`."""

from __future__ import annotations

import sys

from aiohttp import web

from backend.app import create_app
from config.settings import load_settings

if __name__ == "__main__":
    web.run_app(create_app(load_settings()), host="127.0.0.1", port=int(sys.argv[1]), print=None)
