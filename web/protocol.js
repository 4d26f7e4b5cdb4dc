/**
 * The wire protocol streamst.v1 without any I/O: bytes and text to messages, and back.
 *
 * Binary frames, both ways, little endian: u8 type, u8 codec, u16 flags, u32 sequence, u32 media time in samples,
 * then the payload. Text frames are JSON objects with a "type"; unknown types are for the caller to ignore.
 */

export const SUBPROTOCOL = "streamst.v1";
export const HEADER_BYTES = 12;
export const AUDIO = 1; // frame type
export const PCM16 = 0; // codec
export const CODEC_NUMBERS = { pcm16: PCM16, opus: 1, neural: 2 };
const CODEC_NAMES = Object.keys(CODEC_NUMBERS);

/** One binary frame with pcm16 audio. `samples` is an Int16Array, `mediaTime` the index of its first sample. */
export function encodeAudio({ sequence, mediaTime, samples, flags = 0 }) {
  const frame = new ArrayBuffer(HEADER_BYTES + samples.length * 2);
  const view = new DataView(frame);
  view.setUint8(0, AUDIO);
  view.setUint8(1, PCM16);
  view.setUint16(2, flags, true);
  view.setUint32(4, sequence >>> 0, true);
  view.setUint32(8, mediaTime >>> 0, true);
  for (let i = 0; i < samples.length; i++) view.setInt16(HEADER_BYTES + 2 * i, samples[i], true);
  return frame;
}

/** One binary frame with audio that is coded: `payload` holds packets of `codec`. */
export function encodeCoded({ codec, sequence, mediaTime, payload }) {
  const frame = new ArrayBuffer(HEADER_BYTES + payload.length);
  new DataView(frame).setUint8(0, AUDIO);
  new DataView(frame).setUint8(1, CODEC_NUMBERS[codec]);
  new Uint8Array(frame, HEADER_BYTES).set(payload);
  renumberAudio(frame, { sequence, mediaTime });
  return frame;
}

/** Give a frame another place in another session. */
export function renumberAudio(frame, { sequence, mediaTime }) {
  const view = new DataView(frame);
  view.setUint32(4, sequence >>> 0, true);
  view.setUint32(8, mediaTime >>> 0, true);
}

/** The codec of an audio frame, by its name, and what it holds of packets. */
export function codedIn(frame) {
  return { codec: CODEC_NAMES[new DataView(frame).getUint8(1)], payload: new Uint8Array(frame, HEADER_BYTES) };
}

/** The inverse: header fields and, for pcm16, `samples` as Float32Array in -1..1, else `payload` as bytes. Raises RangeError when too short. */
export function decodeBinary(buffer) {
  if (buffer.byteLength < HEADER_BYTES) {
    throw new RangeError(`binary frame of ${buffer.byteLength} bytes; at least ${HEADER_BYTES}`);
  }
  const view = new DataView(buffer);
  const frame = {
    type: view.getUint8(0),
    codec: view.getUint8(1),
    flags: view.getUint16(2, true),
    sequence: view.getUint32(4, true),
    mediaTime: view.getUint32(8, true),
    samples: null,
    payload: null,
  };
  if (frame.type === AUDIO && frame.codec === PCM16) {
    const count = (buffer.byteLength - HEADER_BYTES) >> 1;
    frame.samples = new Float32Array(count);
    for (let i = 0; i < count; i++) frame.samples[i] = view.getInt16(HEADER_BYTES + 2 * i, true) / 32768;
  } else {
    frame.payload = new Uint8Array(buffer, HEADER_BYTES);
  }
  return frame;
}

/** A text frame as an object with a string `type`, or null when it is not one. */
export function decodeText(text) {
  try {
    const message = JSON.parse(text);
    return message !== null && typeof message === "object" && typeof message.type === "string" ? message : null;
  } catch {
    return null;
  }
}

/** Float samples -1..1 as 16 bit, limited and rounded. */
export function toPcm16(samples) {
  const pcm = new Int16Array(samples.length);
  for (let i = 0; i < samples.length; i++) {
    pcm[i] = Math.max(-32768, Math.min(32767, Math.round(samples[i] * 32768)));
  }
  return pcm;
}

/** Where the stream lives for a page at `location`: the same host, secure when the page is. */
export function streamUrl(location) {
  return `${location.protocol === "https:" ? "wss:" : "ws:"}//${location.host}/v1/stream`;
}

/** About how many bytes a message of `bytes` really costs: websocket header and mask, TLS record, TCP/IP packets. */
export function bytesOnWire(bytes, secure) {
  const framed = bytes + (bytes < 126 ? 6 : 8) + (secure ? 22 : 0);
  return framed + 52 * Math.ceil(framed / 1448);
}
