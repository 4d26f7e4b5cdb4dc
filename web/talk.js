/** A talk from the press of a button to its last word: sound, connection and captions, and what happens in which order. */

import { missing } from "./audio.js";
import { Coders, Downlink, Uplink } from "./coders.js";
import { Ladder, usable } from "./ladder.js";
import { say } from "./say.js";
import { Connection } from "./connection.js";
import { showLatency, showWire } from "./meter.js";
import { Condition, hideTrouble, showTrouble } from "./notices.js";
import { streamUrl } from "./protocol.js";
import * as troubles from "./troubles.js";
import { Watch } from "./watch.js";

const RATE_HZ = 16_000; // of the audio that goes to the server
const SAMPLE = "sample.flac";
const TICK_MS = 1000;
const SLOW_UPLOAD_S = 3; // of audio that still waits here: beyond it the captions cannot keep up
const FULL_UPLOAD_S = 110; // what is lost since more cannot be kept is told until there is less
const DEAF = { asleep: "Not listening", stalled: "Not listening", muted: "Muted", silent: "Hearing nothing" };

export const GATED = "Not talking"; // push to talk, and nobody pushes
export const STATES = { idle: "Ready", connecting: "Connecting…", live: "Listening", ending: "Finishing…", failed: "Disconnected" };

export class Talk {
  /**
   * `parts`: { sound, captions, spoken, choices, sources, gate }. `handlers`: onState(state, words), onOffer(what the
   * server offers), onCaption(row), onRoom(who listens), onConfigured(message), onSpeech(speech, atMs), onBegin(), onEnd().
   * `key()`: the API key to show, or "".
   */
  constructor(parts, handlers, key) {
    Object.assign(this, parts, { handlers, key });
    this.connection = null;
    this.state = "idle";
    this.source = "microphone"; // or "tab", "file", "sample": what a retry starts again
    this.afterwards = null; // a trouble to show once the talk has ended properly
    this.attempts = 0; // to start
    this.watch = new Watch();
    this.condition = new Condition();
    this.echo = ""; // what is kept silent since the translation comes back: "translation" or "microphone"
    this.playbackMs = 0; // of speech that waits to be heard
    this.ladder = new Ladder(navigator.connection);
    this.coders = new Coders(new URL("codec/", location.href).href, () => this.state === "live" && this.configure());
  }

  /** The codec that travels from now on: what was chosen, or what the network takes, as far as it can be used. */
  get codec() {
    const wanted = this.choices.codec || this.ladder.wanted;
    if (wanted === "neural") this.coders.fetchNeural();
    return usable(wanted, this.coders.usable);
  }

  get idle() {
    return this.state === "idle" || this.state === "failed";
  }

  async start(source = this.source) {
    if (!this.idle) return;
    this.source = source;
    const lack = missing();
    if (lack) {
      showTrouble(lack === "secure context" ? troubles.insecureTrouble(location) : troubles.oldBrowserTrouble());
      return;
    }
    hideTrouble();
    this.condition = new Condition();
    this.sound.silence(); // what was left of another talk
    this.set("connecting");
    this.attempts += 1;
    const attempt = this.attempts;
    const wanted = () => this.state === "connecting" && attempt === this.attempts; // not stopped while the browser asked
    try {
      await this.sound.open();
      await this.openSource(source, wanted);
    } catch (error) {
      if (!wanted()) return;
      await this.sound.stopCapture();
      if (source === "file") this.sources.forget(); // the button asks for another one
      this.set("failed", "Not started");
      showTrouble(troubles.sourceTrouble(source, error));
      return;
    }
    if (wanted()) this.connect();
  }

  async openSource(source, wanted) {
    const { sound, sources } = this;
    const over = () => this.stop();
    if (source === "sample") await sound.openClip(SAMPLE, wanted, over);
    else if (source === "tab") await sound.openTab(wanted);
    else if (source === "file") await sound.openFile(sources.file, wanted, over);
    else await sound.openMicrophone(wanted, sources.microphone);
  }

  connect() {
    const key = this.key();
    const handlers = {
      onWelcome: (offer) => this.begin(offer),
      onRenewed: (offer, atMs) => this.goOn(offer, atMs),
      onMessage: (message) => this.receive(message),
      onSpeech: (speech) => this.downlink.hear(speech, (heard) => this.speak({ ...heard, text: speech.text })),
      onAway: ({ restarting }) => {
        this.show("Reconnecting…");
        this.condition.set("away", () => troubles.awayTrouble(restarting));
      },
      onBack: () => {
        this.show();
        this.condition.set("");
      },
      onEnd: (outcome) => this.ended({ ...outcome, key }),
    };
    const connection = new Connection(streamUrl(location), RATE_HZ, handlers, key);
    this.connection = connection;
    this.ladder = new Ladder(navigator.connection);
    this.downlink = new Downlink(this.coders);
    this.uplink = new Uplink(this.coders, (codec, payload, samples) => {
      if (codec === "pcm16") connection.sendAudio(payload);
      else connection.sendCoded(codec, payload, samples);
    });
  }

  begin(offer) {
    this.offered(offer);
    this.configure();
    this.captions.startRun();
    this.spoken.startRun();
    this.set("live");
    this.watch.start(performance.now());
    this.sound.startCapture(RATE_HZ);
    this.ticking = setInterval(() => this.tick(), TICK_MS);
    this.handlers.onBegin();
  }

