"""One session's room: what it says is put down once, and read by every listener at a pace of their own."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass

from streamst.codecs.base import Codec
from streamst.config import from_dict
from streamst.errors import ConfigError, ProtocolError
from streamst.events import Caption, Speech
from streamst.server.operator.metrics import Metrics
from streamst.server.operator.options import ServerOptions
from streamst.server.wire import codes
from streamst.server.wire.native import answer_message
from streamst.server.wire.seam import Answer, Closed, Offer, RoomState
from streamst.server.wire.summary import Summary
from streamst.subtitles import CaptionTrack

from .coder import Coder
from .hls import LiveSegments
from .kept import News, Recent, RoomKept, Sound, Wanted
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

    def __init__(
        self, setting: Setting, now: Callable[[], float] = time.monotonic, kept: RoomKept | None = None
    ) -> None:
        """kept: what the room was on another node."""
        self.id, self.token = secrets.token_hex(6), secrets.token_urlsafe(12)
        self._number = 0  # of the last answer
        self.ours = True  # of a session of this node
        self.moved = False  # the session goes on elsewhere, and so does the room
        self.on_put: Callable[[News], None] = lambda _: None  # told all that is put down
        if kept is not None:
            self.id, self.token, self._number = kept.id, kept.token, kept.newest
        self.tape = Tape(KEPT_S, newest=min([self._number, *(one.number - 1 for one in kept.recent)]) if kept else 0)
        self.track = CaptionTrack()
        self._live: dict[tuple[str, ...], LiveSegments] = {}  # by their languages, where somebody asked
        self.members: set[Member] = set()
        self.begun = False
        self.over_s: float | None = None  # since when
        self.on_end: Callable[[], None] = lambda: None
        self._setting, self._now = setting, now
        self._offer = setting.offer()
        self._coders: dict[Coding, Coder] = {}
        self._waiting: asyncio.Queue[tuple[int, Answer, float, float]] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None
        self._last_speech: Speech | None = None
        self._closing = False
        self._followed = kept is not None  # what a listener has had elsewhere is perhaps not known here yet
        if kept is not None:
            self.catch_up(kept)

    # --- the speaker's side

    def hear(self, answer: Answer, emit_ms: float) -> None:
        """See `Audience`."""
        if self._closing:
            return
        self.begun = True
        match answer:
            case Caption():
                self._keep(answer)
            case Speech() if self._waiting.qsize() >= MOST_WAITING:
                self._setting.metrics.uncoded_s.inc(len(answer.pcm) / answer.sample_rate_hz)
                self._number += 1
                return
            case Closed():
                self._number += 1  # of what codecs hold back
            case Speech():
                pass
            case _:
                return
        if self._task is None:
            self._task = asyncio.create_task(self._put_down(), name=f"room {self.id}")
        self._closing = isinstance(answer, Closed)
        self._number += 1
        self._waiting.put_nowait((self._number, answer, emit_ms, self._now()))

    def _keep(self, caption: Caption) -> None:
        self.track.add(caption)
        for live in self._live.values():
            live.add(caption, self._now())

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
        if after is not None and after > self.tape.newest and not self._followed:
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
            number = self.tape.newest + 2
            await self.put(News(number, 0.0, answer_message(Closed(), number, 0.0), over=True), self._now())

    async def _put(self, number: int, answer: Answer, emit_ms: float, at_s: float) -> None:
        match answer:
            case Caption():
                message = answer_message(answer, number, emit_ms)
                await self.put(News(number, emit_ms, message, answer), at_s)
            case Speech():
                await self.put(News(number, emit_ms, speech=Sound.of(answer)), at_s, answer)
            case Closed():
                await self.put(News(number, emit_ms, answer_message(answer, number, emit_ms), over=True), self._now())
            case _:
                raise TypeError(type(answer).__name__)

    async def put(self, news: News, at_s: float, speech: Speech | None = None) -> None:
        """Put down what was said here, or on another node: then `on_put` is not called for what is known already.
        speech: that of `news`, before it was rounded for other nodes."""
        number, heard = news.number, news.caption
        if number <= self.tape.newest or self.over:
            return
        self.tape.pass_over(number - news.over, at_s)
        if news.over:
            await self._put_rest(news.emit_ms)
        if heard is not None:
            if not self.ours:
                self._keep(heard)
            await self._append(Entry(number, at_s, (news.message,), heard.lang, heard.segment))
        elif news.speech is not None:
            await self._put_speech(speech or news.speech.speech(), number, news.emit_ms, at_s)
        else:
            await self._append(Entry(number, at_s, (news.message,)))
        self.on_put(news)
        if news.over:
            await self._finish()

    async def _put_speech(self, answer: Speech, number: int, emit_ms: float, at_s: float) -> None:
        self._last_speech = answer
        self._keep_wanted()
        coders = list(self._coders.values())
        coded = {one.coding: tuple(await one.code(answer, number, emit_ms)) for one in coders}
        await self._append(Entry(number, at_s, coded=coded))

    async def _put_rest(self, emit_ms: float) -> None:
        """What codecs held back of the last speech."""
        number, last = self.tape.newest + 1, self._last_speech
        coders = list(self._coders.values()) if last is not None else []
        coded = {one.coding: tuple(await one.rest(last, number, emit_ms)) for one in coders if last is not None}
        await self._append(Entry(number, self._now(), coded=coded))

    # --- other nodes

    def kept(self, put_down: bool = False) -> RoomKept:
        """What another node has to know, to go on with it or, where only what was `put_down` counts, to listen in."""
        now_s = self._now()
        recent = tuple(
            Recent(one.number, now_s - one.at_s, str(one.messages[0]), one.lang, one.segment)
            for one in self.tape.in_short(0, now_s - KEPT_S)
            if one.lang is not None
        )
        newest = self.tape.newest if put_down else self._number
        return RoomKept(self.id, self.token, newest, self.over, tuple(self.track.captions), recent, self.wanted)

    @property
    def wanted(self) -> tuple[Wanted, ...]:
        """In which ways speech is coded here."""
        return tuple(Wanted(one.codec, one.bitrate_bps) for one in self._coders)

    def want_again(self, wanted: tuple[Wanted, ...]) -> None:
        """Have speech coded for who listened elsewhere, and has not come back yet; what cannot be had is left out."""
        for one in wanted:
            with suppress(ConfigError, ProtocolError):
                fields = {"audio": True, "codec": one.codec, "bitrate_bps": one.bitrate_bps}
                self.want(from_dict(Wish, fields, "wanted"))

    def packed(self) -> bytes:
        """See `Audience`."""
        return self.kept().packed()

    def catch_up(self, kept: RoomKept) -> None:
        """Learn what was missed: the newest captions, and no speech."""
        now_s = self._now()
        for caption in kept.captions:
            self._keep(caption)
        for one in kept.recent:
            if one.number > self.tape.newest:
                self.tape.pass_over(one.number, now_s - one.age_s)
                self.tape.append(Entry(one.number, now_s - one.age_s, (one.message,), one.lang, one.segment))
        self._number = max(self._number, kept.newest)
        if kept.over and not self.over:
            self.tape.pass_over(kept.newest, now_s)
            if self.tape.newest < kept.newest:
                self.tape.append(Entry(kept.newest, now_s, (answer_message(Closed(), kept.newest, 0.0),)))
            self.over_s, self._closing = now_s, True
        self.tape.pass_over(kept.newest + 1, now_s)

    def move(self) -> None:
        """Another node goes on with the session: send everybody there."""
        self.moved = self._closing = True
        if self._task is not None:
            self._task.cancel()
        for member in [*self.members]:
            member.on_news()
        self.on_end()

    async def _append(self, entry: Entry) -> None:
        self.tape.append(entry)
        await self.ring()

    async def ring(self) -> None:
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
        await self.ring()
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
