// The policy editor: rules as cards or as JSON, checked while typing, simulated, put in force.

import { api } from "/static/js/api.js";
import { toast } from "/static/js/toast.js";
import { h, objectForm } from "./match-form.js";
import { ruleCard } from "./rule-card.js";
import { showSimulation } from "./simulation.js";

const data = JSON.parse(document.getElementById("policy-data").textContent);
const by = (id) => document.getElementById(id);
const mayChange = data.may_change;
let cards = [];
let general = null;
let checked = null;
let timer = 0;
let asked = 0;

const YES_NO = [[true, "yes"], [false, "no"]];
const PARTS = [
  ["break_glass", "Break-glass", [
    { name: "enabled", kind: "pick", label: "One person may sign alone in an emergency", options: YES_NO },
    { name: "reviews", kind: "number", label: "Reviews needed afterwards", min: 1 },
    { name: "review_within_h", kind: "number", label: "Reviewed within, h", min: 1, step: "any" },
  ]],
  ["drills", "Drills", [
    { name: "enabled", kind: "pick", label: "Plant known-bad proposals that are never executed", options: YES_NO },
    { name: "per_week", kind: "number", label: "How many a week", min: 0.1, step: "any" },
  ]],
  ["changes", "Changes of this policy", [
    { name: "second_person", kind: "pick", label: "A second person accepts what asks for less", options: YES_NO },
  ]],
];

/** Show a document as cards. */
function show(doc, sentences = []) {
  cards = doc.rules.map((rule, number) => makeCard(rule, sentences[number]));
  by("rules").replaceChildren(...cards.map((card) => card.node));
  const parts = PARTS.map(([name, title, fields]) => ({ name, title, ...objectForm(fields, { ...data.defaults[name], ...doc[name] }) }));
  const coolDown = objectForm(data.kinds.map((kind) => ({ name: kind.name, kind: "number", label: `${kind.title}, s`, hint: "as the catalogue says" })), doc.cool_down_s ?? {});
  parts.push({ name: "cool_down_s", title: "Cool-down on the same asset", ...coolDown });
  const nodes = parts.map((part) => {
    const form = h("fieldset", { className: "rule__form", disabled: !mayChange }, part.node);
    form.addEventListener("input", changed);
    return h("details", { className: "rule card" }, h("summary", {}, h("b", {}, part.title)), form);
  });
  by("general").replaceChildren(...nodes);
  general = parts;
}

function makeCard(rule, sentence, open = false) {
  const removed = (card) => {
    cards = cards.filter((one) => one !== card);
    card.node.remove();
    changed();
  };
  return ruleCard(rule, { data, sentence, changed, removed, mayChange, open });
}

const inText = () => !by("text-field").hidden;

/** The document as it stands in the editor; null where the JSON cannot be read. */
function read() {
  if (!inText()) {
    const doc = { rules: cards.map((card) => card.read()) };
    for (const part of general) doc[part.name] = part.read();
    return doc;
  }
  try {
    by("text-error").hidden = true;
    return JSON.parse(by("text").value);
  } catch (error) {
    by("text-error").textContent = `This is no JSON: ${error.message}`;
    by("text-error").hidden = false;
    return null;
  }
}

function changed() {
  by("discard").hidden = false;
  by("put").disabled = true;
  clearTimeout(timer);
  timer = setTimeout(check, 400);
}

const list = (title, items, tone = "") => h("div", {}, h("h3", { className: `small ${tone}` }, title), h("ul", { className: "plain small" }, ...items.map((item) => h("li", {}, item))));

async function check() {
  const doc = read();
  if (!doc) return;
  const mine = ++asked;
  try {
    const answer = await api("/api/v1/policy/check", { method: "POST", body: { document: doc } });
    if (mine !== asked) return;
    checked = answer;
  } catch (error) {
    if (mine === asked) by("check").replaceChildren(h("p", { className: "error-text" }, error.message));
    return;
  }
  say(checked);
}

