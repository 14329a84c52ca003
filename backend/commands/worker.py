"""`run.py worker`: one more background worker beside a running system, or on a host of its own."""

from __future__ import annotations

import argparse

import uvloop

from backend.commands.environment import read_connected_settings
from backend.commands.errors import CommandError
from backend.commands.logs import configure_logging
from backend.domain.errors import DomainError
from backend.worker import run_worker


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """No options: everything comes from the settings."""


def run(options: argparse.Namespace) -> int:
    """Work until Ctrl-C or SIGTERM."""
    settings, _ = read_connected_settings()
    configure_logging(settings, process="worker")
    try:
        uvloop.run(run_worker(settings))
    except DomainError as error:
        raise CommandError(str(error)) from None
    return 0
