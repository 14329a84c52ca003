"""A node as a process of its own: `python -m tests.drills.node PORT [BUG]`, with a planted bug when one is named."""

from __future__ import annotations

import sys

import uvloop
from aiohttp import web

from backend.app import create_app
from config.settings import load_settings
from tests.drills.planted import plant

if __name__ == "__main__":
    for bug in sys.argv[2:]:
        plant(bug)
    uvloop.install()
    web.run_app(create_app(load_settings()), host="127.0.0.1", port=int(sys.argv[1]), print=None)
