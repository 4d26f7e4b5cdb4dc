"""`streamst codec encode|decode|compare|export` on files, and `streamst bench codec` on a manifest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Column, Table

from . import options as opt
from .outputs import check_outputs, open_speech, written_beside
from .view import err, out, shown

if TYPE_CHECKING:
    from streamst.audio import Pcm
    from streamst.evaluate.run.codec_bench import Coded, Row

codec_app = typer.Typer(name="codec", help="Speech in a few kbit/s: encode, decode, compare.", no_args_is_help=True)

USUAL = ("neural:1500", "neural:3000", "neural+entropy:3000", "neural:6000", "opus:6000", "opus:8000", "opus:12000")
CodecsOption = Annotated[
    list[str] | None,
    typer.Option("--codec", help="NAME:BITRATE, such as neural:3000 or opus:6000; may be repeated."),
]
PictureOption = Annotated[Path | None, typer.Option("--picture", help="Write spectrograms to this image file.")]
PIECE_MS = 100


@codec_app.command()
def encode(
    source: opt.File,
    target: Annotated[Path, typer.Argument(help="The file of packets to write.")],
    codec: Annotated[str, typer.Option(help="neural, opus or encodec.")] = "neural",
    bitrate: Annotated[int | None, typer.Option(help="Bits a second; none is the codec's usual rate.")] = None,
    entropy: Annotated[bool, typer.Option("--entropy", help="Entropy-code the neural codec's packets.")] = False,
    packet_ms: Annotated[int, typer.Option(help="Audio in a packet.", min=20, max=10_000)] = PIECE_MS,
) -> None:
    """Code a recording."""
    import numpy as np

    from streamst.audio import read_blocks
    from streamst.codecs.catalog import open_codec
    from streamst.codecs.container import write_coded
    from streamst.errors import InputError

    check_outputs([source], [target])
    if codec == "pcm16":
        raise InputError("pcm16 codes nothing: write a WAV file; allowed: neural, opus, encodec")
    chosen = open_codec(codec, coded=entropy)
    encoder = chosen.encoder(bitrate)
    size = chosen.sample_rate_hz * packet_ms // 1000
    packets: list[bytes] = []
    samples, rest = 0, np.zeros(0, np.float32)
    for block in read_blocks(source, chosen.sample_rate_hz):
        rest = np.concatenate([rest, block])
        samples += len(block)
        while len(rest) >= size:
            packets.append(encoder.push(rest[:size]))
            rest = rest[size:]
    packets += [encoder.push(rest), encoder.flush()]
    if not samples:
        raise InputError(f"{source} is too short: it has no sample at {chosen.sample_rate_hz} Hz")
    with written_beside(target) as beside:
        written = write_coded(beside, codec, samples, [packet for packet in packets if packet])
    seconds = samples / chosen.sample_rate_hz
    _tell(f"{target}: {seconds:.1f} s in {written} bytes, {written * 8 / seconds / 1000:.2f} kbit/s")


@codec_app.command()
def decode(
    source: Annotated[Path, typer.Argument(help="A file that `encode` wrote.")],
    target: Annotated[Path, typer.Argument(help="The WAV file to write.")],
    rate: Annotated[int | None, typer.Option(help="Samples a second; the neural codec also speaks at 24000.")] = None,
) -> None:
    """Decode a recording. What is missing or damaged in the middle is concealed."""
    from streamst.codecs.catalog import open_codec
    from streamst.codecs.container import read_coded
    from streamst.codecs.neural_stream import NeuralSpeechCodec
    from streamst.codecs.receive import FRAME_NUMBERS, PacketReceiver
    from streamst.errors import InputError

    check_outputs([source], [target])
    coded = read_coded(source)
    if coded.codec == "pcm16":
        raise InputError(f"{source} names pcm16, which has no packets; allowed: neural, opus, encodec")
    codec = open_codec(coded.codec)
    rate = codec.sample_rate_hz if rate is None else rate
    if isinstance(codec, NeuralSpeechCodec):
        decoder = codec.decoder(rate)
    elif rate != codec.sample_rate_hz:
        raise InputError(f"{codec.name} does not speak at {rate} Hz; allowed: {codec.sample_rate_hz}")
    else:
        decoder = codec.decoder()
    total_s = coded.samples / codec.sample_rate_hz
    longest_gap = min(round(total_s * codec.frame_hz), FRAME_NUMBERS // 2)
    receiver = PacketReceiver(decoder, longest_gap_frames=longest_gap)  # type: ignore[arg-type]
    skip, left = (n * rate // codec.sample_rate_hz for n in (codec.delay_samples, coded.samples))
    with open_speech(target, rate) as file:
        for heard in (*(receiver.push(packet) for packet in coded.packets), receiver.flush()):
            piece = heard[skip:][:left]
            skip, left = max(0, skip - len(heard)), left - len(piece)
            file.write(piece)
        seconds = file.samples / rate
    _tell(f"{target}: {seconds:.1f} s of speech")
    told = receiver.delivery
    if told.damaged or told.concealed_frames:
        err.print(f"{told.damaged} damaged packets; {told.concealed_frames} frames concealed", style="yellow")
    if told.late:
        err.print(f"{told.late} packets came twice, or too late to be heard", style="yellow")
    if total_s - seconds > 1 / codec.frame_hz:
        err.print(f"{total_s - seconds:.1f} of {total_s:.1f} s are missing", style="yellow")
    if told.damaged and not told.played:
        raise InputError(f"none of the packets in {source} can be read: {receiver.trouble}")
    if coded.cut:
        raise InputError(coded.cut)


@codec_app.command()
def compare(
    source: opt.File,
    codec: CodecsOption = None,
    picture: PictureOption = None,
) -> None:
    """Put one recording through several codecs: quality, rate, speed."""
    check_outputs([source], [picture])
    _show(_measured([(_read(source), "")], codec or USUAL, False, picture))


@codec_app.command()
def export(
    directory: Annotated[
        Path | None, typer.Argument(help="A folder with the codec's weights; the shipped one.")
    ] = None,
) -> None:
    """Write the graphs of the neural codec that browsers run, encoder.onnx and decoder.onnx, beside its weights."""
    from streamst.codecs.catalog import ASSETS
    from streamst.codecs.export import export as export_graphs

    for path in export_graphs(directory or ASSETS / "codec"):
        _tell(f"{path}: {path.stat().st_size} bytes")


def bench_codec(
    manifest: Annotated[Path, typer.Argument(help="TSV: path, duration_s, text; other columns are ignored.")],
    codec: CodecsOption = None,
    limit: Annotated[int | None, typer.Option(help="Only the first N recordings.", min=1)] = None,
    split: Annotated[str | None, typer.Option(help="Only recordings whose column `split` says so.")] = None,
    recognise: Annotated[bool, typer.Option("--wer/--no-wer", help="WER of our recogniser (English).")] = True,
    picture: PictureOption = None,
) -> None:
    """PESQ, STOI, SI-SDR, mel distance, WER, kbit/s, real-time factor and latency of codecs on recordings."""
    from streamst.evaluate.log.manifest import read_manifest

    listed = read_manifest(manifest, limit, split).clips
    check_outputs([manifest, *(clip.path for clip in listed)], [picture])
    clips = [(_read(clip.path), " ".join(r.text or "" for r in clip.references).strip()) for clip in listed]
    _show(_measured(clips, codec or USUAL, recognise, picture))


def _read(path: Path) -> Pcm:
    from streamst.audio import SAMPLE_RATE_HZ, read_audio
    from streamst.errors import InputError

    pcm = read_audio(path)
    if not len(pcm):
        raise InputError(f"{path} is too short: it has no sample at {SAMPLE_RATE_HZ} Hz")
    return pcm


def _tell(text: str) -> None:
    """Print a line as it is: brackets in a file's name are no style."""
    out.print(text, markup=False, soft_wrap=True)


