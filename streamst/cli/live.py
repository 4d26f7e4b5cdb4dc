"""`streamst stream` and `streamst mic`: servers, and live sound."""

from __future__ import annotations

import asyncio
import dataclasses
import signal
import ssl
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from streamst.audio import Pcm, known_length_s, read_blocks
from streamst.errors import InputError
from streamst.events import Event

from . import options as opt
from .outputs import check_outputs
from .sinks import Sinks, Wanted, read_terms
from .view import err, shown

if TYPE_CHECKING:
    from streamst.codecs.base import Codec
    from streamst.pipeline import Pipeline
    from streamst.server.wire.seam import AudioCodec, Settings
    from streamst.session import Session
    from streamst.sound import Microphone

CODECS = ("pcm16", "opus", "neural")


def stream(
    file: opt.File,
    url: opt.Urls,
    to: opt.To = None,
    output: opt.Output = None,
    srt: opt.Subtitles = None,
    bilingual: opt.Bilingual = False,
    contiguous: opt.Contiguous = False,
    policy: opt.Policy = None,
    latency: opt.Latency = None,
    glossary: opt.Glossary = None,
    realtime: Annotated[bool, typer.Option(help="At a speaker's pace, or as fast as the server allows.")] = True,
    codec: opt.Codec = "pcm16",
    bitrate: opt.Bitrate = None,
    token: opt.Token = None,
    insecure: opt.Insecure = False,
    form: opt.Format = None,
    quiet: opt.Quiet = False,
) -> None:
    """Send an audio file to a server, showing the captions as they come back."""
    check_outputs([file], [output, srt], quiet)
    wanted = Wanted(srt, bilingual, output, not contiguous, form, quiet)
    length_s = known_length_s(file)
    settings = _settings(to, policy, latency, codec, bitrate, speech=output is not None)
    settings = dataclasses.replace(settings, glossary=read_terms(glossary))
    with Sinks(wanted, length_s) as sinks:

        def blocks() -> Iterator[Pcm]:
            for block in read_blocks(file, settings.sample_rate_hz):
                yield block
                sinks.heard(len(block) * 1000 / settings.sample_rate_hz)

        known = sinks.voice_is_known
        speech = converse(
            url, blocks(), settings, sinks, known, bitrate, realtime=realtime, token=token, insecure=insecure
        )
        asyncio.run(speech)
    sinks.summary()


def mic(
    to: opt.To = None,
    speak: Annotated[bool, typer.Option("--speak", help="Play the speech: wear headphones.")] = False,
    srt: opt.Subtitles = None,
    bilingual: opt.Bilingual = False,
    policy: opt.Policy = None,
    latency: opt.Latency = None,
    chunk_ms: opt.ChunkMs = None,
    glossary: opt.Glossary = None,
    microphone: Annotated[str | None, typer.Option("--microphone", help="A part of its name, or its number.")] = None,
    url: opt.MaybeUrl = None,
    codec: opt.Codec = "pcm16",
    bitrate: opt.Bitrate = None,
    token: opt.Token = None,
    insecure: opt.Insecure = False,
    model: opt.Model = "en-de",
    device: opt.Device = "auto",
    precision: opt.Precision = "auto",
    recogniser: opt.Recogniser = None,
    writer: opt.Writer = None,
    voice: opt.Voice = None,
    spoken: opt.From = None,
    form: opt.Format = None,
    quiet: opt.Quiet = False,
) -> None:
    """Translate what the microphone hears until Ctrl-C, on this machine or on a server."""
    check_outputs([glossary] if glossary else [], [srt], quiet)
    settings = _settings(to, policy, latency, codec, bitrate, speech=speak)
    terms = read_terms(glossary)
    settings = dataclasses.replace(settings, glossary=terms)
    recorder = _microphone(microphone, settings.sample_rate_hz)
    sinks = Sinks(Wanted(srt, bilingual, form=form, quiet=quiet))
    with played(sinks, speak) as known:
        session = None
        if url is None:
            with shown("Loading the model"):
                from streamst.pipeline import load

                pipeline = load(model, device, precision, recogniser, writer, voice, spoken, to)
                session = pipeline.session(to, policy, latency, chunk_ms, speak, terms)
            _introduce(pipeline, session, sinks, known)
        err.print(f"Listening to {recorder.name}. Ctrl-C ends.", style="dim", soft_wrap=True)
        with sinks, recorder, _ctrl_c_calls(recorder.stop):
            blocks = _counted(recorder, sinks, settings.sample_rate_hz)
            if session is not None:
                _hear(blocks, session, sinks)
            elif url is not None:
                speech = _in_thread(blocks)
                asyncio.run(converse(url, speech, settings, sinks, known, bitrate, token=token, insecure=insecure))
    sinks.summary()


