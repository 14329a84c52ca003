"""`run.py create-admin`: one more administrator, with a password that is printed once."""

from __future__ import annotations

import argparse
import asyncio

from backend.commands.environment import read_connected_settings
from backend.commands.errors import CommandError
from backend.commands.logs import configure_logging
from backend.commands.terminal import say
from backend.composition import open_services
from backend.domain.access import SYSTEM, Role
from backend.domain.errors import DomainError
from backend.services.staff import NewStaff, StaffCredentials
from config.settings import Settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("username", metavar="用户名 USERNAME", help="登录名 / login name")
    parser.add_argument("--name", help="姓名 / the person's name (default: the login name)")


def run(options: argparse.Namespace) -> int:
    """Create the account in the running system's database, or in MONGO_URL's."""
    settings, _ = read_connected_settings()
    configure_logging(settings.model_copy(update={"log_level": "warning"}), process="create-admin")
    try:
        made = asyncio.run(_create(settings, options.username.strip().lower(), options.name))
    except DomainError as error:
        raise CommandError(f"{options.username}: {error}") from None
    say(f"{made.staff.username}  {made.password}")
    say("密码只显示这一次，首次登录后须修改。 / The password is shown this once; change it at the first login.")
    return 0


async def _create(settings: Settings, username: str, name: str | None) -> StaffCredentials:
    async with open_services(settings) as services:
        return await services.staff.create(
            SYSTEM, NewStaff(username=username, name=name or username, roles=frozenset({Role.ADMIN}))
        )