function say(found) {
  const errors = found.problems.filter((problem) => problem.is_error);
  const notes = found.problems.filter((problem) => !problem.is_error);
  const where = (problem) => `${problem.where}: ${problem.text}`;
  const parts = [];
  if (errors.length) parts.push(list(`${errors.length} to mend`, errors.map(where), "error-text"));
  if (notes.length) parts.push(list("To look at", notes.map(where)));
  if (found.changes.length) parts.push(list("What changes", found.changes));
  if (found.weaker.length) parts.push(list("Where it asks for less", found.weaker.map((one) => `${one.what} (${one.example})`), "warn-text"));
  if (!parts.length) parts.push(h("p", { className: "muted small" }, "The same as the policy in force."));
  by("check").replaceChildren(...parts);
  for (const [number, card] of cards.entries()) {
    card.complain(errors.filter((p) => p.where.startsWith(`rules[${number}]`)).map((p) => p.text).join("; "));
    if (found.sentences.length) card.say(found.sentences[number]);
  }
  const ready = !errors.length && found.changes.length > 0;
  by("put").disabled = !ready;
  by("put").textContent = found.needs_second_person ? "Ask a second person" : "Put in force";
  by("consequence").textContent = !ready ? "" : found.needs_second_person
    ? "It asks for less somewhere, so it comes into force when somebody else has accepted it."
    : "It comes into force at once. Open proposals keep what they were signed for where that is stricter.";
}

function load(doc, sentences) {
  if (inText()) by("text").value = JSON.stringify(doc, null, 2);
  show(doc, sentences);
}

show(data.document, data.sentences);

if (mayChange) {
  by("add-rule").addEventListener("click", () => {
    if (inText()) return toast("Close the JSON first.", "info");
    const card = makeCard({ name: "" }, "", true);
    cards.push(card);
    by("rules").append(card.node);
    card.focus();
    changed();
  });
  by("as-text").addEventListener("click", () => {
    const doc = read();
    if (!doc) return;
    const opening = !inText();
    by("text-field").hidden = !opening;
    by("rules").hidden = by("general").hidden = opening;
    by("as-text").setAttribute("aria-pressed", String(opening));
    if (opening) by("text").value = JSON.stringify(doc, null, 2);
    else if (Array.isArray(doc.rules)) show(doc, checked?.sentences ?? []);
  });
  by("text").addEventListener("input", changed);
  by("discard").addEventListener("click", () => location.reload());
  by("simulate").addEventListener("submit", async (event) => {
    event.preventDefault();
    const doc = read();
    if (!doc) return;
    const button = event.target.querySelector("button");
    button.disabled = true;
    try {
      const days = Number(event.target.elements.days.value);
      showSimulation(await api("/api/v1/policy/simulate", { method: "POST", body: { document: doc, days } }));
    } catch (error) {
      by("simulation").replaceChildren(h("p", { className: "error-text" }, error.message));
    } finally {
      button.disabled = false;
    }
  });
  by("save").addEventListener("submit", async (event) => {
    event.preventDefault();
    const form = event.target.elements;
    by("save-error").hidden = true;
    by("put").disabled = true;
    try {
      const body = { document: read(), note: form.note.value, base_number: data.number, password: form.password.value, otp: form.otp.value };
      const made = await api("/api/v1/policy", { method: "POST", body });
      toast(made.version ? `Policy ${made.version.number} is in force.` : "It waits for a second person.", "ok");
      setTimeout(() => location.reload(), 700);
    } catch (error) {
      by("save-error").textContent = error.message;
      by("save-error").hidden = false;
      by("put").disabled = false;
    } finally {
      form.password.value = form.otp.value = "";
    }
  });
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-load]");
  if (!button) return;
  try {
    const version = await api(`/api/v1/policy/versions/${button.dataset.load}`);
    load(version.document);
    document.querySelector("#save [name=note]").value = `back to policy ${version.number}`;
    changed();
    by("rules").scrollIntoView({ block: "start" });
    toast(`Policy ${version.number} is in the editor; nothing is in force yet.`, "info");
  } catch (error) {
    toast(error.message, "high");
  }
});

for (const form of document.querySelectorAll(".policy-decide")) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const value = (name) => form.elements[name]?.value ?? "";
    const wrong = form.querySelector("[data-error]");
    const id = form.closest("[data-change]").dataset.change;
    wrong.hidden = true;
    try {
      const body = { accept: event.submitter?.name === "accept", comment: value("comment"), password: value("password"), otp: value("otp") };
      await api(`/api/v1/policy/changes/${id}/decide`, { method: "POST", body });
      location.reload();
    } catch (error) {
      wrong.textContent = error.message;
      wrong.hidden = false;
    }
  });
}
