// Evaluation: measures over time, one chart per set, and the progress of a run under way.

import uPlot from "/static/vendor/uplot/uPlot.esm.js";
import { api } from "/static/js/api.js";

const COLOURS = ["--accent", "--ok", "--low", "--medium", "--high", "--neutral"];
const HEIGHT = 190;
const EVERY_MS = 1500;
const token = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const two = (value) => String(value).padStart(2, "0");

/** A run is a point: runs are drawn at equal distances, labelled with their day, or their time (UTC) on one day. */
function draw(figure, series) {
  const holder = figure.querySelector(".chart__plot");
  const values = figure.querySelectorAll("[data-legend] b");
  const runs = series.times.map((_time, index) => index + 1);
  const axis = { stroke: () => token("--text-muted"), grid: { stroke: () => token("--border"), width: 1 }, ticks: { show: false }, font: "11px Inter, sans-serif" };
  const days = series.times.map((time) => new Date(time * 1000).toISOString().slice(0, 10));
  const oneDay = new Set(days).size === 1;
  const day = (_plot, splits) =>
    splits.map((at) => {
      if (days[at - 1] === undefined) return "";
      const date = new Date(series.times[at - 1] * 1000);
      if (oneDay) return `${two(date.getUTCHours())}:${two(date.getUTCMinutes())}`;
      return `${two(date.getUTCDate())}.${two(date.getUTCMonth() + 1)}.`;
    });
  const all = series.lines.flatMap((line) => line.values).filter((value) => value !== null);
  const low = Math.max(0, Math.floor((Math.min(...all) - 0.03) * 20) / 20);
  const size = () => ({ width: Math.max(holder.clientWidth, 100), height: HEIGHT });
  const legend = (plot) => {
    const at = plot.cursor.idx ?? series.times.length - 1;
    series.lines.forEach((line, index) => {
      const value = line.values[at];
      if (values[index]) values[index].textContent = value === null || value === undefined ? "–" : value.toFixed(3);
    });
  };
  const plot = new uPlot(
    {
      ...size(),
      padding: [8, 12, 0, 0],
      cursor: { drag: { x: false, y: false }, points: { size: 7 } },
      scales: { x: { time: false, range: [0.5, Math.max(runs.length, 2) + 0.5] }, y: { range: [low, 1.005] } },
      axes: [
        { ...axis, values: day, space: 50, size: 26, incrs: [1, 2, 5, 10, 20, 50] },
        { ...axis, size: 44, gap: 4, values: (_plot, splits) => splits.map((value) => value.toFixed(2)) },
      ],
      series: [
        {},
        ...series.lines.map((_line, index) => ({
          stroke: () => token(COLOURS[index % COLOURS.length]),
          width: index ? 1.4 : 2.2,
          points: { show: true, size: index ? 5 : 7, fill: () => token(COLOURS[index % COLOURS.length]) },
          spanGaps: true,
        })),
      ],
      hooks: { setCursor: [legend] },
    },
    [runs, ...series.lines.map((line) => line.values)],
    holder,
  );
  new ResizeObserver(() => plot.setSize(size())).observe(holder);
  document.addEventListener("themechange", () => plot.redraw());
}

const data = document.getElementById("evaluation-series");
if (data) {
  const sets = JSON.parse(data.textContent);
  for (const figure of document.querySelectorAll("[data-series]")) {
    const series = sets[Number(figure.dataset.series)];
    if (series?.lines.length) draw(figure, series);
  }
}

const progress = document.querySelector("[data-progress]");
if (progress) {
  const bar = progress.querySelector("progress");
  const text = progress.querySelector("[data-progress-text]");
  const look = async () => {
    try {
      const run = await api(`/api/v1/knowledge/evaluations/${progress.dataset.progress}`);
      if (run.state === "done" || run.state === "failed") {
        location.reload();
        return;
      }
      bar.max = run.total || 1;
      bar.value = run.done;
      text.textContent = run.state === "queued" ? "Waiting for a worker…" : `${run.done} of ${run.total} questions`;
    } catch (error) {
      text.textContent = error.message;
    }
    setTimeout(look, EVERY_MS);
  };
  setTimeout(look, EVERY_MS);
}

const compare = document.querySelector("[data-compare]");
compare?.addEventListener("submit", (event) => {
  const chosen = (name) => compare.querySelector(`input[name=${name}]:checked`)?.value;
  if (chosen("before") && chosen("after") && chosen("before") !== chosen("after")) return;
  event.preventDefault();
  import("/static/js/toast.js").then(({ toast }) => toast("Choose one run as before and another as after.", "high"));
});
