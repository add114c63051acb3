// Live line charts: every <c-chart> frame ([data-chart]) fetches its series and follows it.

import uPlot from "../vendor/uplot/uPlot.esm.js";
import { api } from "./api.js";
import { num } from "./format.js";
import { connect } from "./live.js";

const token = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** Draw one line. `data` is [seconds[], values[]]; returns the uPlot instance. */
export function lineChart(holder, data, { unit = "", height = 180 } = {}) {
  const axis = {
    stroke: token("--text-muted"),
    grid: { stroke: token("--border"), width: 1 },
    ticks: { stroke: token("--border"), width: 1 },
    font: "11px Inter, sans-serif",
  };
  const plot = new uPlot(
    {
      width: Math.max(holder.clientWidth, 100),
      height,
      cursor: { drag: { x: true, y: false } },
      scales: { y: { range: (_u, low, high) => padded(low, high) } },
      axes: [axis, { ...axis, size: 52, label: unit, labelSize: 16, labelFont: "11px Inter, sans-serif" }],
      series: [{}, { stroke: token("--accent"), width: 1.75, points: { show: false }, spanGaps: false }],
    },
    data,
    holder,
  );
  new ResizeObserver(() => plot.setSize({ width: Math.max(holder.clientWidth, 100), height })).observe(holder);
  return plot;
}

function padded(low, high) {
  if (low === null || high === null) return [0, 1];
  const pad = Math.max((high - low) * 0.1, Math.abs(high) * 0.005, 0.1);
  return [low - pad, high + pad];
}

async function follow(frame) {
  const tag = frame.dataset.chart;
  const seconds = Number(frame.dataset.minutes || 30) * 60;
  const plotHolder = frame.querySelector(".chart__plot");
  const last = frame.querySelector("[data-last]");
  let plot = null;
  let times = [];
  let values = [];
  let unit = "";

  const show = () => {
    if (last) last.textContent = values.length ? `${num(values.at(-1))} ${unit}` : "no data yet";
    if (!plot && values.length) plot = lineChart(plotHolder, [times, values], { unit });
    else if (plot) plot.setData([times, values]);
  };
  const load = async () => {
    const start = new Date(Date.now() - seconds * 1000).toISOString();
    const end = new Date(Date.now() + 5000).toISOString();
    try {
      const path = `/api/v1/points/${encodeURIComponent(tag)}/series`;
      const series = await api(`${path}?start=${start}&end=${end}&max_points=600`);
      ({ ts: times, values } = series);
      unit = series.unit === "Cel" ? "°C" : series.unit;
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
      values.push(reading.value);
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
