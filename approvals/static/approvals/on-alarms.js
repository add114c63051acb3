// On the alarm console: which alarm has a proposal that waits for a signature, one click away.

import { api } from "/static/js/api.js";
import { connect } from "/static/js/live.js";

const rows = document.getElementById("rows");
let waiting = new Map();

/** The alarms that a proposal answers: its own, and those that joined it as evidence. */
const alarmsOf = ({ alarm, evidence }) => [alarm, ...evidence.filter((one) => one.kind === "alarm").map((one) => one.alarm)].filter(Boolean);

function mark() {
  for (const row of rows.querySelectorAll("tr.alarm")) {
    const found = waiting.get(Number(row.id.slice("alarm-".length)));
    const old = row.querySelector("[data-proposal-link]");
    if (old?.dataset.proposalLink === String(found?.id ?? "")) continue;
    old?.remove();
    if (!found) continue;
    const link = document.createElement("a");
    link.className = "to-sign";
    link.href = `/approvals/${found.id}/`;
    link.dataset.proposalLink = String(found.id);
    link.textContent = `Waits for a signature: ${found.title}`;
    link.addEventListener("click", (event) => event.stopPropagation());
    row.querySelector(".message").append(" ", link);
  }
}

async function refresh() {
  try {
    const page = await api("/api/v1/proposals/?state=pending");
    waiting = new Map(page.results.toReversed().flatMap((proposal) => alarmsOf(proposal).map((id) => [id, proposal])));
    mark();
  } catch {
    // The console stands without it; the queue has them all.
  }
}

let due = null;
connect("/ws/approvals/", (message) => {
  if (!["connected", "reconnected", "proposal"].includes(message.type)) return;
  due ??= setTimeout(() => {
    due = null;
    refresh();
  }, 300);
});
new MutationObserver(mark).observe(rows, { childList: true });

document.addEventListener("keydown", (event) => {
  if (event.key !== "p" || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (event.target.closest("input, textarea, select")) return;
  (rows.querySelector("tr[aria-selected='true'] [data-proposal-link]") ?? rows.querySelector("[data-proposal-link]"))?.click();
});
