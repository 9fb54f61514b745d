// What every page gets from a script. Without it everything can be read and sent all the same.

import { follow } from "./live.js";
import { showTimes, startClock } from "./times.js";

const announcer = document.getElementById("announcer");

export function announce(sentence) {
  announcer.textContent = "";
  requestAnimationFrame(() => { announcer.textContent = sentence; });
}

function remember(name, value) {
  document.cookie = `${name}=${value}; Path=/admin; SameSite=Lax; Max-Age=${value ? 31536000 : 0}` +
    (location.protocol === "https:" ? "; Secure" : "");
}

// Buttons that need a script are hidden until there is one.
export function dress(root) {
  for (const button of root.querySelectorAll("[data-copy], [data-drop-close], [data-clock-switch]")) button.hidden = false;
  showTimes(root);
}

document.addEventListener("click", async (event) => {
  const copy = event.target.closest("[data-copy]");
  if (copy) {
    const label = copy.querySelector("span");
    const before = label.textContent;
    try {
      await navigator.clipboard.writeText(copy.dataset.copy);
      label.textContent = "Copied";
      announce("Copied");
    } catch {
      label.textContent = "Select and copy by hand";
      announce("The browser does not let this page copy. Select the text and copy it by hand.");
    }
    setTimeout(() => { label.textContent = before; }, 2500);
    return;
  }
  const close = event.target.closest("[data-drop-close]");
  if (close) closeDrop(close.closest("[data-drop]"), true);
  // A click elsewhere closes what had dropped down.
  for (const drop of document.querySelectorAll("[data-drop][open]")) {
    if (!drop.contains(event.target)) closeDrop(drop, false);
  }
});

function closeDrop(drop, returnFocus) {
  drop.open = false;
  if (returnFocus) drop.querySelector("summary").focus();
}

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    const drop = event.target.closest?.("[data-drop][open]") ?? document.querySelector("[data-drop][open]");
    if (drop) { closeDrop(drop, true); event.preventDefault(); }
  }
  const writing = event.target.matches?.("input, textarea, select, [contenteditable]");
  if (event.key === "/" && !writing && !event.ctrlKey && !event.metaKey && !event.altKey) {
    const search = document.querySelector("[data-search-main]") ?? document.querySelector("[data-search-key]");
    if (search) { search.focus(); search.select(); event.preventDefault(); }
  }
});

// Sending twice does no harm on the server; here the second click is not even taken.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (event.defaultPrevented || form.method !== "post") return;
  if (form.matches("[data-theme-switch]")) { switchTheme(event, form); return; }
  if (form.dataset.sent) { event.preventDefault(); return; }
  form.dataset.sent = "yes";
  for (const button of form.querySelectorAll("button:not([type=button])")) button.setAttribute("aria-disabled", "true");
});
// Coming back by the browser's Back: the form can be sent again.
window.addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-sent]")) {
    delete form.dataset.sent;
    for (const button of form.querySelectorAll("[aria-disabled]")) button.removeAttribute("aria-disabled");
  }
});

const NEXT_THEME = { system: "dark", dark: "light", light: "system" };

function switchTheme(event, form) {
  event.preventDefault();
  const button = form.querySelector("button");
  const theme = button.value;
  document.documentElement.dataset.theme = theme;
  remember("ghostcrm_theme", theme === "system" ? "" : theme);
  button.value = NEXT_THEME[theme];
  button.title = `Colours: ${theme}`;
  button.setAttribute("aria-label", `Colours: ${theme}. Change to ${button.value}.`);
  announce(`Colours: ${theme}`);
}

// A select of a filter sends its form by itself; the button stays for those without a script.
for (const form of document.querySelectorAll("form[data-send-on-change]")) {
  form.addEventListener("change", (event) => {
    if (event.target.matches("select, input[type=checkbox], input[type=date]")) form.requestSubmit();
  });
}

document.querySelector("[data-focus]")?.focus();
dress(document);
startClock(remember, announce);
follow({ dress, announce });
