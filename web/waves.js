/** Two voices drawn against time: the source going in above, the translation coming out below, the newest at the right. */

const STEP_MS = 100;
const BAR_PX = 2;
const PITCH_PX = 4;
const LABEL_GAP_PX = 6; // between the lanes' names at the left and the oldest bar
const REST_STEPS = 10;
const FLOOR_DB = -50;

/** Height 0..1 of a peak level 0..1, in decibels as ears hear it. */
export function barHeight(level) {
  return level <= 0 ? 0 : Math.max(0, Math.min(1, 1 - (20 * Math.log10(level)) / FLOOR_DB));
}

export class Waves {
  constructor(canvas) {
    this.canvas = canvas;
    this.draws = canvas.getContext("2d");
    this.heard = [];
    this.spoken = [];
    this.input = 0;
    this.output = 0;
    this.timer = null;
    this.resting = false;
    this.quiet = 0; // steps since a voice was there
    new ResizeObserver(() => this.draw()).observe(canvas);
  }

  hear(level) {
    this.input = Math.max(this.input, level);
  }

  speak(level) {
    this.output = Math.max(this.output, level);
  }

  start() {
    this.resting = false;
    this.quiet = 0;
    this.timer ??= setInterval(() => this.step(), STEP_MS);
  }

  /** Stop once both voices have been silent for REST_STEPS: the last words are often spoken after the stream. */
  rest() {
    this.resting = true;
  }

  step() {
    this.quiet = this.input > 0 || this.output > 0.001 ? 0 : this.quiet + 1;
    if (this.resting && this.quiet > REST_STEPS) {
      clearInterval(this.timer);
      this.timer = null;
    }
    this.heard.push(barHeight(this.input));
    this.spoken.push(barHeight(this.output));
    this.input = this.output = 0;
    this.draw();
  }

  /** How many bars stand beside the lanes' names. */
  room(labels) {
    const left = Math.max(...labels.map((label) => label.offsetLeft + label.offsetWidth)) + LABEL_GAP_PX;
    return Math.max(0, Math.floor((this.canvas.clientWidth - left) / PITCH_PX));
  }

  draw() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    const ratio = devicePixelRatio || 1;
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(height * ratio);
    this.draws.scale(ratio, ratio);
    const labels = [...this.canvas.parentElement.querySelectorAll("span")];
    const [above, below] = labels; // they have the bars' colours
    const most = this.room(labels); // less than before, where the window was made narrower
    for (const bars of [this.heard, this.spoken]) bars.splice(0, Math.max(0, bars.length - most));
    const lanes = [
      [this.heard, getComputedStyle(above).color, height / 4],
      [this.spoken, getComputedStyle(below).color, (3 * height) / 4],
    ];
    for (const [bars, colour, middle] of lanes) {
      this.draws.fillStyle = colour;
      bars.forEach((bar, n) => {
        const tall = Math.max(1, bar * (height / 2 - 6));
        this.draws.fillRect(width - (bars.length - n) * PITCH_PX, middle - tall / 2, BAR_PX, tall);
      });
    }
  }
}
