// The queue: new proposals slide in, decided ones move on, the most urgent stay on top.

import { api } from "/static/js/api.js";
import { connect } from "/static/js/live.js";
import { toast } from "/static/js/toast.js";
import { cardOf, fragment, freshCard, swap, tick } from "./cards.js";
import { look } from "./folds.js";
import "./gate.js";
import "./keys.js";

const SOON_S = 120;
const SEVERITIES = ["critical", "high", "medium", "low"];
const groups = new Map([...document.querySelectorAll("[data-group-of]")].map((node) => [node.dataset.groupOf, node]));
const filters = document.querySelector(".filters");
const working = new Map();
const said = document.querySelector("[data-said]");

/** The server's order: about to run out, then the alarm's severity, then the time left. */
function urgency({ dataset }) {
  if (dataset.group === "ended") return [-new Date(dataset.changed)];
  const left = dataset.ends ? (new Date(dataset.ends) - Date.now()) / 1000 : Infinity;
  const rank = SEVERITIES.indexOf(dataset.severity);
  return [left < SOON_S ? 0 : 1, rank < 0 ? SEVERITIES.length : rank, left, -Number(dataset.proposal)];
}

function before(one, other) {
  const [a, b] = [urgency(one), urgency(other)];
  const at = a.findIndex((value, index) => value !== b[index]);
  return at >= 0 && a[at] < b[at];
}

/** Put a card where it belongs; an element that stays where it is is not touched. */
function place(card) {
  const list = groups.get(card.dataset.group).querySelector("[data-list]");
  const next = [...list.children].find((other) => other !== card && before(card, other)) ?? null;
  if (card.parentElement === list && card.nextElementSibling === next) return;
  const focused = card.contains(document.activeElement) ? document.activeElement : null;
  list.insertBefore(card, next);
  focused?.focus({ preventScroll: true });
}

function wanted() {
  const form = new FormData();
  for (const input of filters.querySelectorAll("input")) {
    if (input.type === "radio" || input.type === "checkbox" ? input.checked : input.value) form.set(input.name, input.value);
  }
  return { risk: form.get("risk") ?? "", mine: form.has("mine"), words: (form.get("words") ?? "").toLowerCase() };
}

/** Hide what the filter leaves out, empty groups, and say how many are hidden. */
function settle() {
  const { risk, mine, words } = wanted();
  let hidden = 0;
  for (const [name, group] of groups) {
    let count = 0;
    for (const card of group.querySelectorAll(".proposal")) {
      const text = `${card.dataset.title} ${card.dataset.target} #${card.dataset.proposal}`.toLowerCase();
      const out = (risk && card.dataset.risk !== risk) || (mine && name !== "needs_you") || (words && !text.includes(words));
      card.hidden = out;
      hidden += out ? 1 : 0;
      count += out ? 0 : 1;
    }
    group.hidden = count === 0;
    group.querySelector("[data-number]").textContent = String(count);
  }
  const note = filters.querySelector("[data-hidden]");
  note.hidden = hidden === 0;
  note.textContent = `${hidden} hidden by the filter`;
  document.getElementById("nothing").hidden = groups.get("needs_you").querySelector(".proposal") !== null || groups.get("waits").querySelector(".proposal") !== null;
}

async function refresh(id) {
  const old = cardOf(id);
  const next = await freshCard(id, old ? "open" in old.dataset : false);
  const had = old?.contains(document.activeElement) && old.dataset.group !== next.dataset.group;
  const neighbour = had ? (old.nextElementSibling ?? old.previousElementSibling) : null;
  if (old) swap(old, next);
  else next.classList.add("slide-in");
  place(next);
  // Decided: the focus stays where the work is, it does not follow the card away.
  if (had && neighbour && ["needs_you", "waits"].includes(neighbour.dataset.group)) neighbour.focus({ preventScroll: true });
  if (!old) {
    document.dispatchEvent(new CustomEvent("card-shown", { detail: { card: next } }));
    said.textContent = `New: ${next.dataset.title}`;
  }
  settle();
  tick();
}

/** One refresh of a card at a time; changes that come meanwhile cause one more. */
async function refreshOnce(id) {
  if (working.has(id)) {
    working.set(id, true);
    return;
  }
  working.set(id, false);
  try {
    await refresh(id);
  } catch {
    // A lost server shows in the link state; the next message or the reconnection tries again.
  } finally {
    const again = working.get(id);
    working.delete(id);
    if (again) refreshOnce(id);
  }
}

/** Unfold or fold one card. The body is fetched when it is first wanted. */
async function toggle(card, { quiet = false } = {}) {
  const { proposal: id } = card.dataset;
  const opening = !("open" in card.dataset);
  const button = card.querySelector("[data-toggle]");
  button.disabled = true;
  try {
    const next = await freshCard(id, opening);
    swap(card, next);
    place(next);
    settle();
    if (opening && !quiet) {
      next.focus({ preventScroll: true });
      look(id, "details");
    }
  } catch (error) {
    button.disabled = false;
    toast(error.message, "high");
  }
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-toggle]");
  const row = event.target.closest(".proposal__row");
  if (button) toggle(button.closest(".proposal"));
  else if (row && !event.target.closest("a, button")) toggle(row.closest(".proposal"));
});

filters.addEventListener("input", settle);

async function refreshActivity() {
  const body = await fragment("/approvals/activity");
  document.getElementById("activity").replaceChildren(...body.childNodes);
  tick();
}

async function refreshAll() {
  const page = await fragment("/approvals/");
  const open = [...document.querySelectorAll(".proposal[data-open]")].map((card) => card.dataset.proposal);
  for (const [name, group] of groups) {
    const fresh = page.querySelector(`[data-group-of="${name}"] [data-list]`);
    group.querySelector("[data-list]").replaceChildren(...fresh.children);
  }
  for (const id of open) if (cardOf(id)) refreshOnce(id);
  settle();
  refreshActivity();
}

connect("/ws/approvals/", (message) => {
  if (message.type === "proposal") refreshOnce(String(message.proposal.id));
  if (message.type === "investigation") refreshActivity();
  if (message.type === "reconnected") refreshAll();
});
document.addEventListener("proposal-changed", (event) => refreshOnce(String(event.detail.id)));

// Time alone changes the order; and what ran out while nobody looked is asked for again.
setInterval(() => {
  for (const [name, group] of groups) {
    if (name === "ended" || group.contains(document.activeElement)) continue;
    for (const card of group.querySelectorAll(".proposal")) place(card);
  }
}, 15000);

const question = document.getElementById("ask");
question?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const input = question.querySelector("input");
  try {
    await api("/api/v1/investigations/", { method: "POST", body: { question: input.value } });
    input.value = "";
    toast("The agent is looking.", "info");
    refreshActivity();
  } catch (error) {
    toast(error.message, "high");
  }
});

// Few waiting: show the first one in full, as one would open it anyway. It counts as no look.
const first = groups.get("needs_you").querySelector(".proposal") ?? groups.get("waits").querySelector(".proposal");
if (first && window.matchMedia("(min-width: 761px)").matches) toggle(first, { quiet: true });
settle();
