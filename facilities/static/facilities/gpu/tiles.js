// Live GPUs in a list or a grid: every [data-gpu] and [data-server] follows its points.

import { num } from "/static/js/format.js";
import { connect } from "/static/js/live.js";
import { inCharge } from "./reasons.js";

const QUANTITIES = ["temp_c", "power_w", "sm_clock_mhz", "util_pct", "throttle_reasons", "xid"];
const SERVER = ["power_w", "fan_pct", "inlet_c"];
const FELL_OFF_BUS = 79;

const put = (root, name, text) => {
  const place = root.querySelector(`[data-q="${name}"]`);
  if (place && place.textContent !== text) place.textContent = text;
};

function limit(root, label, tone) {
  const place = root.querySelector('[data-q="limit"]');
  if (!place || place.textContent === label) return;
  place.textContent = label;
  if (place.classList.contains("badge")) place.className = `badge badge--${tone}`;
  if (root.matches(".tile")) {
    root.dataset.tone = tone;
    root.setAttribute("aria-label", `${root.dataset.gpu}, limit ${label}`);
  }
}

const handlers = new Map();
for (const root of document.querySelectorAll("[data-gpu]")) {
  for (const name of QUANTITIES) {
    handlers.set(`${root.dataset.gpu}.${name}`, (value) => {
      root.removeAttribute("data-old");
      if (name === "throttle_reasons") {
        if (!root.hasAttribute("data-lost")) limit(root, ...inCharge(value));
      } else if (name === "xid") {
        root.toggleAttribute("data-lost", value === FELL_OFF_BUS);
        if (value === FELL_OFF_BUS) limit(root, "lost", "critical");
      } else {
        put(root, name, num(value, 0));
        if (name === "temp_c") put(root, "margin", num(Number(root.dataset.maxOp) - value, 0));
      }
    });
  }
}
for (const root of document.querySelectorAll("[data-server]")) {
  for (const name of SERVER) handlers.set(`${root.dataset.server}.${name}`, (value) => put(root, name, num(value, 0)));
}

/** Have more points followed by this page's one subscription. */
export function follow(tag, handler) {
  handlers.set(tag, handler);
}

const live = connect("/ws/telemetry/", (message) => {
  if (message.type === "connected" || message.type === "reconnected") live.send({ subscribe: [...handlers.keys()].slice(0, 2000) });
  if (message.type !== "readings") return;
  for (const reading of message.readings) handlers.get(reading.point)?.(reading.value);
});
