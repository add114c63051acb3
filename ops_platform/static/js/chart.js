// Live line charts: every <c-chart> frame ([data-chart]) fetches its series and follows it.

import uPlot from "../vendor/uplot/uPlot.esm.js";
import { api } from "./api.js";
import { num } from "./format.js";
import { connect } from "./live.js";

const token = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

const two = (value) => String(value).padStart(2, "0");

/** Wall-clock labels, as fine as the distance between them asks for. */
function clockLabels(_plot, splits, _axis, _space, step) {
  return splits.map((seconds) => {
    const at = new Date(seconds * 1000);
    if (step >= 86400) return `${two(at.getDate())}.${two(at.getMonth() + 1)}.`;
    const minutes = `${two(at.getHours())}:${two(at.getMinutes())}`;
    return step < 60 ? `${minutes}:${two(at.getSeconds())}` : minutes;
  });
}

/**
 * Draw one line. `data` is [seconds[], values[]]; `span` is how many seconds up to now are shown
 * (all of the data without it); the axis starts at `floor` if given. Returns the uPlot instance.
 */
export function lineChart(holder, data, { height = 180, span = 0, floor = null } = {}) {
  const axis = {
    stroke: () => token("--text-muted"),
    grid: { stroke: () => token("--border"), width: 1 },
    ticks: { show: false },
    font: "11px Inter, sans-serif",
  };
  const window = () => [Date.now() / 1000 - span, Date.now() / 1000];
  const plot = new uPlot(
    {
      width: Math.max(holder.clientWidth, 100),
      height,
      padding: [8, 8, 0, 0],
      cursor: { drag: { x: true, y: false }, points: { size: 6 } },
      scales: { x: span ? { range: window } : {}, y: { range: (_u, low, high) => padded(low, high, floor) } },
      axes: [
        { ...axis, values: clockLabels, space: 60, size: 26 },
        { ...axis, size: 46, gap: 4 },
      ],
      series: [{}, { stroke: () => token("--accent"), width: 1.75, points: { show: false }, spanGaps: false }],
    },
    data,
    holder,
  );
  new ResizeObserver(() => plot.setSize({ width: Math.max(holder.clientWidth, 100), height })).observe(holder);
  document.addEventListener("themechange", () => plot.redraw());
  return plot;
}

/** Units as people read them: UCUM's Cel is °C, thousands of watts are kW. */
function readable(unit, values) {
  if (unit === "W" && values.some((value) => Math.abs(value) >= 10000)) return { unit: "kW", factor: 0.001, digits: 1 };
  if (unit === "Cel") return { unit: "°C", factor: 1, digits: 1 };
  return unit === "1" ? { unit: "", factor: 1, digits: 3 } : { unit, factor: 1, digits: 1 };
}

function padded(low, high, floor) {
  if (low === null || high === null) return [0, 1];
  const pad = Math.max((high - low) * 0.1, Math.abs(high) * 0.02, 0.05);
  return [floor ?? low - pad, high + pad];
}

async function follow(frame) {
  const tag = frame.dataset.chart;
  const seconds = Number(frame.dataset.minutes || 30) * 60;
  const plotHolder = frame.querySelector(".chart__plot");
  const last = frame.querySelector("[data-last]");
  let plot = null;
  let times = [];
  let values = [];
  let shown = { unit: "", factor: 1, digits: 1 };

  const show = () => {
    if (last) last.textContent = values.length ? `${num(values.at(-1), shown.digits)} ${shown.unit}` : "no data yet";
    if (!plot && values.length) plot = lineChart(plotHolder, [times, values], { height: Number(frame.dataset.height), span: seconds });
    else if (plot) plot.setData([times, values]);
  };
  const load = async () => {
    const start = new Date(Date.now() - seconds * 1000).toISOString();
    const end = new Date(Date.now() + 5000).toISOString();
    try {
      const path = `/api/v1/points/${encodeURIComponent(tag)}/series`;
      const series = await api(`${path}?start=${start}&end=${end}&max_points=600`);
      shown = readable(series.unit, series.values);
      times = series.ts;
      values = series.values.map((value) => value * shown.factor);
      show();
    } catch (error) {
      if (last) last.textContent = error.message;
    }
  };
  await load();
  connect("/ws/telemetry/", (message) => {
    if (message.type === "reconnected") load();
    if (message.type !== "readings") return;
    let changed = false;
    for (const reading of message.readings) {
      const at = new Date(reading.ts) / 1000;
      if (reading.point !== tag || (times.length && at <= times.at(-1))) continue;
      times.push(at);
      values.push(reading.value * shown.factor);
      changed = true;
    }
    if (!changed) return;
    const oldest = Date.now() / 1000 - seconds;
    const keep = times.findIndex((at) => at >= oldest);
    if (keep > 0) {
      times = times.slice(keep);
      values = values.slice(keep);
    }
    show();
  });
}

/** Start every chart frame below `root`; safe to call for content that was added later. */
export function startCharts(root = document) {
  for (const frame of root.querySelectorAll("[data-chart]:not([data-started])")) {
    frame.dataset.started = "";
    follow(frame);
  }
}

startCharts();
