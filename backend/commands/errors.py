"""The one error of the commands."""

from __future__ import annotations


class CommandError(Exception):
    """A command cannot do what it was asked; the text is one line for the person at the terminal."""

    def __init__(self, text: str, *, code: int = 1) -> None:
        super().__init__(" ".join(text.split()))
        self.code = code
