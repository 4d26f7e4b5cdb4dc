/** Packets of speech: those of the neural codec (codecs/bitstream.py) and chunks of Opus (codecs/opus.py). Pure. */

const NEURAL = 0xc5;
const OPUS = 0xc6;
const VERSION = 1;
const CODE_BITS = 10;
const CHECK_BYTES = 4;
const HEADERS = { [NEURAL]: 7, [OPUS]: 5 }; // bytes before the content
const FIRST_FRAME = { [NEURAL]: 5, [OPUS]: 3 }; // where its number stands
const FRAME_NUMBERS = 1 << 16;

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  return value;
});

/** CRC-32 (IEEE 802.3) of bytes. */
export function crc32(bytes) {
  let value = 0xffffffff;
  for (const byte of bytes) value = TABLE[(value ^ byte) & 0xff] ^ (value >>> 8);
  return ~value >>> 0;
}

function viewOf(bytes) {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function seal(packet) {
  viewOf(packet).setUint32(packet.length - CHECK_BYTES, crc32(packet.subarray(0, -CHECK_BYTES)), true);
  return packet;
}

/** The first `kept` of each frame's `codebooks` codes (frame after frame) as a packet. */
export function packNeural(codes, codebooks, kept, firstFrame) {
  const frames = codes.length / codebooks;
  const packet = new Uint8Array(HEADERS[NEURAL] + Math.ceil((frames * kept * CODE_BITS) / 8) + CHECK_BYTES);
  packet.set([NEURAL, VERSION, kept]);
  viewOf(packet).setUint16(3, frames, true);
  viewOf(packet).setUint16(5, firstFrame % FRAME_NUMBERS, true);
  let [at, held, bits] = [HEADERS[NEURAL], 0, 0];
  for (let frame = 0; frame < frames; frame++) {
    for (let book = 0; book < kept; book++) {
      held = (held << CODE_BITS) | codes[frame * codebooks + book];
      for (bits += CODE_BITS; bits >= 8; bits -= 8) packet[at++] = held >>> (bits - 8);
      held &= (1 << bits) - 1;
    }
  }
  if (bits > 0) packet[at] = held << (8 - bits);
  return seal(packet);
}

/** Opus packets of 20 ms each as a chunk. */
export function packOpus(frames, firstFrame) {
  const lengths = frames.map(({ length }) => (length < 252 ? [length] : [252 + (length % 4), (length - 252 - (length % 4)) / 4]));
  const size = frames.reduce((sum, frame, i) => sum + frame.length + lengths[i].length, HEADERS[OPUS] + CHECK_BYTES);
  const packet = new Uint8Array(size);
  packet.set([OPUS, VERSION, frames.length]);
  viewOf(packet).setUint16(3, firstFrame % FRAME_NUMBERS, true);
  let at = HEADERS[OPUS];
  frames.forEach((frame, i) => {
    packet.set(lengths[i], at);
    packet.set(frame, at + lengths[i].length);
    at += lengths[i].length + frame.length;
  });
  return seal(packet);
}

/** Where a chunk's Opus packets lie: [begin, end] each. */
function opusFrames(bytes, start) {
  const places = [];
  let at = start + HEADERS[OPUS];
  for (let frame = 0; frame < bytes[start + 2]; frame++) {
    const size = bytes[at] < 252 ? bytes[at] : bytes[at] + 4 * bytes[at + 1];
    at += bytes[at] < 252 ? 1 : 2;
    places.push([at, at + size]);
    at += size;
  }
  return places;
}

/** The packets that follow each other in `bytes`: { kind, begin, end, frames, firstFrame }. RangeError for what is no packet. */
export function packetsIn(bytes) {
  const found = [];
  for (let begin = 0; begin < bytes.length; ) {
    const kind = bytes[begin];
    const header = HEADERS[kind];
    if (!header || bytes.length - begin < header + CHECK_BYTES || bytes[begin + 1] !== VERSION) {
      throw new RangeError(`no packet of speech: ${bytes.length - begin} bytes that begin with ${kind}, ${bytes[begin + 1]}`);
    }
    const view = viewOf(bytes);
    const frames = kind === OPUS ? bytes[begin + 2] : view.getUint16(begin + 3, true);
    const content = kind === OPUS ? (opusFrames(bytes, begin).at(-1)?.[1] ?? 0) : begin + header + Math.ceil((frames * bytes[begin + 2] * CODE_BITS) / 8);
    const end = content + CHECK_BYTES;
    if (!frames || end > bytes.length || view.getUint32(content, true) !== crc32(bytes.subarray(begin, content))) {
      throw new RangeError(`a damaged packet of speech: ${frames} frames in ${bytes.length - begin} bytes`);
    }
    found.push({ kind, begin, end, frames, firstFrame: view.getUint16(begin + FIRST_FRAME[kind], true) });
    begin = end;
  }
  return found;
}

/** The codes (frame after frame) of the neural packets in `bytes`: { codes: Int32Array, codebooks, frames, firstFrame } each. */
export function unpackNeural(bytes) {
  return packetsIn(bytes).map(({ begin, frames, firstFrame }) => {
    const codebooks = bytes[begin + 2];
    const codes = new Int32Array(frames * codebooks);
    let [at, held, bits] = [begin + HEADERS[NEURAL], 0, 0];
    for (let i = 0; i < codes.length; i++) {
      for (; bits < CODE_BITS; bits += 8) held = (held << 8) | bytes[at++];
      bits -= CODE_BITS;
      codes[i] = held >>> bits;
      held &= (1 << bits) - 1;
    }
    return { codes, codebooks, frames, firstFrame };
  });
}

/** The Opus packets of the chunks in `bytes`: { frames: [Uint8Array], firstFrame } each. */
export function unpackOpus(bytes) {
  return packetsIn(bytes).map(({ begin, firstFrame }) => ({
    frames: opusFrames(bytes, begin).map(([from, to]) => bytes.subarray(from, to)),
    firstFrame,
  }));
}

/** Give the packets in `bytes` other places in a stream, from `firstFrame` on. Returns how many frames they hold. */
export function renumberFrames(bytes, firstFrame) {
  let frames = 0;
  for (const packet of packetsIn(bytes)) {
    const place = packet.begin + FIRST_FRAME[packet.kind];
    viewOf(bytes).setUint16(place, (firstFrame + frames) % FRAME_NUMBERS, true);
    seal(bytes.subarray(packet.begin, packet.end));
    frames += packet.frames;
  }
  return frames;
}
