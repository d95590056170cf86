"""Errors that speak to the user in one line."""

from __future__ import annotations


class UserError(ValueError):
    """A mistake in what the user asked for; the message is one line that names the fix.

    The plugin shows it with the user's file and line, without a traceback of its own.
    """


class Unsupported(UserError):
    """What was asked for is right, but cannot be had here: the benchmark is skipped."""


def add_note(error: BaseException, note: str) -> None:
    """Attach a line to an error that passes through; tracebacks show it from Python 3.11 on."""
    notes = [*getattr(error, "__notes__", ()), note]
    error.__dict__["__notes__"] = notes
