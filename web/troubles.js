/** What went wrong, in words for people: { title, text, action } with action "retry", "reconnect", "wake", "key" or null. Pure. */

import { say } from "./say.js";

const MICROPHONE = {
  NotAllowedError: [
    "The microphone is blocked",
    "Your browser does not let this page listen. Allow the microphone in the site settings (the icon beside the address), " +
      "then try again. Or press “Try the sample”: it needs no microphone.",
  ],
  NotFoundError: [
    "No microphone found",
    "Plug one in or switch it on, then try again. Or press “Try the sample”: it needs no microphone.",
  ],
  NotReadableError: [
    "The microphone is busy",
    "Another program may be using it. Close that program, or choose another microphone in the browser, then try again.",
  ],
};
MICROPHONE.SecurityError = MICROPHONE.NotAllowedError;
MICROPHONE.OverconstrainedError = MICROPHONE.NotFoundError;
MICROPHONE.AbortError = MICROPHONE.NotReadableError;

/** `error` from getUserMedia, or anything else that kept the sound from starting. */
export function microphoneTrouble(error) {
  const known = MICROPHONE[error?.name];
  if (known) return { title: say(known[0]), text: say(known[1]), action: "retry" };
  return {
    title: say("The microphone did not start"),
    text: say("The browser says: {0}. Try again, or press “Try the sample”.", error?.message || error),
    action: "retry",
  };
}

const SHARED = {
  NoSoundError: ["No sound is shared", "What you chose comes without its sound. Choose it again and switch on “Also share tab audio” or “Also share system audio”."],
  NotAllowedError: ["Nothing is shared", "You chose nothing, or the browser does not let this page ask. Start again and choose a tab or a screen with its sound."],
};

/** What keeps the sound of `source` ("microphone", "tab", "file" or "sample") from starting. */
export function sourceTrouble(source, error) {
  if (source === "sample") return sampleTrouble(error);
  if (source === "file") {
    return { title: say("The file cannot be heard"), text: say("The browser finds no sound in it that it can read. WAV, MP3, FLAC, Ogg, WebM and MP4 work in most."), action: null };
  }
  if (source !== "tab") return microphoneTrouble(error);
  const [title, text] = SHARED[error?.name] ?? [];
  if (title) return { title: say(title), text: say(text), action: "retry" };
  return { title: say("The sound of a tab did not start"), text: say("The browser says: {0}.", error?.message || error), action: "retry" };
}

/** For pages whose browser offers no microphone because their origin is not a secure one. */
export function insecureTrouble(location) {
  return {
    title: say("The microphone needs a secure address"),
    text: say(
      "Browsers give a microphone only to https:// pages and to localhost, and this page came from {0}. " +
        "On the server’s own computer open {1}. For other computers start the server " +
        "with “streamst serve --host 0.0.0.0 --tls-self-signed” and open its https:// address (the browser asks once " +
        "whether to trust it).",
      location.origin,
      `http://localhost:${location.port || 80}`,
    ),
    action: null,
  };
}

export function oldBrowserTrouble() {
  return {
    title: say("This browser cannot do it"),
    text: say("It has no AudioWorklet. Any Chrome, Edge, Firefox or Safari of the last four years does."),
    action: null,
  };
}

/** The source was there and went away: a microphone unplugged or taken back in the browser's settings, a tab closed. */
export function lostTrouble(source) {
  const shared = source === "tab";
  return {
    title: say(shared ? "The sharing has ended" : "The microphone went away"),
    text: say(
      shared ? "The tab was closed, or sharing was stopped. All that was heard until then has been translated." : "It was unplugged or switched off. All that was said until then has been translated.",
    ),
    action: "retry",
  };
}

/** The microphone hears the translation; `silenced`: "translation" or "microphone", what is kept silent because of it. */
export function echoTrouble(silenced) {
  return {
    title: say("The translation comes back through the microphone"),
    text: say(
      silenced === "microphone"
        ? "It would be translated again. The microphone is silent while the translation is spoken. Headphones, or less volume, end this."
        : "It would be translated again. So the translation is silent now. Headphones, or less volume, end this.",
    ),
    action: silenced === "microphone" ? null : "unhush",
  };
}

/** Another page of this browser is talking. */
export function twiceTrouble() {
  return {
    title: say("You talk in another tab, too"),
    text: say("Each of them is translated, and they may hear each other. Stop one of them."),
    action: null,
  };
}

export function sampleTrouble(error) {
  return { title: say("The sample did not start"), text: say("The browser says: {0}.", error?.message || error), action: "retry" };
}

