// One proposal: the whole page follows its state.

import { connect } from "/static/js/live.js";
import { fragment, swap } from "./cards.js";

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
    const opened = [...old.querySelectorAll("details")].map((node) => node.open);
    const next = page.querySelector("#detail");
    [...next.querySelectorAll("details")].forEach((node, index) => {
      node.open = opened[index] ?? false;
    });
    swap(old, next);
  } finally {
    busy = false;
    if (again) {
      again = false;
      refresh();
    }
  }
}

connect("/ws/approvals/", (message) => {
  if (message.type === "reconnected" || (message.type === "proposal" && String(message.proposal.id) === id)) refresh();
});
document.addEventListener("proposal-changed", refresh);
