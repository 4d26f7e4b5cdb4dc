/** The speaker's "Share": opens a room of the talk, and shows its link, its picture, and who listens. */

import { roomFile } from "./room.js";
import { say } from "./say.js";

const LOOPBACK = ["localhost", "127.0.0.1", "[::1]"];

const $ = (id) => document.getElementById(id);

export class Share {
  /** `changed()`: a room is wanted from now on. */
  constructor(changed) {
    this.changed = changed;
    this.wanted = false; // a room, of this talk and those to come
    this.room = null; // the server's last word about it
    $("share").addEventListener("click", () => this.open());
    $("share-close").addEventListener("click", () => $("share-box").close());
    $("share-copy").addEventListener("click", () => this.copy());
  }

  open() {
    if (!this.wanted) {
      this.wanted = true;
      this.changed();
    }
    this.show();
    $("share-box").showModal();
  }

  /** A `room` message. */
  told(room) {
    this.room = room;
    this.show();
  }

  /** The talk is over, and its room with it. */
  ended() {
    this.room = null;
    this.show();
  }

  get base() {
    return new URL(".", location.href).href;
  }

  get link() {
    return new URL(this.room.url.replace(/^\//, ""), this.base).href;
  }

  show() {
    const { room } = this;
    $("share-there").hidden = room === null;
    $("share-state").textContent = room ? listening(room) : say("The link is here as soon as you talk.");
    $("share-name").textContent = room ? say("Share: {0}", listening(room)) : say("Share this talk");
    $("share").title = $("share-name").textContent;
    $("share").classList.toggle("shared", room !== null);
    if (!room || $("share-link").value === this.link) return;
    $("share-link").value = this.link;
    $("share-picture").src = roomFile({ id: room.id, token: room.token, base: this.base }, "qr.svg");
    $("share-page").href = this.link;
    $("share-overlay").href = this.link.replace("/listen/", "/overlay/");
    $("share-here").hidden = !LOOPBACK.includes(location.hostname);
    $("share-copy").textContent = say("Copy");
  }

  async copy() {
    $("share-link").select();
    try {
      await navigator.clipboard.writeText($("share-link").value);
      $("share-copy").textContent = say("Copied");
    } catch {
      $("share-copy").textContent = say("Press Ctrl+C"); // it is selected
    }
  }
}

/** Who listens, in words. Pure. */
export function listening({ listeners, lag_p95_ms: lag }) {
  if (listeners === 0) return say("nobody listens yet");
  const who = say(listeners === 1 ? "{0} listens" : "{0} listen", listeners);
  if (lag === null || lag === undefined) return who;
  return say("{0}, {1} behind", who, lag < 1000 ? `${Math.round(lag)} ms` : `${(lag / 1000).toFixed(1)} s`);
}
