"""One session's room: what it says is put down once, and read by every listener at a pace of their own."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass

from streamst.codecs.base import Codec
from streamst.errors import ProtocolError
from streamst.events import Caption, Speech
from streamst.server.operator.metrics import Metrics
from streamst.server.operator.options import ServerOptions
from streamst.server.wire import codes
from streamst.server.wire.native import answer_message
from streamst.server.wire.seam import Answer, Closed, Message, Offer, RoomState
from streamst.server.wire.summary import Summary
from streamst.subtitles import CaptionTrack

from .coder import Coder
from .hls import LiveSegments
from .member import Member
from .tape import Coding, Entry, Tape
from .wire import Wish

log = logging.getLogger("streamst.server")

KEPT_S = 60.0  # how much of the past a listener gets who comes late or comes back
AT_A_TIME = 250  # listeners who are told of news without a break
MOST_CODINGS = 8  # of one room at once
MOST_WAITING = 200  # answers that wait for speech to be coded: further speech is left out


@dataclass(frozen=True)
class Setting:
    """What the rooms of a server share."""

    options: ServerOptions
    metrics: Metrics
    offer: Callable[[], Offer]
    codec: Callable[[], Codec | None]
    threads: Executor  # that code speech


class Room:
    """`Audience` of one session. Lives on the event loop."""

    def __init__(self, setting: Setting, now: Callable[[], float] = time.monotonic) -> None:
        self.id, self.token = secrets.token_hex(6), secrets.token_urlsafe(12)
        self.tape = Tape(KEPT_S)
        self.track = CaptionTrack()
        self._live: dict[tuple[str, ...], LiveSegments] = {}  # by their languages, where somebody asked
        self.members: set[Member] = set()
        self.begun = False
        self.over_s: float | None = None  # since when
        self.on_end: Callable[[], None] = lambda: None
        self._setting, self._now = setting, now
        self._offer = setting.offer()
        self._coders: dict[Coding, Coder] = {}
        self._waiting: asyncio.Queue[tuple[Answer, float, float]] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None
        self._last_speech: Speech | None = None
        self._closing = False

    # --- the speaker's side

    def hear(self, answer: Answer, emit_ms: float) -> None:
        """See `Audience`."""
        if self._closing:
            return
        self.begun = True
        match answer:
            case Caption():
                self.track.add(answer)
                for live in self._live.values():
                    live.add(answer, self._now())
            case Speech() if self._waiting.qsize() >= MOST_WAITING:
                self._setting.metrics.uncoded_s.inc(len(answer.pcm) / answer.sample_rate_hz)
                return
            case Speech() | Closed():
                pass
            case _:
                return
        if self._task is None:
            self._task = asyncio.create_task(self._put_down(), name=f"room {self.id}")
        self._closing = isinstance(answer, Closed)
        self._waiting.put_nowait((answer, emit_ms, self._now()))

    def end(self, reason: str) -> None:
        """See `Audience`."""
        self.hear(Closed(Summary(reason=reason)), 0.0)

    def state(self) -> RoomState:
        """See `Audience`."""
        lags = sorted(member.lag_s for member in self.members if member.lag_s is not None)
        middle, late = (1000 * lags[(len(lags) * share - 1) // 100] if lags else None for share in (50, 95))
        url = f"/listen/{self.id}#{self.token}"
        return RoomState(self.id, self.token, url, len(self.members), middle, late)

    # --- the listeners' side

    def opens(self, token: str | None) -> bool:
        """Whether `token` is this room's; takes as long whatever it is."""
        return secrets.compare_digest(self.token.encode(), (token or "").encode(errors="replace"))

    def join(self, wish: Wish, after: int | None) -> Member:
        """A new listener, or one who comes back; ProtocolError 4400 for wishes or a number that cannot be."""
        self.want(wish)
        if after is not None and after > self.tape.newest:
            reason = f"after: {after} was never said; the last one is {self.tape.newest}"
            raise ProtocolError(reason, codes.BAD_PARAMETER)
        behind_s = self._setting.options.listener_behind_s
        member = Member(self.tape, self._offer.source, wish, after, behind_s, self._now)
        self.members.add(member)
        return member

    def part(self, member: Member) -> None:
        """A listener went."""
        self._keep_wanted()
        self.members.discard(member)

    def want(self, wish: Wish) -> None:
        """Have speech coded as `wish` says, from now on; ProtocolError 4400 or 4429 where it cannot be."""
        coding = wish.coding
        if coding is None:
            return
        if "audio" not in self._offer.output:
            raise ProtocolError("this server has no voice: listen without audio", codes.BAD_PARAMETER)
        if coding not in self._coders:
            self._forget_coders()
            if len(self._coders) >= MOST_CODINGS:
                spoken = ", ".join(f"{one.codec} {one.bitrate_bps or ''}".strip() for one in self._coders)
                raise ProtocolError(f"this room speaks in {MOST_CODINGS} ways already: {spoken}", codes.QUOTA)
            rates = self._offer.output_sample_rate_hz, self._offer.sample_rate_hz
            self._coders[coding] = Coder(coding, self._setting.codec(), *rates, self._setting.threads)
        self._coders[coding].wanted_s = self._now()

    @property
    def over(self) -> bool:
        """Whether everything was said."""
        return self.over_s is not None

    def live(self, langs: tuple[str, ...]) -> LiveSegments:
        """The captions in `langs` as segments that are listed one after the other."""
        if langs not in self._live:
            made = self._live[langs] = LiveSegments(langs)
            for caption in self.track.captions:
                made.add(caption, self._now())
            if self.over:
                made.finish()
        self._live[langs].advance(self._now())
        return self._live[langs]

    # --- between them

    async def _put_down(self) -> None:
        try:
            while not self.over:
                await self._put(*await self._waiting.get())
        except Exception:
            log.exception("room %s failed", self.id)
            await self._append(Entry(self.tape.newest + 1, self._now(), (self._farewell(Closed(), 0.0),)))
            await self._finish()

    async def _put(self, answer: Answer, emit_ms: float, at_s: float) -> None:
        number = self.tape.newest + 1
        match answer:
            case Caption():
                message = answer_message(answer, number, emit_ms)
                await self._append(Entry(number, at_s, (message,), answer.lang, answer.segment))
            case Speech():
                self._last_speech = answer
                self._keep_wanted()
                coders = list(self._coders.values())
                coded = {one.coding: tuple(await one.code(answer, number, emit_ms)) for one in coders}
                if any(coded.values()):
                    await self._append(Entry(number, at_s, coded=coded))
            case Closed():
                await self._put_rest(emit_ms)
                await self._append(Entry(self.tape.newest + 1, self._now(), (self._farewell(answer, emit_ms),)))
                await self._finish()
            case _:
                raise TypeError(type(answer).__name__)

    async def _put_rest(self, emit_ms: float) -> None:
        """What codecs held back of the last speech."""
        if self._last_speech is not None and self._coders:
            number, last = self.tape.newest + 1, self._last_speech
            coded = {one.coding: tuple(await one.rest(last, number, emit_ms)) for one in self._coders.values()}
            if any(coded.values()):
                await self._append(Entry(number, self._now(), coded=coded))

    def _farewell(self, answer: Closed, emit_ms: float) -> Message:
        return answer_message(answer, self.tape.newest + 1, emit_ms)

    async def _append(self, entry: Entry) -> None:
        self.tape.append(entry)
        await self._ring()

    async def _ring(self) -> None:
        """Tell all that there is news, the speaker before them, who waits for no crowd."""
        await asyncio.sleep(0)
        for count, member in enumerate([*self.members], 1):
            member.on_news()
            if count % AT_A_TIME == 0:
                await asyncio.sleep(0)

    async def _finish(self) -> None:
        self.over_s = self._now()
        self._closing = True
        self._coders.clear()
        for live in self._live.values():
            live.finish()
        await self._ring()
        self.on_end()

    def _keep_wanted(self) -> None:
        now_s = self._now()
        for coding in {member.wish.coding for member in self.members}:
            if coding in self._coders:
                self._coders[coding].wanted_s = now_s

    def _forget_coders(self) -> None:
        """Code no more for who went and did not come back."""
        self._keep_wanted()
        now_s = self._now()
        self._coders = {coding: one for coding, one in self._coders.items() if now_s - one.wanted_s <= KEPT_S}
