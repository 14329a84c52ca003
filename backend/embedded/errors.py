"""The one error of the embedded servers."""

from __future__ import annotations


class EmbeddedError(Exception):
    """An embedded server cannot run here.

    The text is one line for the person at the terminal: what is wrong, and what to do about it.
    """
