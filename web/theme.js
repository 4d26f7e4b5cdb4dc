/** Light, dark, or as the system has it: one button that goes round. */

import { say } from "./say.js";

const THEMES = { system: "Theme: as the system", light: "Theme: light", dark: "Theme: dark" };

export function initTheme(button, label, { remember, recall, changed }) {
  const names = Object.keys(THEMES);
  const show = (theme) => {
    if (theme === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    label.textContent = say(THEMES[theme]);
    button.title = label.textContent;
    changed();
  };
  let theme = names.includes(recall("theme")) ? recall("theme") : "system";
  show(theme);
  button.addEventListener("click", () => {
    theme = names[(names.indexOf(theme) + 1) % names.length];
    remember("theme", theme);
    show(theme);
  });
  addEventListener("languagechanged", () => show(theme));
  for (const query of ["(prefers-color-scheme: dark)", "(forced-colors: active)"]) matchMedia(query).addEventListener("change", changed);
}
