/** A second window with subtitles only, which stays above the others (Document Picture-in-Picture). */

import { textOf } from "./captions.js";

const ROWS = 3;

export function canFloat() {
  return "documentPictureInPicture" in globalThis;
}

export class Subtitles {
  constructor() {
    this.window = null;
  }

  /** Open the window, or close it. Must be called from a click. */
  async toggle(title) {
    if (this.window) {
      this.window.close();
      return;
    }
    const opened = await documentPictureInPicture.requestWindow({ width: 640, height: 180 });
    this.window = opened;
    opened.addEventListener("pagehide", () => (this.window = null));
    const page = opened.document;
    page.title = title;
    page.documentElement.lang = document.documentElement.lang;
    const style = page.createElement("link");
    Object.assign(style, { rel: "stylesheet", href: new URL("float.css", import.meta.url).href });
    page.head.append(style);
    this.text = page.createElement("p");
    const main = page.createElement("main");
    main.append(this.text);
    page.body.append(main);
  }

  /** Show the newest of `rows` in `lang`. */
  show(rows, lang) {
    if (!this.window) return;
    this.text.lang = lang;
    this.text.textContent = rows.slice(-ROWS).map((row) => textOf(row, lang)).filter(Boolean).join(" ");
  }
}
