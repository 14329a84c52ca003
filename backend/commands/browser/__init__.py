"""Real browser windows, driven by clicking and typing: shared by the browser tests, the screens and the tour.

Playwright is a development dependency: nothing here is imported before a command or a test asks for a window.
"""
