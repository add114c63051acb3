// Live values on any page: every [data-point] element follows its point.

import { ago, num } from "/static/js/format.js";
import { connect } from "/static/js/live.js";

const rows = new Map();
for (const row of document.querySelectorAll("[data-point]")) {
  const known = rows.get(row.dataset.point) ?? [];
  rows.set(row.dataset.point, [...known, row]);
}
const names = new WeakMap();

/** The state's name when the point has states, otherwise the number with its digits. */
function text(row, value) {
  if (row.dataset.enum && !names.has(row)) names.set(row, JSON.parse(row.dataset.enum));
  return names.get(row)?.[String(value)] ?? num(value, Number(row.dataset.digits));
}

// QARTOD flags: name and badge tone, as templatetags/readings.py has them.
const FLAGS = {
  1: ["good", "neutral"],
  2: ["unknown", "neutral"],
  3: ["suspect", "medium"],
  4: ["fail", "high"],
  9: ["missing", "high"],
};

function showQuality(row, flag) {
  const holder = row.querySelector("[data-quality]");
  const [name, tone] = FLAGS[flag ?? 1] ?? [String(flag), "neutral"];
  if (!holder || holder.textContent.trim() === name) return;
  const badge = document.createElement("span");
  badge.className = `badge badge--${tone}`;
  badge.textContent = name;
  holder.replaceChildren(badge);
}

function show(row, reading) {
  const stamp = row.querySelector("[data-ts]");
  if (stamp.dataset.ts && Date.parse(reading.ts) <= Date.parse(stamp.dataset.ts)) return;
  stamp.dataset.ts = reading.ts;
  const holder = row.querySelector("[data-value]");
  const shown = text(row, reading.value);
  if (holder.textContent !== shown) {
    holder.textContent = shown;
    delete row.dataset.fresh;
    requestAnimationFrame(() => (row.dataset.fresh = ""));
  }
  showQuality(row, reading.quality);
}

/** A value three sampling intervals old (at least 10 s) is no longer current. */
function showAge() {
  for (const list of rows.values()) {
    for (const row of list) {
      const stamp = row.querySelector("[data-ts]");
      if (!stamp.dataset.ts) continue;
      stamp.textContent = ago(stamp.dataset.ts);
      const limit = Math.max(3 * Number(row.dataset.interval), 10);
      row.toggleAttribute("data-stale", Date.now() - Date.parse(stamp.dataset.ts) > limit * 1000);
    }
  }
}

if (rows.size) {
  const live = connect("/ws/telemetry/", (message) => {
    // A page without charts asks for its own points only.
    if ((message.type === "connected" || message.type === "reconnected") && !document.querySelector("[data-chart]")) {
      live.send({ subscribe: [...rows.keys()] });
    }
    if (message.type !== "readings") return;
    for (const reading of message.readings) {
      for (const row of rows.get(reading.point) ?? []) show(row, reading);
    }
    showAge();
  });
  showAge();
  setInterval(showAge, 1000);
}

document.addEventListener("keydown", (event) => {
  const box = document.querySelector("[data-focus-key]");
  if (!box || event.key !== box.dataset.focusKey || event.target.matches("input, textarea, select")) return;
  event.preventDefault();
  box.focus();
});
