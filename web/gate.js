/** Whether the microphone is kept from being heard: push to talk, and an echo that is kept out. */

const LINGERS_MS = 400; // of the loudspeaker's last word, in the room

export class Gate {
  constructor() {
    this.pushing = false; // the person holds the key or the button
    this.pushToTalk = false; // whether that is needed
    this.yields = false; // whether the microphone is silent while the translation is spoken
    this.spokenMs = -Infinity; // when it was spoken last
  }

  /** The loudspeaker speaks. */
  speaks(nowMs) {
    this.spokenMs = nowMs;
  }

  /** Whether the person would have to push. */
  held(source) {
    return source === "microphone" && this.pushToTalk && !this.pushing;
  }

  /** Whether nothing of `source` is to be heard now. */
  shut(source, nowMs = performance.now()) {
    if (source !== "microphone") return false;
    return this.held(source) || (this.yields && nowMs - this.spokenMs < LINGERS_MS);
  }
}
