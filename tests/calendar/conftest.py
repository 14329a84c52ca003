"""The office of the case tests, for what the calendar does to its cases."""

from tests.cases.conftest import office

__all__ = ["office"]
