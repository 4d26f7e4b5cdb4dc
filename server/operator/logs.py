"""What the service logs and how: lines for people, or one JSON object a line for machines.

Never text, audio or tokens. An address may carry a key where a client puts it there against our advice, so uvicorn's
lines about handshakes, which quote addresses, are left out.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable

from .config_file import LogFormat

TEXT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
LINES_A_MINUTE, KINDS_REMEMBERED = 600, 1000
EXTRAS = ("session", "code", "name_of_code", "address")  # fields of a record that lines of ours may have


class JsonFormatter(logging.Formatter):
    """One object a record: time, level, logger, message, and what was given as `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as JSON."""
        at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        told: dict[str, object] = {
            "time": f"{at}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        told |= {name: record.__dict__[name] for name in EXTRAS if name in record.__dict__}
        if record.exc_info:
            told["exception"] = self.formatException(record.exc_info)
        return json.dumps(told, ensure_ascii=False, default=str)


class Bounded(logging.Filter):
    """Lets so many lines of a kind through in a minute, and says how many it kept back: strangers cause most."""

    def __init__(self, most: int = LINES_A_MINUTE, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._most, self._now = most, now
        self._seen: dict[str, tuple[float, int]] = {}  # by kind: since when, and how many

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line goes out; a kind is what the program wrote, whatever was filled in."""
        kind, now = f"{record.name} {record.msg}"[:200], self._now()
        if len(self._seen) > KINDS_REMEMBERED:
            self._seen.clear()
        since, count = self._seen.get(kind, (now, 0))
        if now - since >= 60:
            if count > self._most:
                record.msg = f"{record.getMessage()} ({count - self._most} lines like this were left out)"
                record.args = None
            since, count = now, 0
        self._seen[kind] = (since, count + 1)
        return count < self._most or (record.levelno >= logging.ERROR and count < 10 * self._most)


def configure_logging(form: LogFormat = "text", verbose: bool = False) -> None:
    """Log to stderr. JSON tells of every session; text does where `verbose`, and else only of trouble."""
    handler = logging.StreamHandler()
    handler.addFilter(Bounded())
    handler.setFormatter(JsonFormatter() if form == "json" else logging.Formatter(TEXT))
    level = logging.INFO if verbose or form == "json" else logging.WARNING
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
