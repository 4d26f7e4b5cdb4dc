"""The neural codec as ONNX graphs, for browsers and for ONNX Runtime here: what `neural.py` computes, in real numbers.

`encoder.onnx`: `pcm` (T * hop,) -> `codes` (T, codebooks) int32 and `latents` (T, latent_dim). `decoder.onnx`: `codes`
(T, n) int32, any n -> `samples` (T * hop,). T is any number of frames from 1. Everything that is remembered goes in as
`state.NAME` and comes out as `after.NAME`; a fresh state is all zeros. `sound.onnx` is the decoder after the codes:
`latents` (T, latent_dim) -> `samples`, for voices. All take their weights from `weights.safetensors`, which must lie
beside them. Fourier transforms are products with tables of sines, since ONNX
Runtime's own needs complex numbers; the pitch's path through the frames is a loop (`Scan`).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from streamst.codecs.graph import Graph
from streamst.codecs.neural import PITCH_LEVELS, PITCH_SCALE, CodecDecoder, NeuralCodec
from streamst.errors import InputError
from streamst.nn.pitch import BINS, OCTAVE_COST, OVERSAMPLING, VOICING_THRESHOLD
from streamst.nn.source_filter import NOISE_HOPS, QUIET

WEIGHTS = "weights.safetensors"
ENCODER, DECODER, SOUND = "encoder.onnx", "decoder.onnx", "sound.onnx"


def export(directory: Path) -> tuple[Path, Path]:
    """Write both graphs beside the codec's weights in `directory`, and return where.

    UnavailableError without the package onnx; CheckpointError where there is no codec; InputError for one of several
    groups, which no graph is written for.
    """
    codec = NeuralCodec.load(directory)
    if codec.config.groups != 1:
        raise InputError(f"a codec of {codec.config.groups} groups is not exported; allowed: 1")
    made = (directory / ENCODER, _encoder(codec, directory)), (directory / DECODER, _decoder(codec, directory))
    for path, graph in made:
        path.write_bytes(graph.model().SerializeToString())
    return made[0][0], made[1][0]


def export_sound(directory: Path) -> Path:
    """Write the graph of the decoder from latents on; errors as `export`."""
    codec = NeuralCodec.load(directory)
    g = Graph("sound", directory / WEIGHTS)
    latents = g.input("latents", "FLOAT", ["frames", codec.config.latent_dim])
    _sound(g, codec, latents, g.cut(latents, 0, 1, axis=1), np.float32)
    (directory / SOUND).write_bytes(g.model().SerializeToString())
    return directory / SOUND


def stack(g: Graph, x: str, name: str, blocks: int, dim: int, kernel: int) -> str:
    """`ConvNeXtStack.step` of (T, dim)."""
    for number in range(blocks):
        block = f"{name}.stack.blocks.{number}"
        before = g.input(f"state.block{number}", "FLOAT", [kernel - 1, dim])
        context = g.op("Concat", before, x, axis=0)
        g.output(f"after.block{number}", g.cut(context, 1 - kernel), "FLOAT", [kernel - 1, dim])
        x = g.convnext(x, context, g.weight(f"{block}.depthwise.weight"), block, kernel)
    return x


def _power(g: Graph, windows: str, length: int, size: int) -> str:
    """|rfft|^2 (T, size / 2 + 1) of windows (T, length), zero-padded to `size`."""
    cosine, sine = g.waves(range(length), range(size // 2 + 1), size)
    parts = [g.op("MatMul", windows, table) for table in (cosine, sine)]
    return g.op("Add", *(g.op("Mul", part, part) for part in parts))


def _encoder(codec: NeuralCodec, directory: Path) -> Graph:
    config, encoder = codec.config, codec.encoder
    hop, dim, latent = config.hop_samples, config.encoder_dim, config.latent_dim
    g = Graph("encoder", directory / WEIGHTS)
    pcm = g.input("pcm", "FLOAT", ["samples"])
    signal = g.op("Concat", g.input("state.previous", "FLOAT", [2 * hop]), pcm, axis=0)
    g.output("after.previous", g.cut(signal, -2 * hop), "FLOAT", [2 * hop])
    hops = g.reshape(signal, -1, hop)
    rows = g.cut(hops, 0, -2), g.cut(hops, 1, -1), g.cut(hops, 2)
    octaves = _pitch(g, codec, g.op("Concat", *rows, axis=1))
    features = _features(g, codec, g.op("Concat", *rows[1:], axis=1))
    x = g.norm(g.linear(features, "encoder.inward"), "encoder.inward_norm")
    x = stack(g, x, "encoder", config.encoder_blocks, dim, config.kernel_frames)
    timbre = g.linear(g.norm(x, "encoder.outward_norm"), "encoder.outward")
    timbre = g.op("Add", timbre, g.linear(features, "encoder.across"))
    pitch = g.op("Mul", octaves, g.constant(PITCH_SCALE))
    assert encoder.outward.out_features == latent - 1
    g.output("latents", g.op("Concat", pitch, timbre, axis=1), "FLOAT", ["frames", latent])

    share = g.op("Add", g.op("Div", pitch, g.constant(config.pitch_width)), g.constant(0.5))
    level = g.op("Round", g.op("Mul", share, g.constant(PITCH_LEVELS - 1)))
    level = g.cast(g.op("Clip", level, g.constant(0), g.constant(PITCH_LEVELS - 1)), "INT64")
    rest, codes = timbre, list[str]()
    for number, size in enumerate(codec.quantiser.sizes):
        stage = f"quantiser.stages.{number}"
        table = g.weight(f"{stage}.codes")
        z = g.op("Gemm", rest, g.weight(f"{stage}.down.weight"), transB=1)
        half = g.op("Mul", g.op("ReduceSumSquare", table, g.integers(1), keepdims=0), g.constant(0.5))
        index = g.op("ArgMin", g.op("Gemm", z, table, half, transB=1, alpha=-1.0), axis=1, keepdims=1)
        chosen = g.op("Gather", table, g.reshape(index, -1))
        rest = g.op("Sub", rest, g.linear(chosen, f"{stage}.up"))
        first = g.op("Add", index, g.op("Mul", level, g.constant(size, np.int64)))
        codes.append(first if number == 0 else index)
    g.output("codes", g.cast(g.op("Concat", *codes, axis=1), "INT32"), "INT32", ["frames", config.codebooks])
    return g


def _features(g: Graph, codec: NeuralCodec, windows: str) -> str:
    """`Analysis` of windows (T, 2 * hop)."""
    analysis, length = codec.encoder.analysis, 2 * codec.config.hop_samples
    lags = range(analysis.lags.start, analysis.lags.stop)
    power = _power(g, g.op("Mul", windows, g.constant(analysis.window.numpy())), length, 2 * length)
    cosine, _ = g.waves(range(length + 1), [0, *lags], 2 * length)
    share = np.full((length + 1, 1), 1 / length)  # of the inverse transform
    share[[0, -1]] /= 2
    correlation = g.op("MatMul", power, g.op("Mul", cosine, g.constant(share)))
    energy = g.op("Add", g.cut(correlation, 0, 1, axis=1), g.constant(1e-5))
    periodicity = g.op("Div", g.cut(correlation, 1, axis=1), energy)
    periodicity = g.op("Mul", periodicity, g.constant(analysis.lag_weight.numpy()))
    clipped = g.op("Clip", periodicity, g.constant(-1), g.constant(1.5))
    even = g.op("Slice", power, g.integers(0), g.integers(length + 1), g.integers(1), g.integers(2))
    spectrum = g.op("Log", g.op("Add", g.op("Div", even, g.constant(length)), g.constant(1e-6)))
    pieces = g.reshape(windows, 0, analysis.pieces, -1)
    energies = g.op("ReduceMean", g.op("Mul", pieces, pieces), g.integers(2), keepdims=0)
    energies = g.op("Div", g.op("Log", g.op("Add", energies, g.constant(1e-7))), g.constant(3))
    pitch = analysis.lag_pitch.numpy()
    choice = g.op("Mul", g.op("Add", clipped, g.constant(0.01 * pitch)), g.constant(60))
    choice = g.op("Softmax", choice, axis=-1)
    means = [
        g.op("ReduceSum", g.op("Mul", choice, values), g.integers(1), keepdims=1)
        for values in (g.constant(pitch), periodicity)
    ]
    spectrum = g.op("Add", g.op("Div", spectrum, g.constant(4)), g.constant(1.5))
    return g.op("Concat", spectrum, clipped, g.op("Add", energies, g.constant(3)), *means, axis=1)


def _pitch(g: Graph, codec: NeuralCodec, windows: str) -> str:
    """`PitchTracker.step` of windows (T, 3 * hop) -> octaves (T, 1)."""
    tracker = codec.encoder.pitch
    scores, length = tracker.scores, 3 * codec.config.hop_samples
    mean = g.op("ReduceMean", windows, g.integers(1), keepdims=1)
    pieces = g.op("Mul", g.op("Sub", windows, mean), g.constant(scores.window.numpy()))
    power = _power(g, pieces, length, scores.size)
    cosine, _ = g.waves(range(scores.size // 2 + 1), range(scores.longest), scores.size * OVERSAMPLING)
    share = np.full((scores.size // 2 + 1, 1), 2 / (scores.size * OVERSAMPLING))
    share[0] /= 2
    correlation = g.op("MatMul", power, g.op("Mul", cosine, g.constant(share)))
    energy = g.cut(correlation, 0, 1, axis=1)
    normalised = g.op("Div", correlation, g.op("Add", energy, g.constant(1e-6 * length)))
    normalised = g.op("Mul", normalised, g.constant(scores.weight.numpy()))
    around = g.op("Gather", normalised, g.constant(scores.lags.numpy(), np.int64), axis=1)
    inner = g.cut(around, 1, -1, axis=1)
    sides = g.cut(around, 0, -2, axis=1), g.cut(around, 2, axis=1)
    peak = g.op("And", *(g.op("GreaterOrEqual", inner, side) for side in sides))
    told = g.op("Add", inner, g.constant(OCTAVE_COST * scores.octaves.numpy()))
    voiced = g.op("Where", peak, told, g.op("Sub", inner, g.constant(1)))
    loud = g.op("Greater", g.op("Div", energy, g.constant(length)), g.constant(1e-7))
    unvoiced = g.op("Where", loud, g.constant(VOICING_THRESHOLD), g.constant(2))
    found = g.op("Concat", voiced, unvoiced, axis=1)
    best = g.input("state.scores", "FLOAT", [BINS + 1])
    held = g.input("state.octaves", "FLOAT", [1])
    body = _path(g, codec)
    path = g.op("Scan", best, held, found, normalised, outputs=3, body=body, num_scan_inputs=2)
    g.output("after.scores", path, "FLOAT", [BINS + 1])
    g.output("after.octaves", f"{path}.1", "FLOAT", [1])
    return f"{path}.2"


def _path(outer: Graph, codec: NeuralCodec) -> object:
    """One frame: `best_ends`, `PitchScores.refined_hz`, and the last pitch where there is none."""
    tracker = codec.encoder.pitch
    scores = tracker.scores
    g = outer.body("path")
    best, held = g.input("best", "FLOAT", [BINS + 1]), g.input("held", "FLOAT", [1])
    found = g.input("found", "FLOAT", [BINS + 1])
    correlation = g.input("correlation", "FLOAT", [scores.longest])
    ways = g.op("ReduceMax", g.op("Sub", best, g.constant(scores.cost.numpy())), g.integers(1), keepdims=0)
    ways = g.op("Add", ways, found)
    ways = g.op("Sub", ways, g.op("ReduceMax", ways, g.integers(0), keepdims=1))
    end = g.op("ArgMax", ways, axis=0, keepdims=1)
    last = g.constant(BINS, np.int64)
    grid = g.op("Min", end, g.integers(BINS - 1))
    lag = g.op("Gather", g.constant(scores.lags.numpy()[1:-1], np.int64), grid)
    near = g.op("Add", lag, g.integers(-2, -1, 0, 1, 2))
    near = g.op("Min", g.op("Max", near, g.integers(1)), g.integers(scores.longest - 2))
    place = g.op("ArgMax", g.op("Gather", correlation, near), axis=0, keepdims=1)
    peak = g.op("Gather", near, place)
    left, middle, right = (g.op("Gather", correlation, g.op("Add", peak, g.integers(side))) for side in (-1, 0, 1))
    bend = g.op("Add", g.op("Sub", left, g.op("Mul", middle, g.constant(2))), right)
    slope = g.op("Mul", g.op("Sub", left, right), g.constant(0.5))
    shift = g.op("Div", slope, g.op("Min", bend, g.constant(-1e-9)))
    shift = g.op("Where", g.op("Less", bend, g.constant(-1e-9)), shift, g.constant([0]))
    shift = g.op("Clip", shift, g.constant(-1), g.constant(1))
    period = g.op("Add", g.cast(peak, "FLOAT"), shift)
    hz = g.op("Div", g.constant(scores.sample_rate_hz * OVERSAMPLING), period)
    hz = g.op("Clip", hz, g.constant(scores.lowest_hz), g.constant(scores.highest_hz))
    octaves = g.op("Log", g.op("Div", hz, g.constant(tracker.middle_hz)))
    octaves = g.op("Div", octaves, g.constant(np.log(2)))
    octaves = g.op("Where", g.op("Less", end, last), octaves, held)
    for name, tensor, size in (("best.after", ways, BINS + 1), ("held.after", octaves, 1), ("octaves", octaves, 1)):
        g.output(name, tensor, "FLOAT", [size])
    return g.proto(constants=False)


def _decoder(codec: NeuralCodec, directory: Path) -> Graph:
    config = codec.config
    g = Graph("decoder", directory / WEIGHTS)
    codes = g.cast(g.input("codes", "INT32", ["frames", "codebooks"]), "INT64")
    first = g.cut(codes, 0, 1, axis=1)
    size = g.constant(codec.quantiser.sizes[0], np.int64)
    level = g.op("Div", first, size)
    pitch = g.op("Sub", g.op("Div", g.cast(level, "FLOAT"), g.constant(PITCH_LEVELS - 1)), g.constant(0.5))
    pitch = g.op("Mul", pitch, g.constant(config.pitch_width))
    stages = [f"quantiser.stages.{number}" for number in range(config.codebooks)]
    rows = g.op("Concat", *(g.linear(g.weight(f"{stage}.codes"), f"{stage}.up") for stage in stages), axis=0)
    starts = g.constant(np.cumsum([0, *codec.quantiser.sizes[:-1]])[None], np.int64)
    count = g.op("Shape", codes, start=1, end=2)
    starts = g.op("Slice", starts, g.integers(0), count, g.integers(1))
    inside = g.op("Concat", g.op("Sub", first, g.op("Mul", level, size)), g.cut(codes, 1, axis=1), axis=1)
    timbre = g.op("ReduceSum", g.op("Gather", rows, g.op("Add", inside, starts)), g.integers(1), keepdims=0)
    _sound(g, codec, g.op("Concat", pitch, timbre, axis=1), pitch)
    return g


def _sound(g: Graph, codec: NeuralCodec, latents: str, pitch: str, noise: type[np.floating] = np.float16) -> None:
    """`CodecDecoder.step`: latents (T, latent_dim), their first column apart; noise: how its table is kept."""
    config, decoder = codec.config, codec.decoder
    x = g.norm(g.linear(latents, "decoder.inward"), "decoder.inward_norm")
    x = stack(g, x, "decoder", config.decoder_blocks, config.decoder_dim, config.kernel_frames)
    x = g.linear(g.norm(x, "decoder.outward_norm"), "decoder.outward")
    x = g.op("Mul", x, g.constant(decoder.scale.numpy()))
    controls = g.op("Add", x, g.linear(latents, "decoder.across"))
    octaves = g.op("Div", g.cast(g.reshape(pitch, -1), "DOUBLE"), g.constant(PITCH_SCALE, np.float64))
    hz = g.op("Mul", g.op("Pow", g.constant(2, np.float64), octaves), g.constant(config.middle_pitch_hz, np.float64))
    limits = (config.lowest_pitch_hz, config.highest_pitch_hz)
    hz = g.op("Clip", hz, *(g.constant(limit, np.float64) for limit in limits))
    _synthesis(g, decoder, controls, hz, noise)


def _synthesis(g: Graph, decoder: CodecDecoder, controls: str, hz: str, kind: type[np.floating]) -> None:
    """`SourceFilter.step`: controls (T, controls), hz (T,) float64."""
    synthesis = decoder.synthesis
    hop, taps = synthesis.hop, synthesis.pulse_taps + synthesis.noise_taps
    before = g.input("state.controls", "FLOAT", [1, synthesis.controls])
    g.output("after.controls", g.cut(controls, -1), "FLOAT", [1, synthesis.controls])
    voiced = _pulses(g, decoder, hz)
    hops = g.input("state.hops", "INT32", [1])
    number = g.op("Range", g.constant(0, np.int64), g.op("Squeeze", g.op("Shape", hz)), g.constant(1, np.int64))
    number = g.op("Add", number, g.cast(hops, "INT64"))
    places = g.op("Mod", number, g.integers(NOISE_HOPS))
    after = g.op("Mod", g.op("Add", g.cut(places, -1), g.integers(1)), g.integers(NOISE_HOPS))
    g.output("after.hops", g.cast(after, "INT32"), "INT32", [1])
    noise = g.cast(g.op("Gather", g.constant(synthesis.noise.numpy(), kind), places), "FLOAT")

    both = g.op("Concat", before, controls, axis=0)
    gains = g.reshape(g.cut(both, taps, axis=1), -1, 2, synthesis.gains)
    knots = g.op("Concat", g.cut(g.cut(gains, 0, -1), -1, axis=2), g.cut(gains, 1), axis=2)
    loud = g.op("MatMul", knots, g.constant(synthesis.ramp.numpy()))
    loud = g.op("Exp", g.op("Clip", loud, g.constant(-12), g.constant(6)))
    sources = [g.op("Unsqueeze", source, g.integers(1)) for source in (voiced, noise)]
    sources = g.op("Mul", g.op("Concat", *sources, axis=1), loud)  # (T, 2, hop)

    real, imaginary = _responses(g, decoder, g.cut(both, 0, taps, axis=1))
    cosine, sine = g.waves(range(hop), range(hop + 1), 2 * hop)
    total: list[str] = []
    for fade, (begin, end) in zip(synthesis.fades.numpy(), ((0, -1), (1, None)), strict=True):
        faded = g.op("Mul", sources, g.constant(fade))
        x, y = g.op("MatMul", faded, cosine), g.op("Neg", g.op("MatMul", faded, sine))
        u, v = (g.cut(part, begin) if end is None else g.cut(part, begin, end) for part in (real, imaginary))
        total.append(g.op("Sub", g.op("Mul", x, u), g.op("Mul", y, v)))
        total.append(g.op("Add", g.op("Mul", x, v), g.op("Mul", y, u)))
    spectrum = [g.op("ReduceSum", g.op("Add", a, b), g.integers(1), keepdims=0) for a, b in (total[::2], total[1::2])]
    share = np.full((hop + 1, 1), 1 / hop)
    share[[0, -1]] /= 2
    cosine, sine = (g.op("Mul", table, g.constant(share)) for table in g.waves(range(hop + 1), range(2 * hop), 2 * hop))
    pieces = g.op("Sub", g.op("MatMul", spectrum[0], cosine), g.op("MatMul", spectrum[1], sine))
    ringing = g.cut(pieces, hop, axis=1)
    owed = g.op("Concat", g.input("state.ringing", "FLOAT", [1, hop]), g.cut(ringing, 0, -1), axis=0)
    g.output("after.ringing", g.cut(ringing, -1), "FLOAT", [1, hop])
    g.output("samples", g.reshape(g.op("Add", g.cut(pieces, 0, hop, axis=1), owed), -1), "FLOAT", ["samples"])


def _responses(g: Graph, decoder: CodecDecoder, cepstra: str) -> tuple[str, str]:
    """Real and imaginary parts (T, 2, hop + 1) of the filters of cepstra (T, taps of both)."""
    synthesis = decoder.synthesis
    hop, found = synthesis.hop, list[tuple[str, str]]()
    for begin, count in ((0, synthesis.pulse_taps), (synthesis.pulse_taps, synthesis.noise_taps)):
        cosine, sine = g.waves(range(count), range(hop + 1), 2 * hop)
        taps = g.cut(cepstra, begin, begin + count, axis=1)
        level = g.op("Add", g.op("MatMul", taps, cosine), g.constant(QUIET))
        size = g.op("Exp", g.op("Clip", level, g.constant(-16), g.constant(5)))
        angle = g.op("Neg", g.op("MatMul", taps, sine))
        found.append((g.op("Mul", size, g.op("Cos", angle)), g.op("Mul", size, g.op("Sin", angle))))
    real, imaginary = (
        g.op("Concat", *(g.op("Unsqueeze", pair[part], g.integers(1)) for pair in found), axis=1) for part in (0, 1)
    )
    return real, imaginary


def _pulses(g: Graph, decoder: CodecDecoder, hz: str) -> str:
    """`SourceFilter._pulses` (T, hop) at hz (T,) float64; the phase is counted in float64."""
    hop, rate = decoder.synthesis.hop, decoder.synthesis.sample_rate_hz
    known, phase = g.input("state.hz", "DOUBLE", [1]), g.input("state.phase", "DOUBLE", [1])
    g.output("after.hz", g.cut(hz, -1), "DOUBLE", [1])
    old = g.op("Where", g.op("Greater", known, g.constant(0, np.float64)), known, g.cut(hz, 0, 1))
    before = g.op("Concat", old, g.cut(hz, 0, -1), axis=0)
    advance = g.op("Mul", g.op("Add", before, hz), g.constant(hop / rate / 2, np.float64))
    total = g.op("Add", g.op("CumSum", advance, g.constant(0, np.int64)), phase)
    ends = g.op("Sub", total, g.op("Floor", total))
    g.output("after.phase", g.cut(ends, -1), "DOUBLE", [1])
    start = g.cast(g.op("Concat", phase, g.cut(ends, 0, -1), axis=0), "FLOAT")
    n = np.arange(1, hop + 1)
    slope = g.cast(g.op("Mul", g.op("Sub", hz, before), g.constant(1 / (2 * hop * rate), np.float64)), "FLOAT")
    steady = g.cast(g.op("Mul", before, g.constant(1 / rate, np.float64)), "FLOAT")
    within = [
        g.op("Mul", g.reshape(values, -1, 1), g.constant(powers)) for values, powers in ((steady, n), (slope, n * n))
    ]
    cycles = g.op("Add", g.reshape(start, -1, 1), g.op("Add", *within))
    top = g.op("Div", g.constant(0.49 * rate, np.float64), g.op("Max", before, hz))
    harmonics = g.reshape(g.cast(g.op("Floor", top), "FLOAT"), -1, 1)
    half = g.op("Mul", g.op("Sub", cycles, g.op("Round", cycles)), g.constant(np.pi))
    below = g.op("Sin", half)
    odd = g.op("Add", g.op("Mul", harmonics, g.constant(2)), g.constant(1))
    at_pulse = g.op("Less", g.op("Abs", below), g.constant(1e-4))
    kernel = g.op("Div", g.op("Sin", g.op("Mul", odd, half)), g.op("Where", at_pulse, g.constant(1), below))
    kernel = g.op("Where", at_pulse, odd, kernel)
    scale = g.op("Sqrt", g.op("Div", g.constant(2), harmonics))
    return g.op("Mul", g.op("Mul", g.op("Sub", kernel, g.constant(1)), g.constant(0.5)), scale)
