// Sends the forms of the documentation. The token is read from its field when a form is sent; it is never stored.
"use strict";

const token = document.getElementById("token");
document.getElementById("token-form").hidden = false;
document.getElementById("token-form").addEventListener("submit", (event) => event.preventDefault());

function requestOf(form) {
  let path = form.dataset.path;
  const query = new URLSearchParams();
  const headers = new Headers();
  for (const field of form.querySelectorAll("input[data-place]")) {
    if (field.value === "") continue;
    if (field.dataset.place === "path") path = path.replace(`{${field.name}}`, encodeURIComponent(field.value));
    if (field.dataset.place === "query") query.append(field.name, field.value);
    if (field.dataset.place === "header") headers.set(field.name, field.value);
  }
  if (token.value !== "") headers.set("Authorization", `Bearer ${token.value.trim()}`);
  const options = { method: form.dataset.method, headers, credentials: "omit", cache: "no-store" };
  const body = form.elements.namedItem("body");
  if (body !== null) {
    headers.set("Content-Type", "application/json");
    options.body = body.value;
  }
  const search = query.toString();
  return [search === "" ? path : `${path}?${search}`, options];
}

function shown(text, type) {
  if (!type.includes("json")) return text;
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

async function send(form) {
  const status = form.querySelector("[role=status]");
  const answer = form.querySelector("pre");
  const button = form.querySelector("button");
  button.disabled = true;
  status.textContent = "Sending …";
  try {
    const began = performance.now();
    const [path, options] = requestOf(form);
    const response = await fetch(path, options);
    const text = await response.text();
    status.textContent = `${response.status} ${response.statusText} in ${Math.round(performance.now() - began)} ms, `
      + `request ${response.headers.get("X-Request-Id") ?? ""}`;
    answer.textContent = shown(text, response.headers.get("Content-Type") ?? "");
    answer.hidden = text === "";
  } catch (problem) {
    status.textContent = `There was no answer: ${problem.message}`;
    answer.hidden = true;
  } finally {
    button.disabled = false;
  }
}

for (const form of document.querySelectorAll("form.try")) {
  form.hidden = false;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    void send(form);
  });
}

function openTarget() {
  const target = document.getElementById(location.hash.slice(1));
  if (target instanceof HTMLDetailsElement) target.open = true;
}
window.addEventListener("hashchange", openTarget);
openTarget();
