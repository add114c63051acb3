// The queue: new proposals slide in, decided ones show their progress in place.

import { connect } from "/static/js/live.js";
import { cardOf, fragment, freshCard, swap, tick } from "./cards.js";

const open = document.getElementById("open");
const nothing = document.getElementById("nothing");
const working = new Map();

const showNothing = () => {
  nothing.hidden = open.querySelector(".proposal") !== null;
};

async function refresh(id) {
  const next = await freshCard(id);
  const old = cardOf(id);
  if (old) swap(old, next);
  else {
    next.classList.add("slide-in");
    open.prepend(next);
    tick();
  }
  showNothing();
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
  } finally {
    const again = working.get(id);
    working.delete(id);
    if (again) refreshOnce(id);
  }
}

async function refreshActivity() {
  const body = await fragment("/approvals/activity");
  document.getElementById("activity").replaceChildren(...body.childNodes);
  tick();
}

async function refreshAll() {
  const page = await fragment("/approvals/");
  for (const card of page.querySelectorAll("#open .proposal")) {
    const old = document.getElementById(card.id);
    if (old) swap(old, document.adoptNode(card));
    else open.prepend(document.adoptNode(card));
  }
  for (const card of open.querySelectorAll(".proposal")) refreshOnce(card.dataset.proposal);
  showNothing();
  refreshActivity();
}

connect("/ws/approvals/", (message) => {
  if (message.type === "proposal") refreshOnce(String(message.proposal.id));
  if (message.type === "investigation") refreshActivity();
  if (message.type === "reconnected") refreshAll();
});
document.addEventListener("proposal-changed", (event) => refreshOnce(event.detail.id));
