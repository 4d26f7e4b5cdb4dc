"""A limit for every test: one that hangs fails by its name and ends the run, with what every thread was doing."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import signal
from collections.abc import Generator, Iterator

import pytest

LIMIT_S = 900.0  # of a test, its fixtures apart: far more than any takes on a busy machine
CLEANING_S = 30.0  # after one that hung, of each thing that is still to be ended
LAST_S = 300.0  # after it, of all of them

_ERRORS = pytest.StashKey[int]()  # where errors are shown, whatever is captured
_HUNG = pytest.StashKey[bool]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """See pytest."""
    parser.addini("test_limit_s", "how long a test may take [s]", default=str(LIMIT_S))


def pytest_configure(config: pytest.Config) -> None:
    """See pytest."""
    config.stash[_ERRORS] = os.dup(2)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, object, object]:
    """See pytest."""
    with _limited(item):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """See pytest."""
    with _limited(item):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, object, object]:
    """See pytest."""
    with _limited(item):
        return (yield)


@contextlib.contextmanager
def _limited(item: pytest.Item) -> Iterator[None]:
    limit_s = float(item.config.getini("test_limit_s"))

    def strike(*_: object) -> None:
        told = f"{item.nodeid} took longer than {limit_s:g} s: see what every thread was doing"
        if not item.config.stash.get(_HUNG, False):
            item.config.stash[_HUNG] = True
            item.session.shouldstop = told
            errors = item.config.stash[_ERRORS]
            os.write(errors, f"\n{told}\n".encode())
            faulthandler.dump_traceback(errors)
            faulthandler.dump_traceback_later(LAST_S, exit=True, file=errors)
        pytest.fail(told)

    before = signal.signal(signal.SIGALRM, strike)
    signal.setitimer(signal.ITIMER_REAL, CLEANING_S if item.config.stash.get(_HUNG, False) else limit_s, CLEANING_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
