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

/** Give a frame of `encodeAudio` another place in another session. Returns how many samples are in it. */
export function renumberAudio(frame, { sequence, mediaTime }) {
  const view = new DataView(frame);
  view.setUint32(4, sequence >>> 0, true);
  view.setUint32(8, mediaTime >>> 0, true);
  return (frame.byteLength - HEADER_BYTES) >> 1;
}

/** The inverse: header fields and, for pcm16, `samples` as Float32Array in -1..1. Raises RangeError when too short. */
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
  };
  if (frame.type === AUDIO && frame.codec === PCM16) {
    const count = (buffer.byteLength - HEADER_BYTES) >> 1;
    frame.samples = new Float32Array(count);
    for (let i = 0; i < count; i++) frame.samples[i] = view.getInt16(HEADER_BYTES + 2 * i, true) / 32768;
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
