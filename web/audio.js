/** The page's sound: a microphone, a tab, a file or the sample into the capture worklet, speech out of the playback one. */

const BUNDLE_MS = 160; // of speech in a message: below it the headers cost more than the patience that they save
const DUCKED = 0.2; // of the original's loudness, while the translation is spoken
const DUCK_S = 0.08;
const STARTS_WITHIN_MS = 10_000; // a file

/** The browser's own fault list: null when it can do all that the page needs. */
export function missing() {
  if (!globalThis.isSecureContext || !navigator.mediaDevices?.getUserMedia) return "secure context";
  if (!globalThis.AudioContext || !globalThis.AudioWorkletNode) return "audio worklet";
  return null;
}

export class Sound {
  /**
   * `handlers`: onCapture(Int16Array), onInput(level 0..1, when on the audio thread's clock [ms]), onPlayback(report of the playback worklet), onLost(), and
   * onChange(): whether the sound is `running` or `muted` may have changed.
   */
  constructor(handlers) {
    this.handlers = handlers;
    this.context = null;
    this.volume = 1;
    this.originalVolume = 0.7;
    this.hushed = false; // the translation comes back through the microphone
    this.source = null;
    this.element = null; // that plays a file
    this.stream = null;
    this.capture = null;
    this.playback = null;
    this.playbackHz = 0;
    this.original = null; // how loud the source itself is heard, where it is no microphone
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
      this.master = new GainNode(this.context, { gain: this.volume }); // of the translation
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
    this.master?.gain.setTargetAtTime(this.hushed ? 0 : volume, this.context.currentTime, 0.02);
  }

  /** How loud the source itself is heard while nothing is spoken over it. */
  setOriginalVolume(volume) {
    this.originalVolume = volume;
    this.duck(false);
  }

  /** Keep the translation silent, whatever its volume, or no longer. */
  hush(on) {
    this.hushed = on;
    this.setVolume(this.volume);
  }

  /** Ask for a microphone, "" being the system's own. Rejects with what getUserMedia rejects with; lets go of it if it is not `wanted` any more. */
  async openMicrophone(wanted, deviceId = "") {
    const usual = { channelCount: 1, echoCancellation: true, noiseSuppression: true, autoGainControl: true };
    const audio = deviceId ? { ...usual, deviceId: { exact: deviceId } } : usual;
    this.take(await navigator.mediaDevices.getUserMedia({ audio }), wanted);
  }

  /** Ask for the sound of a tab or the system. Rejects as getDisplayMedia does, and with a NoSoundError where it has none. */
  async openTab(wanted) {
    const audio = { echoCancellation: false, noiseSuppression: false, autoGainControl: false, suppressLocalAudioPlayback: true };
    const stream = await navigator.mediaDevices.getDisplayMedia({ video: true, audio, systemAudio: "include" });
    if (stream.getAudioTracks().length === 0) {
      for (const track of stream.getTracks()) track.stop();
      throw Object.assign(new Error("no sound is shared"), { name: "NoSoundError" });
    }
    this.take(stream, wanted);
    const quiet = stream.getAudioTracks()[0].getSettings?.().suppressLocalAudioPlayback;
    if (this.source && quiet) this.hearOriginal(); // else the tab itself is heard
  }

  take(stream, wanted) {
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

  /** Let the source be heard in the loudspeaker, softer while the translation is spoken. */
  hearOriginal() {
    this.original = new GainNode(this.context, { gain: this.originalVolume });
    this.source.connect(this.original).connect(this.context.destination);
  }

  /** Take a file of the person's, in real time; `onEnded` when it is over. Rejects where the browser finds no sound in it. */
  async openFile(file, wanted, onEnded) {
    const element = new Audio(URL.createObjectURL(file));
    await new Promise((resolve, reject) => {
      element.oncanplay = resolve;
      element.onerror = () => reject(Object.assign(new Error(element.error?.message || file.name), { name: "EncodingError" }));
      setTimeout(() => reject(new Error(file.name)), STARTS_WITHIN_MS);
    }).catch((error) => {
      URL.revokeObjectURL(element.src);
      throw error;
    });
    if (!wanted()) return;
    element.onended = onEnded;
    this.element = element;
    this.source = new MediaElementAudioSourceNode(this.context, { mediaElement: element });
    this.hearOriginal();
  }

  /** Take a clip instead, in real time, heard in the loudspeaker too; `onEnded` when it is over. */
  async openClip(url, wanted, onEnded) {
    const response = await fetch(url);
    if (!response.ok) throw new Error(`the sample clip is missing (${response.status})`);
    const buffer = await this.context.decodeAudioData(await response.arrayBuffer());
    if (!wanted()) return;
    this.source = new AudioBufferSourceNode(this.context, { buffer });
    this.source.onended = onEnded;
    this.hearOriginal();
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
      if (data.level !== undefined) this.handlers.onInput(data.level, data.atMs);
      if (data.flushed) capture.flushed?.();
    };
    capture.onprocessorerror = () => this.handlers.onLost();
    this.capture = capture;
    this.source.connect(capture).connect(this.context.destination); // silent; a path to the end keeps it running
    if (this.source instanceof AudioBufferSourceNode) this.source.start();
    this.element?.play();
  }

  /** The last samples come through onCapture, then the microphone is let go. */
  async stopCapture() {
    const { capture, source, stream, original, element } = this;
    this.source = this.stream = this.capture = this.original = this.element = null;
    element?.pause();
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
    if (element) URL.revokeObjectURL(element.src);
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
    const loud = this.originalVolume * (speaking ? DUCKED : 1);
    this.original?.gain.setTargetAtTime(loud, this.context.currentTime, DUCK_S);
  }

  /** Be quiet now. */
  silence() {
    this.playback?.port.postMessage({ type: "clear" });
  }
}
