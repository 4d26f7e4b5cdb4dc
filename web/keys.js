/** Single keys for what is done often; off where a person has switched them off, and while somebody types. */

const TYPING = "input:not([type=checkbox]):not([type=radio]):not([type=range]), textarea, select, [contenteditable]";

/** `acts`: key -> what it does. `hold`: { key, down(), up() }. `on()`: whether keys are wanted. */
export function listenToKeys({ acts, hold, on }) {
  const free = (event) => on() && !event.ctrlKey && !event.metaKey && !event.altKey && !event.isComposing
    && !event.target.closest?.(TYPING) && !document.querySelector("dialog[open]");
  addEventListener("keydown", (event) => {
    if (!free(event)) return;
    if (event.key === hold.key && hold.wanted() && !event.target.closest?.("button, a, summary, input, label")) {
      event.preventDefault();
      if (!event.repeat) hold.down();
    } else if (event.key in acts && !event.repeat) {
      event.preventDefault();
      acts[event.key]();
    }
  });
  addEventListener("keyup", (event) => event.key === hold.key && hold.up());
  addEventListener("blur", () => hold.up());
}
