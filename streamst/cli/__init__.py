"""The command line: one file a group of commands."""

from .command import app, main

__all__ = ["app", "main"]
