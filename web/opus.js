/** Opus through WebCodecs, in chunks as the service packs them (codecs/opus.py). */

import { joined } from "./neural.js";
import { packOpus, unpackOpus } from "./packets.js";

const RATE_HZ = 16_000;
const FRAME = 320; // samples of a packet
const BITRATE_BPS = 16_000;
const CODED = { codec: "opus", sampleRate: RATE_HZ, numberOfChannels: 1 };
const ENCODER = { ...CODED, bitrate: BITRATE_BPS, bitrateMode: "variable", opus: { frameDuration: 20_000, application: "voip" } };

/** Whether this browser codes and decodes it. */
export async function speaksOpus() {
  if (!globalThis.AudioEncoder || !globalThis.AudioDecoder) return false;
  try {
    const found = await Promise.all([AudioEncoder.isConfigSupported(ENCODER), AudioDecoder.isConfigSupported(CODED)]);
    return found.every(({ supported }) => supported);
  } catch {
    return false;
  }
}

export class Opus {
  constructor() {
    this.frame = 0;
    this.at = 0; // samples that were given to the encoder
    this.chunks = []; // that it gave
    this.heard = []; // { samples, rateHz } that the decoder gave
  }

  /** What comes next begins at frame 0. */
  renewEncoder() {
    this.frame = 0;
    this.encoder?.close();
    this.encoder = null;
  }

  startEncoder() {
    this.encoder = new AudioEncoder({
      output: (chunk) => {
        const frame = new Uint8Array(chunk.byteLength);
        chunk.copyTo(frame);
        this.chunks.push(frame);
      },
      error: (error) => (this.fault = error),
    });
    this.encoder.configure(ENCODER);
  }

  /** Float32Array of whole frames at 16 kHz -> a chunk, or null while the encoder holds everything back. */
  async encode(samples, last = false) {
    if (!this.encoder) this.startEncoder();
    if (samples.length > 0) {
      const timestamp = Math.round((this.at * 1e6) / RATE_HZ);
      const data = new AudioData({ format: "f32-planar", sampleRate: RATE_HZ, numberOfFrames: samples.length, numberOfChannels: 1, timestamp, data: samples });
      this.encoder.encode(data);
      data.close();
      this.at += samples.length;
    }
    if (last) await this.encoder.flush();
    else await drained(this.encoder, "encodeQueueSize");
    if (this.fault) throw this.fault;
    const chunks = this.chunks.splice(0);
    if (chunks.length === 0) return null;
    const packet = packOpus(chunks, this.frame);
    this.frame += chunks.length;
    return packet;
  }

  /** Chunks -> { samples, rateHz }. */
  async decode(payload) {
    if (!this.decoder || this.decoder.state === "closed") this.startDecoder();
    for (const { frames } of unpackOpus(payload)) {
      for (const data of frames) this.decoder.decode(new EncodedAudioChunk({ type: "key", timestamp: 0, data }));
    }
    await drained(this.decoder, "decodeQueueSize");
    const heard = this.heard.splice(0);
    return { samples: joined(heard.map(({ samples }) => samples)), rateHz: heard[0]?.rateHz ?? RATE_HZ };
  }

  startDecoder() {
    this.decoder = new AudioDecoder({
      output: (data) => {
        const samples = new Float32Array(data.numberOfFrames);
        data.copyTo(samples, { planeIndex: 0, format: "f32-planar" });
        this.heard.push({ samples, rateHz: data.sampleRate });
        data.close();
      },
      error: () => {}, // what it gives then is empty, and the next chunk starts another
    });
    this.decoder.configure(CODED);
  }
}

/** Until a coder has begun all that it was given; what it holds back comes with the next. */
function drained(coder, queue) {
  if (coder[queue] === 0) return Promise.resolve();
  return new Promise((resolve) => {
    coder.addEventListener("dequeue", function look() {
      if (coder[queue] > 0 && coder.state === "configured") return;
      coder.removeEventListener("dequeue", look);
      resolve();
    });
  });
}

export { FRAME };
