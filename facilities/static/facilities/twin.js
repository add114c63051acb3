// Twin accuracy: what was measured, and what the twin had predicted for the same moment.

import uPlot from "/static/vendor/uplot/uPlot.esm.js";
import { api } from "/static/js/api.js";
import { num } from "/static/js/format.js";

const HOURS = 2;
const EVERY_MS = 30000;
const NEAR_S = 15;
const token = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const two = (value) => String(value).padStart(2, "0");
const units = { Cel: "°C", 1: "" };

async function series(tag) {
  const start = new Date(Date.now() - HOURS * 3600000).toISOString();
  return api(`/api/v1/points/${encodeURIComponent(tag)}/series?start=${start}&max_points=720`);
}

/** Measured values at the residuals' times, and the prediction: measured minus residual. */
function paired(measured, residual) {
  const ts = [];
  const own = [];
  const predicted = [];
  let at = 0;
  residual.ts.forEach((moment, index) => {
    while (at + 1 < measured.ts.length && Math.abs(measured.ts[at + 1] - moment) <= Math.abs(measured.ts[at] - moment)) at += 1;
    if (!measured.ts.length || Math.abs(measured.ts[at] - moment) > NEAR_S || residual.values[index] === null) return;
    ts.push(moment);
    own.push(measured.values[at]);
    predicted.push(measured.values[at] === null ? null : measured.values[at] - residual.values[index]);
  });
  return [ts, own, predicted];
}

function draw(holder, data) {
  const axis = { stroke: () => token("--text-muted"), grid: { stroke: () => token("--border"), width: 1 }, ticks: { show: false }, font: "11px Inter, sans-serif" };
  const clock = (_plot, splits) => splits.map((s) => `${two(new Date(s * 1000).getHours())}:${two(new Date(s * 1000).getMinutes())}`);
  const size = () => ({ width: Math.max(holder.clientWidth, 100), height: 180 });
  const line = (colour, extra) => ({ stroke: () => token(colour), width: 1.75, points: { show: false }, ...extra });
  const plot = new uPlot(
    {
      ...size(),
      padding: [8, 8, 0, 0],
      cursor: { drag: { x: true, y: false } },
      axes: [{ ...axis, values: clock, space: 60, size: 26 }, { ...axis, size: 56, gap: 4 }],
      series: [{}, line("--accent"), line("--medium", { dash: [6, 4] })],
    },
    data,
    holder,
  );
  new ResizeObserver(() => plot.setSize(size())).observe(holder);
  document.addEventListener("themechange", () => plot.redraw());
  return plot;
}

async function follow(figure) {
  const tag = figure.dataset.twin;
  const holder = figure.querySelector(".chart__plot");
  const last = figure.querySelector("[data-last]");
  let plot = null;
  const load = async () => {
    if (document.hidden) return;
    try {
      const [measured, residual] = await Promise.all([series(tag), series(`${tag}_residual`)]);
      const data = paired(measured, residual);
      if (!data[0].length) {
        last.textContent = "no residual yet";
        return;
      }
      const unit = units[measured.unit] ?? measured.unit;
      last.textContent = `${num(data[1].at(-1), 1)} ${unit}, predicted ${num(data[2].at(-1), 1)}`;
      if (plot) plot.setData(data);
      else plot = draw(holder, data);
    } catch (error) {
      last.textContent = error.status === 404 ? "no residual yet" : error.message;
    }
  };
  await load();
  setInterval(load, EVERY_MS);
}

for (const figure of document.querySelectorAll("[data-twin]")) follow(figure);
