"""Decisions and facts → text, JSON, SARIF, JUnit, GitHub annotations. Values in, text out.

No file, terminal or clock is touched here, but by ``page.paint`` and ``progress``, which are
handed the stream they write to.
"""
