#!/usr/bin/env python3
"""办事 Banshi: the one entry point. `python run.py` is the whole system on one machine.

Only this file runs before the virtual environment is known to be there, so it imports the standard library
alone and stays readable for older Pythons, which it sends to the environment that `make run` makes.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import sys

ROOT = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 - old Pythons come here, too
VENV_PYTHON = os.path.join(ROOT, ".venv", "bin", "python")  # noqa: PTH118

#: Sub-command → (module in backend/commands, help).
COMMANDS = {
    "serve": ("serve", "启动整个系统（默认） / run the whole system (the default)"),
    "restart": ("restart", "逐个更换运行中的进程，不中断服务 / replace the running processes one by one"),
    "worker": ("worker", "只运行后台任务进程 / run one more background worker"),
    "import-matters": ("import_matters", "导入事项清单 / import a catalogue of matters"),
    "tour": ("tour", "走一遍主要流程并检查 / play the main job against the running system and check it"),
    "doctor": ("doctor", "检查运行中的系统和本机条件 / check the running system and this machine"),
    "screens": ("screens", "重新生成 docs/screens 里的页面图片 / draw the pictures in docs/screens anew"),
    "build-web": ("build_web", "构建网页 / build the pages"),
    "new-epoch": (
        "new_epoch",
        "恢复备份后让客户端重新取回咨询 / after a restore, let clients fetch consultations anew",
    ),
    "create-admin": ("create_admin", "新建管理员账号 / create an administrator"),
}

_NEEDED = ("aiohttp", "motor", "redis", "socketio", "wechatpy", "PIL", "pydantic_settings", "structlog", "uvloop")


def main(arguments: list[str]) -> int:
    """Parse, dispatch, and turn what people can mend into one line."""
    if sys.version_info < (3, 11) or any(importlib.util.find_spec(name) is None for name in _NEEDED):
        return _elsewhere(arguments)
    if not arguments or (arguments[0].startswith("-") and arguments[0] not in ("-h", "--help")):
        arguments = ["serve", *arguments]

    from backend.commands.errors import CommandError

    parser = argparse.ArgumentParser(
        prog="run.py",
        description="办事 Banshi：政务服务小程序的后端 / the backend of a government services mini-program",
        epilog="`run.py 命令 --help` 查看各命令的选项 / shows a command's options. 设置 settings: config/example.env",
    )
    commands = parser.add_subparsers(dest="command", metavar="命令 COMMAND", required=True)
    for name, (module, text) in COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text)
        if name == arguments[0]:  # the others' libraries are not needed
            importlib.import_module(f"backend.commands.{module}").add_arguments(command)
    options = parser.parse_args(arguments)
    try:
        code = importlib.import_module(f"backend.commands.{COMMANDS[options.command][0]}").run(options)
    except CommandError as error:
        print(f"banshi: {error}", file=sys.stderr)
        return error.code
    except KeyboardInterrupt:
        return 130
    return int(code)


def _elsewhere(arguments: list[str]) -> int:
    """Go on in the virtual environment of this checkout, or say how to make it."""
    if os.path.exists(VENV_PYTHON) and "BANSHI_IN_VENV" not in os.environ:  # noqa: PTH110
        os.environ["BANSHI_IN_VENV"] = "1"
        os.execv(VENV_PYTHON, [VENV_PYTHON, os.path.join(ROOT, "run.py"), *arguments])  # noqa: PTH118, S606
    print(
        "banshi: 依赖未安装，请运行 make run / dependencies are missing: run `make run` (it installs them)",
        file=sys.stderr,
    )
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
