/** The listeners' page in their own language: its words in English and in German. Pure. */

const WORDS = {
  en: {
    live: "Live", connecting: "Connecting…", away: "Reconnecting…", over: "The talk is over", refused: "Not connected",
    soundOn: "Turn sound on", soundOff: "Sound is on", smaller: "Smaller letters", larger: "Larger letters",
    show: "What is shown", target: "Translation", source: "Original", both: "Both", file: "Text", latest: "Latest",
    captions: "Captions", letters: "Size of the letters", controls: "Controls",
    waiting: "Nobody is speaking yet. What is said appears here.",
    noRoom: "This link opens nothing. Ask the speaker for a new one.",
    ended: "The talk is over. Its text can still be had for some minutes: “Text” below.",
    full: "There are too many listeners. This page tries again by itself.",
    mute: "This browser plays no sound.",
  },
  de: {
    live: "Live", connecting: "Verbinden …", away: "Neu verbinden …", over: "Der Vortrag ist zu Ende", refused: "Nicht verbunden",
    soundOn: "Ton einschalten", soundOff: "Ton ist an", smaller: "Kleinere Schrift", larger: "Größere Schrift",
    show: "Was gezeigt wird", target: "Übersetzung", source: "Original", both: "Beides", file: "Text", latest: "Neuestes",
    captions: "Untertitel", letters: "Schriftgröße", controls: "Bedienung",
    waiting: "Noch spricht niemand. Was gesagt wird, erscheint hier.",
    noRoom: "Dieser Link öffnet nichts. Bitten Sie um einen neuen.",
    ended: "Der Vortrag ist zu Ende. Der Text ist noch einige Minuten lang zu haben: „Text“ unten.",
    full: "Es hören zu viele zu. Diese Seite versucht es von selbst wieder.",
    mute: "Dieser Browser spielt keinen Ton.",
  },
};

/** The words for the first of the languages that there are words in, and its code. */
export function wordsFor(languages) {
  const code = languages.map((one) => one.slice(0, 2).toLowerCase()).find((one) => one in WORDS) ?? "en";
  return { code, ...WORDS[code] };
}
