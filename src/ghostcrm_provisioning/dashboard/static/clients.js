// Search as one types: the list is fetched from the server, already rendered, and put in place. The
// address is kept in step, so that a reload, a bookmark or Back shows the same.

import { showTimes } from "./times.js";

const TYPING_PAUSE = 150; // ms
const form = document.getElementById("client-filters");
const list = document.getElementById("client-list");
const search = document.getElementById("client-search");
let timer = null;
let asked = null;

function announce(sentence) {
  const announcer = document.getElementById("announcer");
  announcer.textContent = "";
  requestAnimationFrame(() => { announcer.textContent = sentence; });
}

function address() {
  const query = new URLSearchParams();
  for (const [name, value] of new FormData(form)) {
    if (value.trim() && !(name === "size" && value === "25")) query.append(name, value.trim());
  }
  const text = query.toString();
  return form.action + (text ? `?${text}` : "");
}

async function look() {
  const wanted = address();
  asked?.abort();
  asked = new AbortController();
  list.classList.add("list-busy");
  try {
    const answer = await fetch(wanted, {
      headers: { "X-Fragment": "1", "X-Live": "1" }, credentials: "same-origin", signal: asked.signal,
    });
    if (!answer.ok) { location.assign(wanted); return; }
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    list.replaceChildren(...fresh.body.childNodes);
    showTimes(list);
    for (const button of list.querySelectorAll("[data-copy]")) button.hidden = false;
    history.replaceState(null, "", wanted);
    const said = list.querySelector("[data-says]")?.dataset.says;
    if (said) {
      announce(said);
      document.title = document.title.replace(/^.*?(?= · )/, `${said.replace(" found", "")}`);
    }
    list.classList.remove("list-busy");
  } catch (problem) {
    if (problem.name === "AbortError") return;
    list.classList.remove("list-busy");
    announce("The list could not be fetched. It shows what was found before.");
  }
}

search.addEventListener("input", () => {
  clearTimeout(timer);
  timer = setTimeout(look, TYPING_PAUSE);
});
form.addEventListener("submit", (event) => {
  event.preventDefault();
  clearTimeout(timer);
  look();
});
// What was typed before this script was there.
if (search.value.trim() !== search.defaultValue.trim()) look();
// The list is live as one types; its button is for those without a script.
for (const button of form.querySelectorAll("[data-no-script]")) button.hidden = true;
