// The two charts of the energy page.

import uPlot from "/static/vendor/uplot/uPlot.esm.js";

const token = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const HEIGHT = { trend: 220, stack: 330 };
const LABELS = { pue: "PUE", wue_l_kwh: "WUE, L/kWh", cue_kg_kwh: "CUE, kg CO₂/kWh" };
const plots = new Map();

const axis = () => ({
  stroke: () => token("--text-muted"),
  grid: { stroke: () => token("--border"), width: 1 },
  ticks: { show: false },
  font: "11px Inter, sans-serif",
});

const two = (value) => String(value).padStart(2, "0");
function times(_plot, splits, _axis, _space, step) {
  return splits.map((seconds) => {
    const at = new Date(seconds * 1000);
    return step >= 86400 ? `${two(at.getDate())}.${two(at.getMonth() + 1)}.` : `${two(at.getHours())}:${two(at.getMinutes())}`;
  });
}

function replace(holder, options, data) {
  plots.get(holder)?.destroy();
  const plot = new uPlot({ ...options, width: Math.max(holder.clientWidth, 100), height: HEIGHT[holder.id] }, data, holder);
  if (!plots.has(holder)) {
    new ResizeObserver(() => plots.get(holder).setSize({ width: Math.max(holder.clientWidth, 100), height: HEIGHT[holder.id] })).observe(holder);
    document.addEventListener("themechange", () => plots.get(holder).redraw());
  }
  plots.set(holder, plot);
}

const middle = (step) => (new Date(step.start) / 1000 + new Date(step.end) / 1000) / 2;

/** One ratio over time; a step without one leaves a gap. */
export function drawTrend(holder, steps, metric) {
  const values = steps.map((step) => step.ratios[metric].value);
  const known = values.filter((value) => value !== null);
  const low = known.length ? Math.min(...known) : 0;
  const high = known.length ? Math.max(...known) : 1;
  const pad = Math.max((high - low) * 0.15, high * 0.01, 0.005);
  replace(
    holder,
    {
      padding: [8, 8, 0, 0],
      cursor: { drag: { x: true, y: false } },
      scales: { y: { range: () => [Math.max(0, low - pad), high + pad] } },
      axes: [{ ...axis(), values: times, space: 60, size: 26 }, { ...axis(), size: 56, gap: 4 }],
      series: [
        { label: "Time", value: (_u, at) => (at === null ? "–" : new Date(at * 1000).toLocaleString("en-GB")) },
        { label: LABELS[metric], stroke: () => token("--accent"), width: 1.75, points: { show: known.length < 40, size: 5 }, value: (_u, value) => (value === null || value === undefined ? "–" : value.toFixed(3)) },
      ],
    },
    [steps.map(middle), values],
  );
}

/** Colours as in energy.css, read from the swatches so that both themes agree. */
function colour(key) {
  const probe = document.querySelector(`.swatch[data-use="${key}"]`);
  return probe ? getComputedStyle(probe).backgroundColor : token("--neutral");
}

/** Mean power of every end use, stacked: the last series is drawn first, under the others. */
export function drawStack(holder, steps) {
  const uses = steps[0]?.ratios.uses ?? [];
  const at = steps.map(middle);
  const power = uses.map((_use, n) =>
    steps.map((step) => {
      const use = step.ratios.uses[n];
      const hours = (new Date(step.end) - new Date(step.start)) / 3600e3;
      return use.coverage > 0 ? Math.max(use.energy_wh / (hours * use.coverage) / 1000, 0) : null;
    }),
  );
  const sums = [];
  power.forEach((values, n) => sums.push(values.map((value, k) => (power[0][k] === null ? null : (value ?? 0) + (n ? (sums[n - 1][k] ?? 0) : 0)))));
  const order = uses.map((_use, n) => uses.length - 1 - n);
  replace(
    holder,
    {
      padding: [8, 8, 0, 0],
      legend: { show: false },
      cursor: { drag: { x: true, y: false } },
      scales: { y: { range: (_u, _low, high) => [0, (high ?? 1) * 1.05] } },
      axes: [{ ...axis(), values: times, space: 60, size: 26 }, { ...axis(), size: 56, gap: 4, values: (_u, splits) => splits.map((value) => `${value} kW`) }],
      series: [
        {},
        ...order.map((n) => ({ label: uses[n].label, stroke: () => colour(uses[n].key), fill: () => colour(uses[n].key), width: 1, points: { show: steps.length < 3 } })),
      ],
    },
    [at, ...order.map((n) => sums[n])],
  );
}
