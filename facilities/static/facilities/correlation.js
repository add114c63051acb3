// Small overlay plots: the point and a match shifted by its lag, both in standard deviations.

import uPlot from "/static/vendor/uplot/uPlot.esm.js";

const token = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const HEIGHT = 110;

/** A dashed line where the alarm was raised. */
function mark(seconds) {
  return (plot) => {
    if (seconds === null) return;
    const x = plot.valToPos(seconds, "x", true);
    if (x < plot.bbox.left || x > plot.bbox.left + plot.bbox.width) return;
    const { ctx } = plot;
    ctx.save();
    ctx.strokeStyle = token("--danger") || token("--text-muted");
    ctx.setLineDash([4, 4]);
    ctx.beginPath();
    ctx.moveTo(x, plot.bbox.top);
    ctx.lineTo(x, plot.bbox.top + plot.bbox.height);
    ctx.stroke();
    ctx.restore();
  };
}

function clock(_plot, splits) {
  return splits.map((seconds) => new Date(seconds * 1000).toISOString().slice(11, 16));
}

function draw(holder, plots) {
  const other = plots.others[Number(holder.dataset.overlay)];
  const axis = { stroke: () => token("--text-muted"), grid: { show: false }, ticks: { show: false }, font: "11px Inter, sans-serif" };
  const width = () => Math.max(holder.clientWidth, 120);
  const plot = new uPlot(
    {
      width: width(),
      height: HEIGHT,
      padding: [6, 6, 0, 6],
      legend: { show: false },
      cursor: { drag: { x: false, y: false }, sync: { key: "correlation" }, points: { size: 5 } },
      axes: [{ ...axis, values: clock, space: 60, size: 22 }, { show: false }],
      series: [
        {},
        { label: plots.ownTag, stroke: () => token("--text-muted"), width: 1.25, points: { show: false } },
        { label: other.tag, stroke: () => token("--accent"), width: 1.75, points: { show: false } },
      ],
      hooks: { draw: [mark(plots.marked)] },
    },
    [plots.ts, plots.own, other.values],
    holder,
  );
  new ResizeObserver(() => plot.setSize({ width: width(), height: HEIGHT })).observe(holder);
  document.addEventListener("themechange", () => plot.redraw());
}

const plots = JSON.parse(document.getElementById("correlation-plots").textContent);
for (const holder of document.querySelectorAll("[data-overlay]")) draw(holder, plots);
