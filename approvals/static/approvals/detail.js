// One proposal: the whole page follows its state.

import { connect } from "/static/js/live.js";
import { fragment, swap } from "./cards.js";
import "./decide.js";
import { look } from "./folds.js";
import "./gate.js";
import "./keys.js";

const id = document.getElementById("detail").dataset.detail;
let busy = false;
let again = false;

async function refresh() {
  if (busy) {
    again = true;
    return;
  }
  busy = true;
  try {
    const page = await fragment(`/approvals/${id}/`);
    const old = document.getElementById("detail");
    const next = page.querySelector("#detail");
    const opened = new Set([...old.querySelectorAll("details:not([data-fold])[open]")].map((node) => node.dataset.key));
    for (const node of next.querySelectorAll("details:not([data-fold])")) node.open = opened.has(node.dataset.key);
    swap(old, next);
  } catch {
    // The link state shows a lost server; the reconnection refreshes.
  } finally {
    busy = false;
    if (again) {
      again = false;
      refresh();
    }
  }
}

look(id, "details");
connect("/ws/approvals/", (message) => {
  if (message.type === "reconnected" || (message.type === "proposal" && String(message.proposal.id) === id)) refresh();
});
document.addEventListener("proposal-changed", refresh);
