// What every page with proposal cards shares: live replacement, countdown, values.

import { startCharts } from "/static/js/chart.js";
import { ago, num } from "/static/js/format.js";
import { connect } from "/static/js/live.js";

/** Fetch a server-rendered fragment as a DOM node; the server has escaped all data in it. */
export async function fragment(path) {
  const response = await fetch(path, { credentials: "same-origin", headers: { Accept: "text/html" } });
  if (!response.ok) throw new Error(`${path} answered ${response.status}`);
  const parsed = new DOMParser().parseFromString(await response.text(), "text/html");
  return document.adoptNode(parsed.body);
}

/** Put `next` in place of `old`, keeping open folds, charts that go on, and the focus. */
export function swap(old, next) {
  for (const fold of next.querySelectorAll("details[data-fold]")) {
    const same = old.querySelector(`details[data-fold="${fold.dataset.fold}"][open]`);
    if (same) {
      const drawn = same.querySelector(".charts, [data-blast][data-drawn]");
      fold.open = true;
      const place = fold.querySelector("template, [data-blast]");
      if (drawn && place) place.replaceWith(drawn);
    }
  }
  for (const chart of next.querySelectorAll("[data-chart]")) {
    const same = old.querySelector(`[data-chart="${CSS.escape(chart.dataset.chart)}"][data-started]`);
    if (same) chart.replaceWith(same);
  }
  const focused = old.contains(document.activeElement);
  old.replaceWith(next);
  if (focused) next.focus({ preventScroll: true });
  startCharts(next);
  tick();
  document.dispatchEvent(new CustomEvent("card-shown", { detail: { card: next } }));
}

/** The card of a proposal as the server renders it for this person; `open`: with its body. */
export async function freshCard(id, open) {
  return (await fragment(`/approvals/${id}/card${open ? "?open=1" : ""}`)).querySelector(".proposal");
}

export const cardOf = (id) => document.getElementById(`proposal-${id}`);

const two = (value) => String(Math.floor(value)).padStart(2, "0");

function left(seconds) {
  if (seconds >= 2 * 86400) return `${Math.floor(seconds / 86400)} d left`;
  if (seconds >= 3600) return `${Math.floor(seconds / 3600)}:${two((seconds % 3600) / 60)} h left`;
  return `${Math.floor(seconds / 60)}:${two(seconds % 60)} left`;
}

// Countdown and ages, once a second.
export function tick() {
  for (const node of document.querySelectorAll("[data-expires]")) {
    const end = new Date(node.dataset.expires);
    const seconds = Math.max(0, (end - Date.now()) / 1000);
    node.querySelector("progress").value = Math.min(1, seconds / ((end - new Date(node.dataset.created)) / 1000));
    node.dataset.soon = seconds < 120 ? "yes" : "no";
    node.querySelector("[data-left]").textContent = seconds > 0 ? left(seconds) : "expired";
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
