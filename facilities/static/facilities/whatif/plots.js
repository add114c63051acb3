// Two plots of one series, side by side: doing nothing and with the changes, on one scale.

import uPlot from "/static/vendor/uplot/uPlot.esm.js";
import { num } from "/static/js/format.js";

const token = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const TONES = { critical: "--critical", high: "--high", medium: "--medium", low: "--low" };
const HEIGHT = 190;

/** Units as people read them. */
export function readable(series) {
  const all = series.options.flatMap((line) => line.p50).filter((value) => value !== null);
  if (series.unit === "W" && all.some((value) => Math.abs(value) >= 10000)) return { unit: "kW", factor: 0.001, digits: 1 };
  if (series.unit === "Cel") return { unit: "°C", factor: 1, digits: 1 };
  if (series.unit === "1") return { unit: "", factor: 1, digits: 3 };
  const small = all.length && Math.max(...all.map(Math.abs)) < 10;
  return { unit: series.unit, factor: 1, digits: small ? 2 : 1 };
}

/** Limits near enough to what is shown to be worth the height they take. */
function span(series, factor) {
  const values = series.options.flatMap((line) => [...line.p10, ...line.p90]).filter((value) => value !== null).map((value) => value * factor);
  if (!values.length) return { low: 0, high: 1, levels: [] };
  let [low, high] = [Math.min(...values), Math.max(...values)];
  const reach = Math.max((high - low) * 0.8, Math.abs(high) * 0.12, 0.5);
  const levels = series.levels
    .map((level) => ({ ...level, at: level.level * factor }))
    .filter((level) => level.at > low - reach && level.at < high + reach);
  for (const level of levels) [low, high] = [Math.min(low, level.at), Math.max(high, level.at)];
  const pad = Math.max((high - low) * 0.08, Math.abs(high) * 0.01, 0.05);
  return { low: low - pad, high: high + pad, levels };
}

function drawLevels(levels) {
  return (plot) => {
    const { ctx, bbox } = plot;
    ctx.save();
    ctx.setLineDash([6, 4]);
    ctx.font = `${10 * devicePixelRatio}px Inter, sans-serif`;
    for (const level of levels) {
      const y = plot.valToPos(level.at, "y", true);
      ctx.strokeStyle = ctx.fillStyle = token(TONES[level.severity] ?? "--neutral");
      ctx.beginPath();
      ctx.moveTo(bbox.left, y);
      ctx.lineTo(bbox.left + bbox.width, y);
      ctx.stroke();
      ctx.fillText(level.rule, bbox.left + 4 * devicePixelRatio, y - 3 * devicePixelRatio);
    }
    ctx.restore();
  };
}

function clock(_plot, splits) {
  const long = splits.at(-1) > 5400;
  return splits.map((seconds) => (long ? `${num(seconds / 3600, seconds % 3600 ? 1 : 0)} h` : `${num(seconds / 60, 0)} min`));
}

function ticks(_plot, _axis, from, to) {
  const step = [60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 21600].find((each) => (to - from) / each <= 6) ?? 43200;
  return Array.from({ length: Math.floor(to / step) + 1 }, (_, n) => n * step);
}

function one(holder, times, line, shown, scale, accent, key) {
  const axis = { stroke: () => token("--text-muted"), grid: { stroke: () => token("--border"), width: 1 }, ticks: { show: false }, font: "11px Inter, sans-serif" };
  const by = (values) => values.map((value) => (value === null ? null : value * shown.factor));
  const edge = { stroke: () => token(accent), width: 0, points: { show: false } };
  const size = () => ({ width: Math.max(holder.clientWidth, 160), height: HEIGHT });
  const read = holder.parentElement.querySelector("[data-read]");
  const tell = (at) => {
    if (at === null || at === undefined || line.p50[at] === null) at = times.length - 1;
    const [low, middle, high] = [line.p10, line.p50, line.p90].map((each) => num(each[at] === null ? NaN : each[at] * shown.factor, shown.digits));
    read.textContent = `${middle} ${shown.unit} [${low} – ${high}]`;
  };
  const plot = new uPlot(
    {
      ...size(),
      padding: [8, 8, 0, 0],
      legend: { show: false },
      cursor: { drag: { x: false, y: false }, sync: { key }, points: { size: 6 } },
      scales: { x: { time: false }, y: { range: () => [scale.low, scale.high] } },
      axes: [
        { ...axis, values: clock, splits: ticks, size: 26 },
        { ...axis, size: 46, gap: 4 },
      ],
      bands: [{ series: [2, 1], fill: () => `${token(accent)}33` }],
      series: [{}, edge, edge, { stroke: () => token(accent), width: 1.9, points: { show: false } }],
      hooks: { drawClear: [drawLevels(scale.levels)], setCursor: [(each) => tell(each.cursor.idx)] },
    },
    [times, by(line.p10), by(line.p90), by(line.p50)],
    holder,
  );
  tell(null);
  new ResizeObserver(() => plot.setSize(size())).observe(holder);
  document.addEventListener("themechange", () => plot.redraw());
}

/** Draw a series into `host`: a heading and two plots that share scale and cursor. */
export function pair(host, answer, series) {
  const shown = readable(series);
  const scale = span(series, shown.factor);
  const frame = document.createElement("section");
  frame.className = "pair";
  const head = document.createElement("h3");
  head.textContent = series.title;
  const name = document.createElement("span");
  name.className = "muted mono tiny";
  name.textContent = series.name;
  head.append(" ", name);
  const both = document.createElement("div");
  both.className = "pair__plots";
  frame.append(head, both);
  host.append(frame);
  series.options.forEach((line, number) => {
    const cell = document.createElement("figure");
    cell.className = "pair__plot";
    const caption = document.createElement("figcaption");
    const title = document.createElement("span");
    title.textContent = number ? "With the changes" : "Do nothing";
    const read = document.createElement("b");
    read.className = "num";
    read.dataset.read = "";
    caption.append(title, read);
    if (series.worst[number]) {
      const worst = document.createElement("span");
      worst.className = "muted tiny";
      worst.textContent = series.worst[number];
      title.append(" ", worst);
    }
    const holder = document.createElement("div");
    holder.className = "pair__holder";
    holder.setAttribute("role", "img");
    holder.setAttribute("aria-label", `${series.title}, ${title.textContent}: ends at ${num((line.end ?? NaN) * shown.factor, shown.digits)} ${shown.unit}`);
    cell.append(caption, holder);
    both.append(cell);
    one(holder, answer.times_s, line, shown, scale, number ? "--accent" : "--neutral", "whatif");
  });
}
