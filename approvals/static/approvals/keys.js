// The keyboard: j/k move, o or Enter unfolds, a/r/e decide on the card in focus, ? explains.

import { toast } from "/static/js/toast.js";
import { ask } from "./decide.js";

const help = document.getElementById("keys");
const shown = () => [...document.querySelectorAll(".proposal")].filter((card) => card.offsetParent !== null);
const current = (cards) => {
  const inside = document.activeElement?.closest(".proposal");
  return inside ?? (cards.length === 1 ? cards[0] : null);
};

function move(cards, by) {
  const at = cards.indexOf(document.activeElement?.closest(".proposal"));
  const next = cards[Math.min(Math.max(at + by, 0), cards.length - 1)];
  next?.focus({ preventScroll: true });
  next?.scrollIntoView({ block: "nearest" });
}

const ON_CARD = {
  a: (card) => ask(card, "approve"),
  r: (card) => ask(card, "reject"),
  e: (card) => {
    const button = card.querySelector("[data-revise]");
    if (button) button.click();
    else if ("canRevise" in card.dataset) unfold(card).then(() => card.isConnected || document.getElementById(card.id)?.querySelector("[data-revise]")?.click());
    else toast("You cannot change this one.", "high");
  },
  o: (card) => card.querySelector("[data-toggle]")?.click(),
};

/** Unfold a card and wait until its body is there. */
function unfold(card) {
  return new Promise((resolve) => {
    document.addEventListener("card-shown", resolve, { once: true });
    card.querySelector("[data-toggle]").click();
  });
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (event.target.closest("input, textarea, select, [contenteditable]")) return;
  const key = event.key.toLowerCase();
  const cards = shown();
  if (key === "?") help.showModal();
  else if (key === "j" || key === "k") move(cards, key === "j" ? 1 : -1);
  else if (key === "escape") {
    const open = document.activeElement?.closest(".proposal[data-open]");
    if (!open) return;
    ON_CARD.o(open);
  } else if (key === "enter" && !document.activeElement?.matches(".proposal")) return;
  else {
    const act = ON_CARD[key === "enter" ? "o" : key];
    if (!act) return;
    const card = current(cards);
    if (card) act(card);
    else toast("Choose a proposal with J and K first.", "info");
  }
  event.preventDefault();
});

document.addEventListener("click", (event) => {
  if (event.target.closest("[data-keys]")) help.showModal();
});
