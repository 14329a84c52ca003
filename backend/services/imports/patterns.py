"""Regular expressions out of uploaded mappings, kept from holding up the worker.

Python's `re` cannot be interrupted and holds the interpreter while it searches: one pattern that tries
everything would stop all other work. So only patterns are taken whose work is bounded by their form, and
they are only applied to texts of a bounded length (`MAX_TEXT`).
"""

from __future__ import annotations

import re
from re import _constants as constants  # type: ignore[attr-defined]  # the parser of `re`, without stubs
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

#: Longer patterns are not needed for separators and fillers.
MAX_PATTERN = 300
#: What an open repetition ("+") counts for; two of them are more than `_MAX_WAYS`.
_OPEN = 1000
#: In so many ways a pattern may be tried at one place of a text.
_MAX_WAYS = 5000

_SINGLE = {constants.LITERAL, constants.NOT_LITERAL, constants.IN, constants.ANY}
_REPEATS = {constants.MAX_REPEAT, constants.MIN_REPEAT, constants.POSSESSIVE_REPEAT}


class UnsafePattern(Exception):
    """A pattern that could take for ever."""


def compile_safe(text: str) -> re.Pattern[str]:
    """`text` compiled. Raises `re.error` for a broken pattern, `UnsafePattern` for a costly one."""
    if len(text) > MAX_PATTERN:
        raise UnsafePattern
    try:
        if _ways(parser.parse(text)) > _MAX_WAYS:
            raise UnsafePattern
        return re.compile(text)
    except (RecursionError, OverflowError) as error:
        raise UnsafePattern from error


def _ways(items: Any) -> int:
    """In how many ways a sequence can be tried at one place, at most."""
    ways = 1
    for operation, value in items:
        ways *= _ways_of(operation, value)
    return ways


def _ways_of(operation: Any, value: Any) -> int:
    if operation in _SINGLE or operation is constants.AT:
        return 1
    if operation is constants.SUBPATTERN:
        return _ways(value[3])
    if operation is constants.BRANCH:
        return sum(_ways(branch) for branch in value[1])
    if operation in (constants.ASSERT, constants.ASSERT_NOT):
        return _ways(value[1])
    if operation in _REPEATS:
        least, most, body = value
        if not _plain(body):
            raise UnsafePattern  # a repetition of something that can be read in several ways
        return int(min(most - least + 1, _OPEN))
    raise UnsafePattern  # references back, conditions


def _plain(items: Any) -> bool:
    """Whether a sequence can be read in one way alone, and is not empty."""
    return bool(items) and all(
        operation in _SINGLE or (operation is constants.SUBPATTERN and _plain(value[3])) for operation, value in items
    )
