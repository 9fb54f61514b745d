// Moments in words that stay true: "4 min ago" ticks, and all can be shown in the browser's zone.
// The server's clock counts, not the browser's.

const pageMadeAt = Date.parse(document.body.dataset.serverTime);
let ahead = pageMadeAt - Date.now();
let zone = /(?:^|; )ghostcrm_clock=local/.test(document.cookie) ? "local" : "UTC";

export function serverTimeIs(milliseconds) { ahead = milliseconds - Date.now(); }
export function serverNow() { return Date.now() + ahead; }

const SIZES = [[86400, "d"], [3600, "h"], [60, "min"]];

function relative(moment) {
  const seconds = Math.round((serverNow() - moment) / 1000);
  const span = Math.abs(seconds);
  const size = SIZES.find(([size]) => span >= size);
  if (seconds === 0) return "now";
  const words = size ? `${Math.floor(span / size[0])} ${size[1]}` : `${span} s`;
  return seconds > 0 ? `${words} ago` : `in ${words}`;
}

function duration(milliseconds) {
  if (milliseconds < 1000) return `${Math.max(0, Math.round(milliseconds))} ms`;
  if (milliseconds < 59950) return `${(milliseconds / 1000).toFixed(1)} s`;
  const seconds = Math.round(milliseconds / 1000);
  for (const [size, unit, next, nextUnit] of [[86400, "d", 3600, "h"], [3600, "h", 60, "min"], [60, "min", 1, "s"]]) {
    if (seconds >= size) {
      const rest = Math.floor((seconds % size) / next);
      return `${Math.floor(seconds / size)} ${unit}` + (rest ? ` ${rest} ${nextUnit}` : "");
    }
  }
  return `${seconds} s`;
}

function two(number) { return String(number).padStart(2, "0"); }

function zoneName(date) {
  const part = new Intl.DateTimeFormat("en", { timeZoneName: "short" }).formatToParts(date)
    .find((part) => part.type === "timeZoneName");
  return part ? part.value : "local";
}

function dayOf(date) {
  return zone === "UTC"
    ? `${date.getUTCFullYear()}-${two(date.getUTCMonth() + 1)}-${two(date.getUTCDate())}`
    : `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
}

function clockOf(date) {
  return zone === "UTC"
    ? `${two(date.getUTCHours())}:${two(date.getUTCMinutes())}:${two(date.getUTCSeconds())} UTC`
    : `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())} ${zoneName(date)}`;
}

export function clockWords(milliseconds) { return clockOf(new Date(milliseconds)); }

function show(element) {
  const date = new Date(element.dateTime);
  const kind = element.dataset.time;
  let words;
  if (kind === "relative") words = relative(date.getTime());
  else if (kind === "due") words = date.getTime() > serverNow() + 500 ? relative(date.getTime()) : "any moment";
  else if (kind === "elapsed") words = duration(serverNow() - date.getTime());
  else if (kind === "clock") words = clockOf(date);
  else words = `${dayOf(date)} ${clockOf(date)}`;
  if (element.textContent !== words) element.textContent = words;
  if (kind !== "full") element.title = `${dayOf(date)} ${clockOf(date)}`;
}

export function showTimes(root) {
  for (const element of root.querySelectorAll("time[data-time]")) show(element);
}

export function startClock(remember, announce) {
  const button = document.querySelector("[data-clock-switch]");
  const said = document.querySelector("[data-zone]");
  const label = () => {
    const here = Intl.DateTimeFormat().resolvedOptions().timeZone;
    if (button) button.textContent = zone === "UTC" ? `Show times in my zone (${here})` : "Show times in UTC";
    if (said) said.textContent = zone === "UTC" ? "Times are UTC" : `Times are those of ${here}`;
  };
  button?.addEventListener("click", () => {
    zone = zone === "UTC" ? "local" : "UTC";
    remember("ghostcrm_clock", zone === "local" ? "local" : "");
    showTimes(document);
    label();
    announce(said.textContent);
  });
  label();
  setInterval(() => {
    if (document.hidden) return;
    for (const element of document.querySelectorAll("time[data-time=relative], time[data-time=elapsed], time[data-time=due]")) show(element);
  }, 1000);
}
