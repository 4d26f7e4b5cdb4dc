/** Whether the page hears anything, from what the audio thread tells. Times in milliseconds. Pure. */

const PATIENCE_MS = 3000; // without a block of sound
const SILENT_MS = 8000; // from the beginning, of sound that is nothing but zeros: no microphone that listens gives that

export class Watch {
  /** Listening begins. */
  start(nowMs) {
    this.beganMs = nowMs;
    this.heardMs = nowMs;
    this.sounded = false;
  }

  /** A block came, with this peak level. */
  heard(nowMs, level) {
    this.heardMs = nowMs;
    this.sounded ||= level > 0;
  }

  /**
   * What is wrong: "asleep" (the browser's sound is paused), "stalled" (it runs, and nothing comes), "muted" (silence
   * comes, and the system says why), "silent" (nothing but silence has come), or "".
   */
  lack(nowMs, { running, muted }) {
    if (nowMs - this.heardMs > PATIENCE_MS) return running ? "stalled" : "asleep";
    if (muted) return "muted";
    return !this.sounded && nowMs - this.beganMs > SILENT_MS ? "silent" : "";
  }
}
