// The rack page: its own points live, and what only the twin knows.

import { api } from "/static/js/api.js";
import { num } from "/static/js/format.js";
import { follow } from "./tiles.js";

const TWIN_EVERY_MS = 15000;
const root = document.querySelector("[data-rack]");
const rack = root.dataset.rack;

for (const place of root.querySelectorAll("[data-rack-live]")) {
  const { rackLive: quantity, digits, factor } = place.dataset;
  follow(`${rack}.${quantity}`, (value) => {
    place.textContent = num(value * Number(factor ?? 1), Number(digits));
    const meter = root.querySelector(`[data-rack-meter="${quantity}"]`);
    if (meter) meter.value = value;
    if (quantity === "inlet_c") moveInlet(value);
  });
}

function moveInlet(value) {
  const mark = root.querySelector("[data-inlet]");
  const { low, high } = root.querySelector(".inlet").dataset;
  const share = (value - Number(low)) / (Number(high) - Number(low));
  mark?.setAttribute("x", String(Math.min(Math.max(share, 0), 1) * 100));
}

async function askTwin() {
  const state = root.querySelector("[data-twin-state]");
  try {
    const twin = await api(`/api/v1/racks/${encodeURIComponent(rack)}/twin`);
    twin.gap_k = twin.true_inlet_c === null ? null : twin.true_inlet_c - twin.shown_inlet_c;
    for (const place of root.querySelectorAll("[data-twin]")) {
      const value = twin[place.dataset.twin];
      place.textContent = value === null ? "–" : num(value * Number(place.dataset.factor ?? 1), Number(place.dataset.digits));
    }
    state.textContent = twin.followed ? "The twin, following the plant." : "The twin, from the newest readings.";
  } catch (error) {
    state.textContent = error.message;
  }
}

askTwin();
setInterval(() => document.hidden || askTwin(), TWIN_EVERY_MS);

document.addEventListener("keydown", (event) => {
  if (event.target.closest("input, textarea, select") || event.altKey || event.ctrlKey || event.metaKey) return;
  const link = document.querySelector(`a[data-key="${event.key}"]`);
  if (link) link.click();
});
