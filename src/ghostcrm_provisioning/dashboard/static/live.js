// Keeps a page up to date. The server says that something has changed (server-sent events at the address
// in main's data-live); then the same page is fetched again and its parts with data-live-part are put in
// place. The server renders, the script only patches: what it shows is what a reload would show.

import { clockWords, serverNow, serverTimeIs } from "./times.js";

const SHORTEST_PAUSE = 400; // ms between two fetches
const FRESH_FOR = 45000;    // ms without a sign of life after which the line says so

export function follow({ dress, announce }) {
  const place = document.querySelector("[data-live]");
  const address = place?.dataset.live;
  // Some numbers are shared readings that may be so many ms old: looked at once more after a change, soon,
  // and when even the oldest is read anew.
  const againAfter = (place?.dataset.liveAgain ?? "").split(" ").filter(Boolean).map(Number);
  const line = document.querySelector("[data-live-line]");
  if (!address || !line) return;
  const text = line.querySelector("[data-live-text]");
  const button = line.querySelector("[data-live-pause]");
  let updatedAt = serverNow();
  let source = null;
  let paused = false;
  let fetching = false;
  let again = false;
  let timer = null;
  let later = [];

  function say(state) {
    line.classList.toggle("live-on", state === "on");
    line.classList.toggle("live-lost", state === "lost" || state === "over");
    const at = clockWords(updatedAt);
    const words = {
      on: `Live, updated ${at}`,
      paused: `Paused. Showing data from ${at}`,
      lost: `Live updates lost. Showing data from ${at}. Reconnecting…`,
      over: `Your session has ended. Showing data from ${at}. Reload to sign in again.`,
    }[state];
    if (text.textContent !== words) text.textContent = words;
    if (state !== line.dataset.state && line.dataset.state && state !== "on") announce(words);
    line.dataset.state = state;
  }

  function close() { source?.close(); source = null; }

  function open() {
    close();
    if (paused || document.hidden) return;
    source = new EventSource(address);
    source.addEventListener("open", () => say("on"));
    source.addEventListener("error", () => { if (!paused) say("lost"); retryWhenClosed(); });
    source.addEventListener("changed", () => {
      refresh();
      later.forEach(clearTimeout);
      later = againAfter.map((wait) => setTimeout(refresh, wait));
    });
    source.addEventListener("end", () => { refresh(); close(); });
  }

  // A browser gives up after an answer that is no stream (a restart, an ended session); we do not.
  function retryWhenClosed() {
    if (source && source.readyState === EventSource.CLOSED) {
      source = null;
      setTimeout(() => { if (!source && !paused && !document.hidden) { open(); refresh(); } }, 3000);
    }
  }

  function refresh() {
    if (fetching) { again = true; return; }
    clearTimeout(timer);
    timer = setTimeout(fetchPage, SHORTEST_PAUSE);
  }

  async function fetchPage() {
    if (paused || document.hidden) return;
    if (isBusy()) { timer = setTimeout(fetchPage, 1000); return; }
    fetching = true;
    try {
      const answer = await fetch(location.href, { headers: { "X-Live": "1" }, credentials: "same-origin" });
      if (answer.status === 401) { close(); say("over"); return; }
      if (!answer.ok) throw new Error(String(answer.status));
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      // While it was on its way, somebody may have paused, or begun with something.
      if (paused) return;
      if (isBusy()) { timer = setTimeout(fetchPage, 1000); return; }
      put(fresh);
      say("on");
    } catch {
      if (paused) return;
      say("lost");
      timer = setTimeout(fetchPage, 3000);
    } finally {
      fetching = false;
      if (again) { again = false; refresh(); }
    }
  }

  // Nothing jumps while somebody selects, has a menu open, writes, or is pressing a button in a part that
  // would be replaced.
  function isBusy() {
    const selection = getSelection();
    for (const part of document.querySelectorAll("[data-live-part]")) {
      if (!selection.isCollapsed && selection.anchorNode && part.contains(selection.anchorNode)) return true;
      if (part.querySelector("[data-drop][open]") || part.querySelector(":active")) return true;
      if (part.contains(document.activeElement) && document.activeElement.matches("input, select, textarea")) return true;
    }
    return false;
  }

  function put(fresh) {
    updatedAt = Date.parse(fresh.body.dataset.serverTime);
    serverTimeIs(updatedAt);
    document.title = fresh.title;
    const icon = document.getElementById("favicon");
    const freshIcon = fresh.getElementById("favicon");
    if (icon && freshIcon && icon.getAttribute("href") !== freshIcon.getAttribute("href")) icon.href = freshIcon.href;
    for (const part of document.querySelectorAll("[data-live-part]")) {
      const replacement = fresh.getElementById(part.id);
      if (!replacement) continue;
      replacement.dataset.source = replacement.innerHTML;
      if (part.dataset.source === replacement.dataset.source) continue;
      const said = part.dataset.says;
      keepAsItWas(part, replacement);
      const focused = part.contains(document.activeElement) ? document.activeElement.id : null;
      part.replaceWith(replacement);
      dress(replacement);
      if (focused) document.getElementById(focused)?.focus();
      // A part may say in a few words what it shows now: data-says.
      if (replacement.dataset.says && replacement.dataset.says !== said) announce(replacement.dataset.says);
    }
  }

  // What somebody has opened stays open, what was closed stays closed.
  function keepAsItWas(part, replacement) {
    for (const details of part.querySelectorAll("details[id]")) {
      const fresh = replacement.querySelector(`#${CSS.escape(details.id)}`);
      if (fresh) fresh.open = details.open;
    }
  }

  button.hidden = false;
  button.addEventListener("click", () => {
    paused = !paused;
    button.querySelector("span").textContent = paused ? "Go on" : "Pause";
    if (paused) { close(); say("paused"); } else { open(); refresh(); }
  });
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) close();
    else if (!paused) { open(); refresh(); }
  });
  window.addEventListener("pagehide", close);
  open();
}
