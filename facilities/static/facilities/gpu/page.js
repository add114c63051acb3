// The page of one GPU: the control loop live, its last half hour, and what would help.

import { api } from "/static/js/api.js";
import { num } from "/static/js/format.js";
import { connect } from "/static/js/live.js";
import { startControl } from "./control.js";
import { limitPlot } from "./plots.js";
import { inCharge } from "./reasons.js";

const SPAN_S = 1800;
const PLOTTED = ["temp_c", "power_w", "sm_clock_mhz"];
const FOLLOWED = [...PLOTTED, "util_pct", "throttle_reasons", "power_limit_w", "xid"];
const STALE_S = 30;

const root = document.querySelector("[data-gpu-page]");
const tag = root.dataset.gpuPage;
const device = JSON.parse(document.getElementById("gpu-device").textContent);
const loop = root.querySelector("[data-loop]");
const now = { limit_w: Number(root.dataset.limit) };
let newest = root.dataset.at ? Date.parse(root.dataset.at) : 0;

for (const place of root.querySelectorAll("[data-live]")) {
  const value = Number(place.textContent.replaceAll(",", ""));
  if (place.textContent.trim() && Number.isFinite(value)) now[place.dataset.live] = value;
}

/** Voltage that the model asks for at a clock: linear between the device's points. */
function volts(clock) {
  const points = device.volts;
  const after = points.findIndex(([at]) => at >= clock);
  if (after === -1) return points.at(-1)[1];
  if (after === 0) return points[0][1];
  const [[low, from], [high, to]] = [points[after - 1], points[after]];
  return from + ((to - from) * (clock - low)) / (high - low);
}

/** Which blocks of the diagram are lit by a limit. */
const LIT = { hw_thermal: "thermal", hw_power_brake: "thermal", hw_slowdown: "thermal", sw_thermal: "thermal", power_cap: "power_cap", sync_boost: "gate", clocks_setting: "gate" };
const VERDICTS = {
  none: "No limit holds the clock.",
  gpu_idle: "The GPU is idle; its clock rests.",
  power_cap: "The power limit is in charge: the clock steps down until the averaged power is at the limit.",
  sw_thermal: "The software thermal limit is in charge: the clock steps down to hold the maximum operating temperature.",
  hw_thermal: "The hardware thermal slowdown is in charge: the clock is cut to half or less at once.",
  hw_power_brake: "The power brake is in charge: the server asks for half the clock or less.",
  hw_slowdown: "A hardware slowdown is in charge: the clock is cut to half or less.",
  sync_boost: "Held to the lowest clock of its sync boost group.",
  lost: "The GPU fell off the bus.",
};

function show() {
  now.margin = device.max_op_c - now.temp_c;
  now.headroom_w = now.limit_w - now.power_w;
  now.speed = (now.sm_clock_mhz / device.max_clock_mhz) * 100;
  now.volts = Number.isFinite(now.sm_clock_mhz) ? volts(now.sm_clock_mhz) : NaN;
  for (const place of root.querySelectorAll("[data-live]")) {
    const text = num(now[place.dataset.live], Number(place.dataset.digits));
    if (place.textContent !== text) place.textContent = text;
  }
  if (now.throttle_reasons === undefined) return;
  const [label, tone] = now.xid === 79 ? ["lost", "critical"] : inCharge(now.throttle_reasons);
  loop.dataset.charge = label;
  loop.dataset.tone = tone;
  root.querySelector("[data-live-charge]").textContent = label;
  root.querySelector("[data-live-hex]").textContent = `0x${now.throttle_reasons.toString(16)}`;
  const badge = root.querySelector("[data-live-badge]");
  badge.textContent = label;
  badge.className = `badge badge--${tone}`;
  root.querySelector("[data-verdict]").textContent = VERDICTS[label] ?? "";
  for (const block of loop.querySelectorAll("[data-block]")) {
    block.toggleAttribute("data-lit", block.dataset.block === LIT[label] || block.dataset.block === label);
  }
  for (const wire of loop.querySelectorAll("[data-wire]")) {
    wire.toggleAttribute("data-lit", (LIT[label] ?? "").startsWith(wire.dataset.wire));
  }
  for (const row of root.querySelectorAll("[data-bit]")) row.toggleAttribute("data-on", (now.throttle_reasons & Number(row.dataset.bit)) !== 0);
}