  /** Another session goes on where the last one ended. */
  goOn(offer, atMs) {
    this.offered(offer);
    this.captions.startRun(atMs);
    this.spoken.startRun();
  }

  offered(offer) {
    this.coders.offered = offer.codecs ?? ["pcm16"];
    this.handlers.onOffer(offer);
  }

  /** The settings hold for what is said from now on. */
  configure() {
    const { connection, uplink, codec } = this;
    if (!connection) return;
    const settings = this.choices.settings(RATE_HZ, codec);
    const apply = () => connection.configure(settings);
    if (codec === uplink.codec && connection.goesOn(settings)) uplink.after(apply);
    else uplink.restart(codec, apply);
  }

  receive(message) {
    if (message.type === "caption") {
      const row = this.captions.apply(message);
      if (row) this.handlers.onCaption(row);
    } else if (message.type === "configured") {
      this.handlers.onConfigured(message);
    } else if (message.type === "room") {
      this.handlers.onRoom(message);
    } else if (message.type === "latency") {
      showLatency(message);
    } else if (message.type === "closed") {
      showLatency(message.summary ?? {});
    }
  }

  speak({ samples, rateHz, text }) {
    if (!this.choices.speech || !this.connection) return;
    this.spoken.add(text, (samples.length / rateHz) * 1000);
    this.handlers.onSpeech({ samples, rateHz }, (this.connection.samples / RATE_HZ) * 1000);
    this.sound.play(samples, rateHz);
  }

  /** What the microphone gives: a bundle of samples, and in between how loud it is. */
  hear(pcm) {
    if (this.gate.shut(this.source)) pcm.fill(0); // silence, so that what was said before is finished
    this.uplink?.push(pcm);
  }

  measure(level) {
    this.watch.heard(performance.now(), level);
  }

  /** No more audio: let the server say the rest. `trouble` is told when it has. */
  async stop(trouble = null) {
    if (this.state === "ending") {
      this.sound.silence();
      this.connection?.drop();
    } else if (this.state === "connecting") {
      this.set("idle");
      this.connection?.drop();
      await this.sound.stopCapture();
    } else if (this.state === "live") {
      this.afterwards = trouble;
      this.set("ending");
      const { connection } = this;
      await this.sound.stopCapture();
      this.uplink.flush();
      this.uplink.after(() => connection.end());
    }
  }

  async ended(outcome) {
    this.showUpload();
    this.connection = null;
    clearInterval(this.ticking);
    if (this.state === "idle") return; // stopped before it began
    this.condition.set("");
    const { afterwards } = this;
    this.afterwards = null;
    this.set(outcome.done ? "idle" : "failed", outcome.done || outcome.begun ? undefined : "Not started");
    this.handlers.onEnd();
    if (!outcome.done) showTrouble(troubles.connectionTrouble({ ...outcome, code: outcome.error?.code ?? outcome.code, origin: location.origin }));
    else if (afterwards) showTrouble(afterwards);
    await this.sound.stopCapture();
  }

  set(state, words = STATES[state]) {
    this.state = state;
    this.show(words);
  }

  show(words = STATES[this.state]) {
    const gated = words === STATES.live && this.gate.held(this.source);
    this.handlers.onState(this.state, gated ? GATED : words);
  }

  tick() {
    const { connection } = this;
    if (!connection) return;
    if (this.state === "ending") {
      const leftS = Math.ceil(connection.leftMs / 1000);
      if (connection.standing) this.show(leftS > 1 ? say("Finishing, {0} s left", leftS) : STATES.ending);
      return;
    }
    connection.ping(this.playbackMs);
    this.showUpload();
    if (!connection.away && !this.choices.codec && this.ladder.see(connection.waitingMs, performance.now())) this.configure();
    if (!connection.away) this.check();
  }

  showUpload() {
    const { connection, uplink } = this;
    if (connection) showWire(connection.sentBytes, connection.receivedBytes, (connection.samples / RATE_HZ) * 1000, uplink.codec);
  }

  /** Tell what keeps the person from being heard, or heard in time; and when it no longer does. */
  check() {
    if (this.state !== "live" || this.connection.away) return;
    const { running, muted } = this.sound;
    const lack = this.watch.lack(performance.now(), { running, muted });
    if (lack === "asleep") this.sound.wake();
    const slow = lack ? "" : this.slow();
    this.show(DEAF[lack]);
    if (lack) this.condition.set(lack, () => troubles.deafTrouble(lack));
    else if (!slow && this.echo) this.condition.set("echo", () => troubles.echoTrouble(this.echo));
    else this.condition.set(slow, () => troubles.slowTrouble(this.connection.waitingMs / 1000, this.connection.quick, slow === "full"));
  }

  /** Whether audio waits here: "slow", "full" when no more of it is kept, or "". */
  slow() {
    const { kind } = this.condition;
    const waitingS = this.connection.waitingMs / 1000;
    if (this.connection.outgoing.full || (kind === "full" && waitingS > FULL_UPLOAD_S)) return "full";
    return waitingS > (kind === "slow" || kind === "full" ? 1 : SLOW_UPLOAD_S) ? "slow" : "";
  }
}
