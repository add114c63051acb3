// Snapshots: watermarks as they move, what waiting cost, and taking one by hand.

import uPlot from "/static/vendor/uplot/uPlot.esm.js";
import { api } from "/static/js/api.js";
import { num } from "/static/js/format.js";

const HOURS = 2;
const LATE_S = 10;
const token = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const two = (value) => String(value).padStart(2, "0");

async function showMarks() {
  const table = document.querySelector("[data-marks]");
  if (!table || document.hidden) return;
  let marks;
  try {
    marks = await api("/api/v1/snapshots/watermarks");
  } catch {
    return; // the connection's state is shown in the frame already
  }
  for (const mark of marks) {
    const row = [...table.querySelectorAll("[data-source]")].find((each) => each.dataset.source === mark.source);
    if (!row) continue;
    row.querySelector("[data-behind]").textContent = mark.behind_s === null ? "–" : `${num(mark.behind_s, 1)} s`;
    row.querySelector("[data-holder]").textContent = mark.holder;
    row.toggleAttribute("data-late", mark.behind_s > LATE_S);
  }
}

function draw(holder, barriers) {
  const rows = [...barriers].reverse();
  const clock = (_plot, splits) => splits.map((s) => `${two(new Date(s * 1000).getHours())}:${two(new Date(s * 1000).getMinutes())}`);
  const axis = { stroke: () => token("--text-muted"), grid: { stroke: () => token("--border"), width: 1 }, ticks: { show: false }, font: "11px Inter, sans-serif" };
  const bars = (colour) => ({ stroke: () => token(colour), fill: () => token(colour), width: 0, points: { show: false }, paths: uPlot.paths.bars({ size: [0.7, 8], align: 0 }) });
  const size = () => ({ width: Math.max(holder.clientWidth, 200), height: 200 });
  const now = Date.now() / 1000;
  const plot = new uPlot(
    {
      ...size(),
      padding: [8, 8, 0, 0],
      cursor: { drag: { x: false, y: false } },
      scales: { x: { range: () => [now - HOURS * 3600, now] }, y: { range: (_u, _low, high) => [0, Math.max(high ?? 0, 1) * 1.1] } },
      axes: [
        { ...axis, values: clock, space: 60, size: 26 },
        { ...axis, size: 46, gap: 4, values: (_u, splits) => splits.map((value) => `${value} s`) },
      ],
      series: [{}, bars("--accent"), bars("--critical")],
      hooks: {
        setCursor: [
          (u) => {
            const row = rows[u.cursor.idx];
            if (!row) return;
            const who = row.slowest ? `, ${row.slowest} held up the others for ${num(row.held_s, 1)} s` : ", nobody had to wait";
            document.querySelector("[data-plot-note]").textContent = `${new Date(row.at).toLocaleTimeString("en-GB")}: ${num(row.waited_s, 2)} s${row.complete ? "" : ", time out"}${who}`;
          },
        ],
      },
    },
    [
      rows.map((row) => Date.parse(row.at) / 1000),
      rows.map((row) => (row.complete ? row.waited_s : null)),
      rows.map((row) => (row.complete ? null : row.waited_s)),
    ],
    holder,
  );
  new ResizeObserver(() => plot.setSize(size())).observe(holder);
  document.addEventListener("themechange", () => plot.redraw());
}

async function showBarriers() {
  const holder = document.querySelector("[data-plot]");
  const start = new Date(Date.now() - HOURS * 3600000).toISOString();
  try {
    const page = await api(`/api/v1/snapshots/barriers?asked=probe&page_size=1000&start=${start}`);
    if (page.results.length) draw(holder, page.results);
    else holder.textContent = "No barrier in the last two hours.";
  } catch (error) {
    holder.textContent = error.message;
  }
}

function startTaking() {
  const form = document.querySelector("[data-take]");
  const out = form.querySelector("[data-result]");
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = form.querySelector("button");
    button.disabled = true;
    out.textContent = "Waiting for the sources…";
    try {
      const taken = await api(`/api/v1/snapshots/current?mode=${new FormData(form).get("mode")}`);
      const bad = taken.values.filter((value) => value.quality >= 4).length;
      const stale = taken.values.filter((value) => value.stale).length;
      const state = taken.mode === "latest" ? "Latest" : taken.complete ? "Complete" : `Not complete, ${taken.missing.join(", ")} missing,`;
      const waited = taken.mode === "latest" ? "" : `, waited ${num(taken.waited_s, 2)} s${taken.slowest ? ` for ${taken.slowest}` : ""}`;
      out.textContent = `${state} at ${new Date(taken.at).toLocaleTimeString("en-GB")}: ${taken.values.length} values${waited}; ${bad} bad, ${stale} stale.`;
    } catch (error) {
      out.textContent = error.message;
    }
    button.disabled = false;
  });
}

showBarriers();
startTaking();
setInterval(showMarks, 2000);
