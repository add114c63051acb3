// Scores over time: every [data-trend] draws the columns of the JSON script it names.

import uPlot from "/static/vendor/uplot/uPlot.esm.js";

const PARTS = [
  ["completeness", "Complete", "--accent"],
  ["timeliness", "On time", "--low"],
  ["validity", "Valid", "--ok"],
  ["precision", "Precise", "--medium"],
];
const token = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const percent = (value) => (value === null || value === undefined ? "–" : `${(value * 100).toFixed(1)} %`);

function draw(holder) {
  const columns = JSON.parse(document.getElementById(holder.dataset.trend).textContent);
  const height = 190;
  const axis = {
    stroke: () => token("--text-muted"),
    grid: { stroke: () => token("--border"), width: 1 },
    ticks: { show: false },
    font: "11px Inter, sans-serif",
  };
  const known = PARTS.flatMap(([name]) => columns[name]).filter((value) => value !== null);
  const floor = Math.max(0, Math.min(0.9, ...known) - 0.05);
  const plot = new uPlot(
    {
      width: Math.max(holder.clientWidth, 100),
      height,
      padding: [8, 8, 0, 0],
      cursor: { drag: { x: true, y: false } },
      scales: {
        // A young installation has one or two hours: show them at the end of half a day.
        x: { range: () => [Math.min(columns.ts[0] - 1800, columns.ts.at(-1) - 43200), columns.ts.at(-1) + 1800] },
        y: { range: () => [floor, 1.005] },
      },
      axes: [
        { ...axis, space: 70, size: 26 },
        { ...axis, size: 52, gap: 4, values: (_u, splits) => splits.map((value) => `${Math.round(value * 100)} %`) },
      ],
      series: [
        { label: "Hour" },
        ...PARTS.map(([, label, colour]) => ({
          label,
          stroke: () => token(colour),
          width: 1.75,
          points: { show: columns.ts.length < 30, size: 5 },
          value: (_u, value) => percent(value),
        })),
      ],
    },
    [columns.ts, ...PARTS.map(([name]) => columns[name])],
    holder,
  );
  new ResizeObserver(() => plot.setSize({ width: Math.max(holder.clientWidth, 100), height })).observe(holder);
  document.addEventListener("themechange", () => plot.redraw());
}

for (const holder of document.querySelectorAll("[data-trend]")) draw(holder);
