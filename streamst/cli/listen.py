"""`streamst listen`: what is said in a room."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Annotated, cast

import typer

from streamst.errors import InputError
from streamst.events import Event

from . import options as opt
from .live import CODECS, neural_codec, played, trust_anybody
from .outputs import check_outputs
from .sinks import Sinks, Wanted
from .view import err

if TYPE_CHECKING:
    from collections.abc import Callable

    from streamst.server.wire.seam import AudioCodec

Link = Annotated[str, typer.Argument(metavar="URL", help="The room's link: http://HOST:PORT/listen/ROOM#TOKEN.")]


def listen(
    url: Link,
    output: opt.Output = None,
    speak: Annotated[bool, typer.Option("--speak", help="Play the speech.")] = False,
    srt: opt.Subtitles = None,
    bilingual: opt.Bilingual = False,
    contiguous: opt.Contiguous = False,
    codec: opt.Codec = "pcm16",
    bitrate: opt.Bitrate = None,
    insecure: opt.Insecure = False,
    form: opt.Format = None,
    quiet: opt.Quiet = False,
) -> None:
    """Read, and with --speak or -o hear, what somebody says to a server and shares with a link, until its end."""
    if codec not in CODECS:
        raise InputError(f"codec {codec!r} is not known; use {', '.join(CODECS)}")
    check_outputs([], [output, srt], quiet)
    sinks = Sinks(Wanted(srt, bilingual, output, not contiguous, form, quiet))
    audio = speak or output is not None

    with played(sinks, speak) as play, sinks, contextlib.suppress(KeyboardInterrupt):

        def voice_is_known(rate_hz: int) -> None:
            sinks.voice_is_known(rate_hz)
            play(rate_hz)

        asyncio.run(_hear(url, sinks, voice_is_known, audio, cast("AudioCodec", codec), bitrate, insecure))
    sinks.summary()


async def _hear(
    url: str,
    sinks: Sinks,
    voice_is_known: Callable[[int], None],
    audio: bool,
    codec_name: AudioCodec,
    bitrate_bps: int | None,
    insecure: bool,
) -> None:
    from streamst import client
    from streamst.events import Caption
    from streamst.server.wire.seam import Welcome

    exchange = client.Exchange()
    sinks.carried_by(exchange.told)
    codec = neural_codec() if audio and codec_name == "neural" else None
    tls = trust_anybody() if insecure else None
    welcomed, heard_ms = False, 0.0
    async for event in client.listen(
        url, audio=audio, codec_name=codec_name, bitrate_bps=bitrate_bps, codec=codec, tls=tls, exchange=exchange
    ):
        match event:
            case Welcome():
                sinks.begin(event.offer.source, event.offer.defaults.target or "")
                if not welcomed:
                    voice_is_known(16_000 if codec_name != "pcm16" else event.offer.output_sample_rate_hz)
                welcomed = True
            case client.Jump():
                sinks.tell(f"{event.skipped_ms / 1000:.0f} s behind: on to the present")
            case Event():
                if isinstance(event, Caption) and event.source_ms > heard_ms:
                    exchange.audio_ms += 0.0 if not heard_ms else event.source_ms - heard_ms
                    sinks.heard(event.source_ms - heard_ms)
                    heard_ms = event.source_ms
                sinks.take([event])
            case _:
                pass
    if not welcomed:
        err.print("Nothing was said.", style="dim")