def _measured(clips: list[tuple[Pcm, str]], codecs: Sequence[str], recognise: bool, picture: Path | None) -> list[Row]:
    from streamst.evaluate.metrics.codec_quality import missing
    from streamst.evaluate.run.codec_bench import QUALITY, check_picture, condition, draw, measure

    if picture is not None:
        check_picture(picture)
    pictures = [("original", clips[0][0])]
    with shown("Coding"):
        rows = measure(
            [condition(text) for text in codecs],
            clips,
            recogniser() if recognise else None,
            lambda name, coded: _keep(pictures, name, coded),
        )
        if picture is not None:
            draw(picture, pictures)
    for name, package in missing(QUALITY).items():
        err.print(f"No {name}: {package} is not installed; get it with: pip install {package}", style="dim")
    return rows


def _keep(pictures: list[tuple[str, Pcm]], name: str, coded: list[Coded]) -> None:
    pictures.append((name, coded[0].pcm))


def recogniser() -> Callable[[Pcm], str]:
    """Our listener: pcm at 16 kHz to English text."""
    from streamst.events import Caption
    from streamst.pipeline import load

    pipeline = load(device="cpu")

    def recognise(pcm: Pcm) -> str:
        session = pipeline.session(latency="high", speech=False)
        said: dict[int, str] = {}
        for event in (*session.push(pcm), *session.finish()):
            if isinstance(event, Caption) and event.lang == "en":
                said[event.segment] = event.stable + event.unstable
        return " ".join(said.values())

    return recognise


def _show(rows: list[Row]) -> None:
    names = list(dict.fromkeys(name for row in rows for name, value in row.figures.items() if value is not None))
    table = Table(Column("codec", no_wrap=True), *names)
    for row in rows:
        values = [row.figures.get(name) for name in names]
        table.add_row(row.name, *("" if value is None else f"{value:.3g}" for value in values))
    out.print(table)