const LIMITS = {
  temp_c: () => [
    { value: device.max_op_c, label: `software ${device.max_op_c} °C`, tone: "--high" },
    { value: device.slowdown_c, label: `hardware ${device.slowdown_c} °C`, tone: "--critical" },
  ],
  power_w: () => [{ value: now.limit_w, label: `limit ${num(now.limit_w, 0)} W`, tone: "--medium" }],
  sm_clock_mhz: () => [{ value: device.max_clock_mhz, label: `top ${device.max_clock_mhz} MHz`, tone: "--text-muted" }],
};
const plots = new Map();

function draw(name) {
  const held = plots.get(name);
  const last = root.querySelector(`[data-last="${name}"]`);
  last.textContent = held.values.length ? num(held.values.at(-1), 0) : "no readings";
  if (held.plot) held.plot.setData([held.times, held.values]);
  else if (held.values.length) {
    held.plot = limitPlot(root.querySelector(`[data-plot="${name}"]`), [held.times, held.values], { limits: LIMITS[name], span: SPAN_S });
  }
}

/** A gap longer than `STALE_S` breaks the line instead of being drawn over. */
function broken(series) {
  const times = [];
  const values = [];
  (series?.ts ?? []).forEach((at, place) => {
    if (times.length && at - times.at(-1) > STALE_S) {
      times.push(times.at(-1) + 1);
      values.push(null);
    }
    times.push(at);
    values.push(series.values[place]);
  });
  return { times, values };
}

async function load() {
  const end = Date.now() / 1000 + 5;
  const points = PLOTTED.map((name) => `${tag}.${name}`).join(",");
  try {
    const wall = await api(`/api/v1/series?points=${encodeURIComponent(points)}&start=${end - SPAN_S}&end=${end}&max_points=600`);
    for (const name of PLOTTED) {
      const series = wall.series.find((one) => one.tag === `${tag}.${name}`);
      plots.set(name, { ...(plots.get(name) ?? {}), ...broken(series) });
      draw(name);
    }
  } catch (error) {
    for (const name of PLOTTED) root.querySelector(`[data-last="${name}"]`).textContent = error.message;
  }
}

function take(reading) {
  const name = reading.point.slice(tag.length + 1);
  if (name === "power_limit_w") now.limit_w = Math.min(reading.value, device.max_w);
  else now[name] = reading.value;
  newest = Math.max(newest, Date.parse(reading.ts));
  const held = plots.get(name);
  const at = Date.parse(reading.ts) / 1000;
  if (!held || (held.times.length && at <= held.times.at(-1))) return;
  held.times.push(at);
  held.values.push(reading.value);
  const keep = held.times.findIndex((time) => time >= at - SPAN_S);
  if (keep > 60) {
    held.times = held.times.slice(keep);
    held.values = held.values.slice(keep);
  }
  draw(name);
}

const live = connect("/ws/telemetry/", (message) => {
  if (message.type === "connected" || message.type === "reconnected") live.send({ subscribe: FOLLOWED.map((name) => `${tag}.${name}`) });
  if (message.type === "reconnected") load();
  if (message.type !== "readings") return;
  message.readings.forEach(take);
  show();
});

/** Old numbers are said to be old. */
function showAge() {
  const seconds = (Date.now() - newest) / 1000;
  const old = !newest || seconds > STALE_S;
  loop.toggleAttribute("data-old", old);
  root.querySelector("[data-live-age]").textContent = !newest ? "nothing read yet" : old ? `${num(seconds, 0)} s old` : "DCGM 150, 155, 203";
}

show();
showAge();
setInterval(showAge, 1000);
load();
startControl(root, tag, device);
