/** Speech as it comes, one piece after the other. Without worklets, which plain http pages do not have. */

const LEAD_S = 0.15; // before the first piece, so that the next one comes in time
const MOST_WAITING_S = 12; // beyond it the oldest is left out: who listens wants the present

export class Dub {
  constructor() {
    this.context = null;
    this.next = 0; // when the next piece begins, on the context's clock [s]
    this.playedMs = 0; // handed to the loudspeaker
    this.sources = new Set();
  }

  /** Must be called from a click. Whether there is sound. */
  async open() {
    if (!globalThis.AudioContext) return false;
    this.context ??= new AudioContext();
    await this.context.resume();
    return this.context.state === "running";
  }

  /** Phones put sound to sleep. */
  wake() {
    if (this.context && this.context.state !== "running") this.context.resume().catch(() => {});
  }

  play(samples, rateHz) {
    const { context } = this;
    if (!context || context.state !== "running" || samples.length === 0) return;
    if (this.next - context.currentTime > MOST_WAITING_S) this.silence();
    const buffer = context.createBuffer(1, samples.length, rateHz);
    buffer.copyToChannel(samples, 0);
    const source = new AudioBufferSourceNode(context, { buffer });
    source.connect(context.destination);
    const at = this.next > context.currentTime ? this.next : context.currentTime + LEAD_S;
    source.start(at);
    this.next = at + buffer.duration;
    this.playedMs += 1000 * buffer.duration;
    this.sources.add(source);
    source.onended = () => this.sources.delete(source);
  }

  /** Be quiet now. */
  silence() {
    for (const source of this.sources) source.stop();
    this.sources.clear();
    this.next = 0;
  }
}
