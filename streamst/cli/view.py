"""Captions on a terminal while they are made: finished segments scroll up, the current one changes below them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from streamst.events import Caption, Event, Finished, Words

out = Console(highlight=False, markup=False, emoji=False)  # names of files may look like either
err = Console(stderr=True, highlight=False, markup=False, emoji=False)


def duration(seconds: float) -> str:
    """`1:02:03` or `2:03`."""
    whole = int(seconds)
    hours, minutes = whole // 3600, whole // 60 % 60
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"


class CaptionView:
    """Between `open` and `close`. Where the output is no terminal, only finished segments are printed, a line each.

    total_s: length of what will be heard, where it is known [s].
    """

    def __init__(self, total_s: float | None = None, console: Console = out) -> None:
        self.languages: tuple[str, ...] = ()  # that is spoken, that is written; known before the first event
        self.console = console
        self.words = 0
        self.first_word_ms: float | None = None
        self.finished: Finished | None = None
        self.note: Callable[[], str] | None = None  # more to show beside the time
        self._total_s = total_s
        self._heard_ms = 0.0
        self._started = time.monotonic()
        self._current: dict[str, dict[int, Caption]] = {}
        self._printed: set[int] = set()
        self._live = Live(console=console, refresh_per_second=12, transient=True, get_renderable=self._render)
        self._shows_live = console.is_terminal

    def begin(self, source: str, target: str) -> None:
        """The languages are known."""
        self.languages = (source, target)
        self._current = {source: {}, target: {}}

    def open(self) -> None:
        """Start the live region."""
        if self._shows_live:
            self._live.start()

    def close(self) -> None:
        """Stop the live region and print whatever text has not been printed."""
        if self._shows_live:
            self._live.stop()
        self._print_complete(everything=True)

    def show(self, event: Event) -> None:
        """Take an event into view."""
        self._heard_ms = max(self._heard_ms, event.source_ms)
        if isinstance(event, Caption) and event.lang in self._current:
            self._current[event.lang][event.segment] = event
            if event.final:
                self._print_complete()
        elif isinstance(event, Words):
            self.words += len(event.words)
            if self.first_word_ms is None and event.words:
                self.first_word_ms = event.source_ms
        elif isinstance(event, Finished):
            self.finished = event

    def heard(self, source_ms: float) -> None:
        """Audio up to `source_ms` was taken, whether or not that led to an event."""
        self._heard_ms = max(self._heard_ms, source_ms)

    def _print_complete(self, everything: bool = False) -> None:
        """Print, in order, the segments that are final in both languages; at the end all that have text."""
        segments = sorted({segment for captions in self._current.values() for segment in captions})
        for segment in segments:
            captions = [self._current[lang].get(segment) for lang in self.languages]
            if segment in self._printed:
                continue
            if not everything and not all(caption is not None and caption.final for caption in captions):
                break
            self._printed.add(segment)
            for caption in captions:
                text = f"{caption.stable} {caption.unstable if everything else ''}".strip() if caption else ""
                if caption and text:
                    style = "bold" if caption.lang == self.languages[1] else ""
                    self.console.print(Text.assemble((f"{caption.lang}  ", "cyan"), (text, style)), soft_wrap=True)
            for lang in self.languages:
                self._current[lang].pop(segment, None)

    def _render(self) -> Group:
        table = Table.grid(padding=(0, 2))
        table.add_column(style="cyan", no_wrap=True)
        table.add_column()
        for lang in self.languages:
            text = Text()
            for _, caption in sorted(self._current[lang].items()):
                text.append(f"{caption.stable} ", style="bold" if lang == self.languages[1] else "")
                text.append(f"{caption.unstable} " if caption.unstable else "", style="dim italic")
            table.add_row(lang, text)
        of = f" of {duration(self._total_s)}" if self._total_s is not None else ""
        pace = ""
        elapsed_s = time.monotonic() - self._started
        if self._total_s and elapsed_s > 1 and self._heard_ms > 0:
            left_s = max(0.0, self._total_s - self._heard_ms / 1000) * elapsed_s / (self._heard_ms / 1000)
            pace = f", {duration(left_s)} left"
        note = f", {self.note()}" if self.note is not None else ""
        return Group(table, Text(f"heard {duration(self._heard_ms / 1000)}{of}{pace}{note}", style="dim"))


@contextmanager
def shown(what: str) -> Iterator[None]:
    """Tell a person at a terminal what is going on until it is done."""
    with err.status(f"{what} ...") if err.is_terminal else nullcontext():
        yield