/** Audio goes out more slowly than it is spoken; `quick`: certainly not because of the network; `full`: no more is kept. */
export function slowTrouble(waitingS, quick, full) {
  return {
    title: say(quick ? "The server is slower than your speech" : "The network or the server is slower than your speech"),
    text: `${say("{0} s of it are waiting to be sent.", Math.round(waitingS))} ${say(
      full ? "More cannot be kept: what you say now is lost. Pause until this message goes." : "Nothing is lost, but captions come late.",
    )}`,
    action: null,
  };
}

const DEAF = {
  asleep: [
    "Nothing is heard",
    "The browser’s sound is paused: another program, a call or the screen’s lock may have taken it. What you say now is not translated.",
    "wake",
  ],
  stalled: [
    "Nothing is heard",
    "No sound comes from the microphone. Stop and start again; if that does not help, choose another microphone in the browser.",
    null,
  ],
  muted: [
    "The microphone is muted",
    "Your system, your browser or a key of your headset keeps it silent. Unmute it: what you say now is not heard.",
    null,
  ],
  silent: [
    "Only silence comes from the microphone",
    "It may be muted or switched off, or another microphone is the one you speak into. Check it in the browser or the system.",
    null,
  ],
};

/** The page listens and hears nothing; `lack` as `Watch` tells it. */
export function deafTrouble(lack) {
  const [title, text, action] = DEAF[lack];
  return { title: say(title), text: say(text), action };
}

/** The connection dropped or the server is `restarting`, and the page is trying to come back. */
export function awayTrouble(restarting) {
  return {
    title: say(restarting ? "The server is being restarted" : "The connection dropped"),
    text: say("Reconnecting. Go on speaking: what you say is kept, and translated when the connection is back."),
    action: null,
  };
}

const FULL = (text) => ({ title: say("The server is full"), text, action: "retry" });

/** Codes that tell who comes back after a drop that the session is not theirs any more. */
const LOST_SESSION = [4409, 4410];

/** What a server said, as a sentence of its own. */
function sentence(words) {
  if (!words) return "";
  return words[0].toUpperCase() + words.slice(1) + (/[.!?]$/.test(words) ? "" : ".");
}

/** The server wants to know who asks; `shown`: a key was given already. */
function keyTrouble(shown) {
  return {
    title: say(shown ? "The server does not know this API key" : "This server needs an API key"),
    text: say(shown ? "Check it, or ask who runs the server for another one." : "Whoever runs it gave you one. It is kept until this tab is closed."),
    action: "key",
  };
}

/**
 * Why the talk ended early, by what is known: the last `error` event, the close code, whether it had begun, whether the
 * server answers at all (`alive`), and whether an API key was shown (`key`).
 */
export function connectionTrouble({ error = null, code = 1006, reason = "", begun = false, alive = null, origin = "", key = "" }) {
  const said = sentence(error?.message || reason);
  const wait = error?.retry_after_ms ? ` ${say("Try again in {0} s.", Math.ceil(error.retry_after_ms / 1000))}` : "";
  if (code === 1013 || code === 4429) {
    return FULL(`${said || say("Others are using every place it has.")}${wait || ` ${say("Try again in a little while.")}`}`);
  }
  if (code === 1008) {
    return {
      title: say("The server refused this page"),
      text: `${said || say("It does not allow this address.")} ${say("To allow it, start the server with “--origin {0}”.", origin)}`,
      action: "reconnect",
    };
  }
  if (code === 4401) return keyTrouble(key !== "");
  if (code === 4408) {
    return { title: say("Nothing was heard for a long time"), text: say("So the server hung up. Start again."), action: "reconnect" };
  }
  if (code === 1001) {
    return { title: say("The server hung up"), text: said || say("It is being restarted."), action: "reconnect" };
  }
  const lost = begun && LOST_SESSION.includes(code);
  if (code !== 1006 && !lost) {
    return { title: say("The server ended the stream"), text: said + wait || say("It gave no reason (code {0}).", code), action: "reconnect" };
  }
  if (begun) {
    return {
      title: say("The connection dropped"),
      text: say("The text so far is kept. Check the network, then reconnect and go on where you are."),
      action: "reconnect",
    };
  }
  if (alive) {
    return {
      title: say("Something blocks the connection"),
      text: say(
        "The server answers, but a websocket to it does not open. If a proxy stands before it, that must pass on " +
          "websockets (the headers Upgrade and Connection) at /v1/stream.",
      ),
      action: "reconnect",
    };
  }
  return {
    title: say("The server does not answer"),
    text: say("It is not running, still starting, or the network is down. Try again in a moment."),
    action: "reconnect",
  };
}
