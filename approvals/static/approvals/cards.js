// What every page with proposal cards shares: live replacement, countdown, decision dialog, values.

import { api } from "/static/js/api.js";
import { startCharts } from "/static/js/chart.js";
import { ago, num } from "/static/js/format.js";
import { connect } from "/static/js/live.js";
import { toast } from "/static/js/toast.js";

/** Fetch a server-rendered fragment as a DOM node; the server has escaped all data in it. */
export async function fragment(path) {
  const response = await fetch(path, { credentials: "same-origin", headers: { Accept: "text/html" } });
  if (!response.ok) throw new Error(`${path} answered ${response.status}`);
  const parsed = new DOMParser().parseFromString(await response.text(), "text/html");
  return document.adoptNode(parsed.body);
}

/** Put `next` in place of `old`, keeping charts that go on showing the same point. */
export function swap(old, next) {
  for (const chart of next.querySelectorAll("[data-chart]")) {
    const same = old.querySelector(`[data-chart="${CSS.escape(chart.dataset.chart)}"][data-started]`);
    if (same) chart.replaceWith(same);
  }
  const focused = old.contains(document.activeElement);
  old.replaceWith(next);
  if (focused) next.focus({ preventScroll: true });
  startCharts(next);
  tick();
}

/** The card of a proposal as the server renders it for this person. */
export async function freshCard(id) {
  return (await fragment(`/approvals/${id}/card`)).querySelector(".proposal");
}

export const cardOf = (id) => document.getElementById(`proposal-${id}`);

// Countdown and ages, once a second.
export function tick() {
  for (const node of document.querySelectorAll("[data-expires]")) {
    const end = new Date(node.dataset.expires);
    const left = Math.max(0, (end - Date.now()) / 1000);
    const bar = node.querySelector("progress");
    bar.value = Math.min(1, left / ((end - new Date(node.dataset.created)) / 1000));
    node.dataset.soon = left < 120 ? "yes" : "no";
    const minutes = Math.floor(left / 60);
    const seconds = String(Math.floor(left % 60)).padStart(2, "0");
    node.querySelector("[data-left]").textContent = left > 0 ? `${minutes}:${seconds} left` : "expired";
  }
  for (const node of document.querySelectorAll("[data-ago]")) node.textContent = ago(node.dataset.ago);
}
setInterval(tick, 1000);
tick();

// Live value of the point whose effect is being measured.
connect("/ws/telemetry/", (message) => {
  if (message.type !== "readings") return;
  for (const node of document.querySelectorAll("[data-point]")) {
    const reading = message.readings.findLast((one) => one.point === node.dataset.point);
    if (reading) node.textContent = `${num(reading.value, 1)} ${node.dataset.unit}`;
  }
});

// The decision dialog.
const dialog = document.getElementById("decision");
const part = (name) => dialog.querySelector(`[data-${name}]`);
let asked = null;

/** Open the dialog for a card when this person may decide so; says why not otherwise. */
export function ask(card, verdict) {
  if (!card) return;
  const approving = verdict === "approve";
  if (!((approving ? "canApprove" : "canReject") in card.dataset)) {
    toast(approving ? "You cannot approve this one." : "You cannot reject this one.", "high");
    return;
  }
  asked = { id: card.dataset.proposal, digest: card.dataset.digest, verdict, title: card.dataset.title };
  const required = !approving || "reasonRequired" in card.dataset;
  part("verb").textContent = approving ? "Approve" : "Reject";
  part("what").textContent = asked.title;
  part("consequence").textContent = approving
    ? `This writes ${[...card.querySelectorAll(".proposal__what .write")].map((n) => n.textContent).join(", ")} to the plant, once, if every precondition still holds.`
    : "Nothing is written to the plant. The reason stays in the audit trail.";
  part("optional").textContent = required ? "(required)" : "(optional)";
  part("digest").textContent = asked.digest;
  part("binding").hidden = !approving;
  part("confirm").textContent = approving ? "Sign and execute" : "Reject";
  part("confirm").className = approving ? "btn btn-primary" : "btn btn-danger";
  part("error").hidden = true;
  const reason = dialog.querySelector("textarea");
  reason.value = "";
  reason.required = required;
  dialog.showModal();
  reason.focus();
}

if (dialog) {
  part("cancel").addEventListener("click", () => dialog.close());
  dialog.querySelector("form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = part("confirm");
    button.disabled = true;
    const { id, digest, verdict } = asked;
    const reason = dialog.querySelector("textarea").value;
    try {
      await api(`/api/v1/proposals/${id}/${verdict}`, {
        method: "POST",
        body: verdict === "approve" ? { digest, reason } : { reason },
      });
      dialog.close();
      toast(verdict === "approve" ? "Signed. Writing to the plant…" : "Rejected. Nothing was written.", "ok");
      document.dispatchEvent(new CustomEvent("proposal-changed", { detail: { id } }));
    } catch (error) {
      part("error").textContent = error.message;
      part("error").hidden = false;
    } finally {
      button.disabled = false;
    }
  });
  dialog.querySelector("textarea").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) dialog.querySelector("form").requestSubmit();
  });
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-decide]");
  if (button) ask(button.closest(".proposal"), button.dataset.decide);
});

// Keyboard: j/k move between cards, a/r decide on the one in focus (or the only one).
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || dialog?.open) return;
  if (event.target.closest("input, textarea, select, [contenteditable]")) return;
  const cards = [...document.querySelectorAll(".proposal")];
  if (!cards.length) return;
  const at = cards.indexOf(document.activeElement?.closest(".proposal"));
  const key = event.key.toLowerCase();
  if (key === "j" || key === "k") {
    const next = key === "j" ? Math.min(at + 1, cards.length - 1) : Math.max(at - 1, 0);
    cards[next].focus();
    cards[next].scrollIntoView({ block: "nearest" });
  } else if (key === "a" || key === "r") {
    const chosen = at >= 0 ? cards[at] : cards.length === 1 ? cards[0] : null;
    if (!chosen) toast("Choose a card with J and K first.", "info");
    else ask(chosen, key === "a" ? "approve" : "reject");
  } else return;
  event.preventDefault();
});
