// Line plots with limit lines: measured over time, or the simulated loop.

import uPlot from "/static/vendor/uplot/uPlot.esm.js";

const token = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const two = (value) => String(value).padStart(2, "0");

const clock = (_u, splits) =>
  splits.map((seconds) => {
    const at = new Date(seconds * 1000);
    return `${two(at.getHours())}:${two(at.getMinutes())}`;
  });
const elapsed = (_u, splits) => splits.map((seconds) => `${seconds} s`);

/** Dashed lines at the limits, each with its name at the left. */
function drawLimits(plot, limits) {
  const { ctx, bbox } = plot;
  const ratio = devicePixelRatio;
  ctx.save();
  ctx.font = `${10 * ratio}px Inter, sans-serif`;
  ctx.textBaseline = "bottom";
  let count = 0;
  for (const { value, label, tone } of limits()) {
    const y = plot.valToPos(value, "y", true);
    if (!(y >= bbox.top && y <= bbox.top + bbox.height)) continue;
    ctx.strokeStyle = ctx.fillStyle = token(tone);
    ctx.lineWidth = ratio;
    ctx.setLineDash([5 * ratio, 4 * ratio]);
    ctx.beginPath();
    ctx.moveTo(bbox.left, y);
    ctx.lineTo(bbox.left + bbox.width, y);
    ctx.stroke();
    ctx.setLineDash([]);
    // names of neighbouring lines stand at opposite ends
    const right = count++ % 2 === 1;
    ctx.textAlign = right ? "right" : "left";
    ctx.fillText(label, right ? bbox.left + bbox.width - 6 * ratio : bbox.left + 6 * ratio, y - 2 * ratio);
  }
  ctx.restore();
}

/**
 * One plot. `lines` are [token, width] of each series after the times; `limits()` gives
 * [{value, label, tone}]; `span` > 0 shows the seconds up to now. The axis takes in the data and
 * the limits near it.
 */
export function limitPlot(holder, data, { lines = [["--accent", 1.75]], limits = () => [], height = 150, span = 0 } = {}) {
  const axis = { stroke: () => token("--text-muted"), grid: { stroke: () => token("--border"), width: 1 }, ticks: { show: false }, font: "11px Inter, sans-serif" };
  const range = (_u, low, high) => {
    if (low === null || high === null) return [0, 1];
    const near = limits().map(({ value }) => value).filter((value) => value >= low - Math.max(high - low, Math.abs(high) * 0.5) && value <= high + Math.max(high - low, Math.abs(high) * 0.5));
    const bottom = Math.min(low, ...near);
    const top = Math.max(high, ...near);
    const pad = Math.max((top - bottom) * 0.12, 0.5);
    return [bottom - pad, top + pad];
  };
  const now = () => Date.now() / 1000;
  const plot = new uPlot(
    {
      width: Math.max(holder.clientWidth, 100),
      height,
      padding: [8, 8, 0, 0],
      cursor: { drag: { x: !span, y: false }, points: { size: 6 } },
      scales: { x: { time: false, ...(span ? { range: () => [now() - span, now()] } : {}) }, y: { range } },
      axes: [
        { ...axis, space: 60, size: 26, values: span ? clock : elapsed, ...(span ? { incrs: [60, 300, 600, 900, 1800] } : {}) },
        { ...axis, size: 50, gap: 4 },
      ],
      series: [{}, ...lines.map(([colour, width]) => ({ stroke: () => token(colour), width, points: { show: false } }))],
      hooks: { draw: [(drawn) => drawLimits(drawn, limits)] },
    },
    data,
    holder,
  );
  new ResizeObserver(() => plot.setSize({ width: Math.max(holder.clientWidth, 100), height })).observe(holder);
  document.addEventListener("themechange", () => plot.redraw());
  return plot;
}
