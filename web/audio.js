/** The page's sound: microphone or sample clip into the capture worklet, speech out of the playback worklet. */

const BUNDLE_MS = 160; // of speech in a message: below it the headers cost more than the patience that they save
const DUCKED = 0.15; // the sample's own voice while the translation is spoken
const DUCK_S = 0.08;

/** The browser's own fault list: null when it can do all that the page needs. */
export function missing() {
  if (!globalThis.isSecureContext || !navigator.mediaDevices?.getUserMedia) return "secure context";
  if (!globalThis.AudioContext || !globalThis.AudioWorkletNode) return "audio worklet";
  return null;
}

export class Sound {
  /**
   * `handlers`: onCapture(Int16Array), onInput(level 0..1), onPlayback(report of the playback worklet), onLost(), and
   * onChange(): whether the sound is `running` or `muted` may have changed.
   */
  constructor(handlers) {
    this.handlers = handlers;
    this.context = null;
    this.volume = 1;
    this.source = null;
    this.stream = null;
    this.capture = null;
    this.playback = null;
    this.playbackHz = 0;
    this.original = null; // how loud the sample clip itself is heard
  }

  /** Whether the browser's sound runs: another program, a call or the screen's lock may pause it. */
  get running() {
    return this.context?.state === "running";
  }

  /** Whether the system keeps the microphone silent: a key of the headset, a switch of the browser. */
  get muted() {
    return this.stream?.getAudioTracks()[0]?.muted ?? false;
  }

  /** Must be called from a click: browsers let no page make a sound before one. */
  async open() {
    if (!this.context) {
      this.context = new AudioContext({ latencyHint: "interactive" });
      this.context.onstatechange = () => {
        if (this.capture) this.wake();
        this.handlers.onChange();
      };
      this.master = new GainNode(this.context, { gain: this.volume });
      this.master.connect(this.context.destination);
      const modules = ["capture.worklet.js", "playback.worklet.js"];
      this.loaded = Promise.all(
        modules.map((name) => this.context.audioWorklet.addModule(new URL(name, import.meta.url))),
      );
    }
    await this.loaded;
    if (!this.running) await this.context.resume();
  }

  /** Phones put a page's sound to sleep behind its back, and so do calls and other programs. */
  wake() {
    if (this.context && !this.running) this.context.resume().catch(() => {}); // `running` tells whether it helped
  }

  setVolume(volume) {
    this.volume = volume;
    this.master?.gain.setTargetAtTime(volume, this.context.currentTime, 0.02);
  }

  /** Ask for the microphone. Rejects with what getUserMedia rejects with; lets go of it if it is not `wanted` any more. */
  async openMicrophone(wanted) {
    const stream = await navigator.mediaDevices.getUserMedia({
      audio: { channelCount: 1, echoCancellation: true, noiseSuppression: true, autoGainControl: true },
    });
    if (!wanted()) {
      for (const track of stream.getTracks()) track.stop();
      return;
    }
    this.stream = stream;
    const [track] = stream.getAudioTracks();
    track.onended = () => this.handlers.onLost();
    track.onmute = track.onunmute = () => this.handlers.onChange();
    this.source = new MediaStreamAudioSourceNode(this.context, { mediaStream: this.stream });
  }

  /** Take a clip instead, in real time, heard in the loudspeaker too; `onEnded` when it is over. */
  async openClip(url, wanted, onEnded) {
    const response = await fetch(url);
    if (!response.ok) throw new Error(`the sample clip is missing (${response.status})`);
    const buffer = await this.context.decodeAudioData(await response.arrayBuffer());
    if (!wanted()) return;
    this.source = new AudioBufferSourceNode(this.context, { buffer });
    this.source.onended = onEnded;
    this.original = new GainNode(this.context, { gain: 0.7 });
    this.source.connect(this.original).connect(this.master);
  }

  /** From here on bundles of pcm16 at `rateHz` come out through onCapture. */
  startCapture(rateHz) {
    const capture = new AudioWorkletNode(this.context, "capture", {
      numberOfInputs: 1,
      numberOfOutputs: 1,
      processorOptions: { rateHz, bundleMs: BUNDLE_MS },
    });
    capture.port.onmessage = ({ data }) => {
      if (data.pcm) this.handlers.onCapture(data.pcm);
      if (data.level !== undefined) this.handlers.onInput(data.level);
      if (data.flushed) capture.flushed?.();
    };
    capture.onprocessorerror = () => this.handlers.onLost();
    this.capture = capture;
    this.source.connect(capture).connect(this.context.destination); // silent; a path to the end keeps it running
    if (this.source instanceof AudioBufferSourceNode) this.source.start();
  }

  /** The last samples come through onCapture, then the microphone is let go. */
  async stopCapture() {
    const { capture, source, stream, original } = this;
    this.source = this.stream = this.capture = this.original = null;
    if (capture && this.running) {
      await Promise.race([
        new Promise((resolve) => {
          capture.flushed = resolve;
          capture.port.postMessage({ type: "flush" });
        }),
        new Promise((resolve) => setTimeout(resolve, 500)),
      ]);
    }
    if (source instanceof AudioBufferSourceNode) source.onended = null;
    for (const node of [source, capture, original]) node?.disconnect();
    for (const track of stream?.getTracks() ?? []) track.stop();
  }

  /** Play `samples` (Float32Array at `rateHz`) right after whatever was given before. */
  play(samples, rateHz) {
    if (!this.playback || this.playbackHz !== rateHz) {
      this.playback?.disconnect();
      this.playback = new AudioWorkletNode(this.context, "playback", {
        numberOfInputs: 0,
        outputChannelCount: [1],
        processorOptions: { rateHz },
      });
      this.playbackHz = rateHz;
      this.playback.port.onmessage = ({ data }) => {
        this.duck(data.bufferedMs > 0);
        this.handlers.onPlayback(data);
      };
      this.playback.connect(this.master);
    }
    this.playback.port.postMessage({ type: "speech", samples }, [samples.buffer]);
  }

  duck(speaking) {
    this.original?.gain.setTargetAtTime(speaking ? DUCKED : 0.7, this.context.currentTime, DUCK_S);
  }

  /** Be quiet now. */
  silence() {
    this.playback?.port.postMessage({ type: "clear" });
  }
}
