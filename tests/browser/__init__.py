"""The pages in a real browser against the whole system: phone and desk, by clicking and typing only.

A package, so that one browser and one system serve all of it and are gone before the next folder's tests: Playwright's
synchronous interface and asyncio's own loops do not share a thread.
"""
