// What is drawn only when somebody opens it, and the note that they did.

import { api } from "/static/js/api.js";
import { startCharts } from "/static/js/chart.js";
import { drawPlan } from "/static/facilities/hall/plan.js";

const noted = new Set();

/** Note that this person opened a part of a proposal, each once; it is a measure, never a hindrance. */
export function look(id, what) {
  const key = `${id}:${what}`;
  if (!id || noted.has(key)) return;
  noted.add(key);
  api(`/api/v1/proposals/${id}/looks`, { method: "POST", body: { what } }).catch(() => noted.delete(key));
}

const idOf = (node) => node.closest("[data-proposal]")?.dataset.proposal ?? node.closest("[data-detail]")?.dataset.detail;

async function drawBlast(holder) {
  if ("drawn" in holder.dataset) return;
  holder.dataset.drawn = "";
  const svg = holder.querySelector("svg");
  try {
    const { plan, acted, reached } = await api(`/approvals/${holder.dataset.blast}/blast`);
    const map = drawPlan(svg, plan, { hrefOf: (unit) => (unit.kind === "rack" ? `/racks/${unit.tag}/` : `/assets/${unit.tag}/`), crop: true });
    for (const [tag, drawn] of map.units) {
      if (reached.includes(tag)) drawn.link.dataset.reached = "";
      if (acted.includes(tag)) drawn.link.dataset.acted = "";
      drawn.value.textContent = "";
    }
  } catch (error) {
    const said = document.createElement("p");
    said.className = "small muted";
    said.textContent = error.status === 404 ? "It reaches no hall that could be drawn." : error.message;
    svg.parentElement.replaceWith(said);
  }
}

/** Draw what an open fold holds. */
function fill(fold) {
  const waiting = fold.querySelector(":scope > template");
  if (waiting) {
    waiting.replaceWith(waiting.content.cloneNode(true));
    startCharts(fold);
  }
  const blast = fold.querySelector("[data-blast]");
  if (blast) drawBlast(blast);
}

document.addEventListener(
  "toggle",
  (event) => {
    const fold = event.target;
    if (!(fold instanceof HTMLDetailsElement) || !fold.open || !fold.dataset.fold) return;
    fill(fold);
    if (fold.dataset.looked && !("quiet" in fold.dataset)) look(idOf(fold), fold.dataset.looked);
  },
  true,
);

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-looked]");
  if (link) look(idOf(link), link.dataset.looked);
});

// A card in view was seen, once.
const seen = new IntersectionObserver(
  (entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting || target.dataset.state !== "pending") continue;
      seen.unobserve(target);
      look(target.dataset.proposal, "seen");
    }
  },
  { threshold: 0.5 },
);
const watch = (card) => seen.observe(card);
document.querySelectorAll(".proposal[data-state='pending']").forEach(watch);
document.addEventListener("card-shown", ({ detail: { card } }) => {
  for (const one of card.matches(".proposal") ? [card] : card.querySelectorAll(".proposal")) watch(one);
  for (const fold of card.querySelectorAll("details[data-fold][open]")) fill(fold);
});
for (const fold of document.querySelectorAll("details[data-fold][open]")) fill(fold);
