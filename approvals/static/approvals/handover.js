// The shift hand-over: write it, take it over, print it, and the load of the queue as a chart.

import uPlot from "/static/vendor/uplot/uPlot.esm.js";
import { api } from "/static/js/api.js";

const said = document.querySelector("[data-said]");
const token = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

async function send(button, path, body) {
  button.disabled = true;
  if (said) said.hidden = true;
  try {
    return await api(path, { method: "POST", body });
  } catch (error) {
    said.textContent = error.message;
    said.hidden = false;
    button.disabled = false;
    return null;
  }
}

document.querySelector("[data-print]")?.addEventListener("click", () => window.print());

document.querySelector("[data-hand-over]")?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.currentTarget;
  const note = await send(form.querySelector("button"), "/api/v1/handover/", { text: form.elements.text.value });
  if (note) window.location.assign(`/approvals/handover/${note.id}/`);
});

document.querySelector("[data-take]")?.addEventListener("click", async (event) => {
  const button = event.currentTarget;
  const note = await send(button, `/api/v1/handover/${button.dataset.take}/take`, {});
  if (note) window.location.reload();
});

const clock = (seconds) => new Date(seconds * 1000).toISOString().slice(11, 16);

for (const holder of document.querySelectorAll("[data-load]")) {
  const hours = JSON.parse(document.getElementById(holder.dataset.load).textContent);
  if (hours.length === 1) {
    // One hour alone has no scale.
    hours.unshift({ at: new Date(Date.parse(hours[0].at) - 3600e3).toISOString(), arrived: null, open: null });
  }
  const axis = { stroke: () => token("--text-muted"), grid: { stroke: () => token("--border"), width: 1 }, ticks: { show: false }, font: "11px Inter, sans-serif" };
  const height = 180;
  const plot = new uPlot(
    {
      width: Math.max(holder.clientWidth, 100),
      height,
      scales: { x: { range: (_plot, low, high) => [low, high + 3600] }, y: { range: (_plot, _low, high) => [0, Math.max((high ?? 0) * 1.1, 4)] } },
      axes: [{ ...axis, size: 26, space: 50, values: (_plot, splits) => splits.map(clock) }, { ...axis, size: 34, incrs: [1, 2, 5, 10, 20, 50] }],
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
      legend: { live: false },
      series: [
        {},
        { label: "arrived in the hour", paths: uPlot.paths.bars({ size: [0.7, 40], align: 1 }), stroke: () => token("--accent"), fill: () => token("--accent-soft"), points: { show: false } },
        { label: "open at its end (UTC)", stroke: () => token("--text-muted"), dash: [4, 3], points: { show: false } },
      ],
    },
    [hours.map((hour) => Date.parse(hour.at) / 1000), hours.map((hour) => hour.arrived), hours.map((hour) => hour.open)],
    holder,
  );
  new ResizeObserver(() => plot.setSize({ width: Math.max(holder.clientWidth, 100), height })).observe(holder);
  document.addEventListener("themechange", () => plot.redraw());
}