@contextmanager
def played(sinks: Sinks, speak: bool) -> Iterator[Callable[[int], None]]:
    """What to tell the rate of the speech, which is then played if `speak`; ends when all of it was heard."""
    from streamst.sound import Loudspeaker

    with ExitStack() as stack:
        playing: list[Loudspeaker] = []

        def voice_is_known(rate_hz: int) -> None:
            if speak:
                playing.append(stack.enter_context(Loudspeaker(rate_hz)))
                sinks.play_through(playing[0].play)

        yield voice_is_known
        for loudspeaker in playing:
            while loudspeaker.waiting_s() > 0:
                time.sleep(0.05)


def _microphone(name: str | None, rate_hz: int) -> Microphone:
    """By its number, or a part of its name."""
    from streamst.sound import Microphone

    return Microphone(int(name) if name is not None and name.isdecimal() else name, rate_hz)


def _introduce(
    pipeline: Pipeline, session: Session[Any, Any], sinks: Sinks, voice_is_known: Callable[[int], None]
) -> None:
    """Tell languages and voice; InputError where speech is wanted and there is none."""
    sinks.begin(pipeline.source, session.options.target)
    if session.options.speech and pipeline.voice is None:
        raise InputError(f"there is no voice for {session.options.target!r}: name one with --voice")
    if pipeline.voice is not None:
        voice_is_known(pipeline.voice.sample_rate_hz)


def _hear(blocks: Iterable[Pcm], session: Session[Any, Any], sinks: Sinks) -> None:
    for block in blocks:
        sinks.take(session.push(block))
    sinks.take(session.finish())


def _counted(blocks: Iterable[Pcm], sinks: Sinks, rate_hz: int) -> Iterator[Pcm]:
    for block in blocks:
        sinks.heard(len(block) * 1000 / rate_hz)
        yield block


async def converse(
    url: str | list[str],
    blocks: Iterable[Pcm] | AsyncIterable[Pcm],
    settings: Settings,
    sinks: Sinks,
    voice_is_known: Callable[[int], None],
    bitrate_bps: int | None = None,
    *,
    realtime: bool = False,
    token: str | None = None,
    insecure: bool = False,
) -> None:
    """Send `blocks` to a server and hand what it says to `sinks`; `voice_is_known` is told its speech's rate first."""
    from streamst import client
    from streamst.server.wire.seam import Configured, GoAway, Welcome

    tls = trust_anybody() if insecure else None
    codec = neural_codec() if settings.codec == "neural" else None
    exchange = client.Exchange()
    sinks.carried_by(exchange.told)
    async for event in client.stream(
        url,
        blocks,
        settings,
        realtime=realtime,
        codec=codec,
        tls=tls,
        token=token,
        bitrate_bps=bitrate_bps,
        exchange=exchange,
    ):
        if isinstance(event, Event):
            sinks.take([event])
        elif isinstance(event, Welcome):
            sinks.begin(event.offer.source, settings.target or event.offer.defaults.target or "")
            voice_is_known(16_000 if settings.output_codec != "pcm16" else event.offer.output_sample_rate_hz)
        elif isinstance(event, Configured):
            for one in event.left_out:
                err.print(f"The term {one.entry}, {one.source!r}: {one.reason}", soft_wrap=True, markup=False)
        elif isinstance(event, GoAway):
            err.print(f"The server stops in {event.in_ms / 1000:.0f} s: {event.reason}", soft_wrap=True)


def _settings(
    to: str | None, policy: str | None, latency: str | None, codec: str, bitrate: int | None, speech: bool
) -> Settings:
    from streamst.server.wire.seam import Settings

    if codec not in CODECS:
        raise InputError(f"codec {codec!r} is not known; use {', '.join(CODECS)}")
    if codec == "pcm16" and bitrate is not None:
        raise InputError("--bitrate needs --codec opus or --codec neural")
    chosen = cast("AudioCodec", codec)
    output = ("captions", "audio") if speech else ("captions",)
    return Settings(None, to, policy, latency, output, chosen, chosen, bitrate)


def trust_anybody() -> ssl.SSLContext:
    """TLS with whatever certificate."""
    tls = ssl.create_default_context()
    tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    return tls


def neural_codec() -> Codec:
    """The shipped model's own codec."""
    with shown("Loading the codec"):
        from streamst.pipeline import load

        codec = load().codec
    if codec is None:
        raise InputError("the model in this package has no codec: use --codec pcm16")
    return codec


async def _in_thread(blocks: Iterator[Pcm]) -> AsyncIterator[Pcm]:
    """The same blocks, waited for beside the event loop."""
    while (block := await asyncio.to_thread(next, blocks, None)) is not None:
        yield block


@contextmanager
def _ctrl_c_calls(stop: Callable[[], None]) -> Iterator[None]:
    """The first Ctrl-C calls `stop`, so that what was heard is still translated; the second interrupts."""

    def on_first(_number: int, _frame: FrameType | None) -> None:
        stop()
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, on_first)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
