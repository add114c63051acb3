// What a tool found, as a small table and a chart, with its time and its quality.

import uPlot from "/static/vendor/uplot/uPlot.esm.js";
import { element, siteLink } from "./chat-dom.js";

const SERIES_COLOURS = ["--accent", "--ok", "--high", "--low", "--medium", "--critical"];
const BAD_FLAG = 3;
const HEIGHT = 190;
const token = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const two = (value) => String(value).padStart(2, "0");

function utc(seconds) {
  const at = new Date(seconds * 1000);
  return `${two(at.getUTCHours())}:${two(at.getUTCMinutes())}`;
}

function cell(value) {
  const node = element("td");
  if (value !== null && typeof value === "object") {
    if (value.url) node.append(siteLink(value.text, value.url));
    else node.textContent = value.text;
    if (value.tone) node.dataset.tone = value.tone;
  } else {
    node.textContent = value ?? "";
  }
  return node;
}

function tableOf(table) {
  const holder = element("div", "toolres__scroll");
  holder.tabIndex = 0;
  const node = element("table", "table toolres__table");
  const head = element("tr");
  for (const name of table.columns) {
    const header = element("th", "", name);
    header.scope = "col";
    head.append(header);
  }
  const top = element("thead");
  top.append(head);
  const body = element("tbody");
  for (const row of table.rows) {
    const line = element("tr");
    line.append(...row.map(cell));
    body.append(line);
  }
  node.append(top, body);
  if (table.caption) node.prepend(element("caption", "tiny muted", table.caption));
  holder.append(node);
  return holder;
}

/** All series on one time axis: [times, values…], null where a series has no value. */
function aligned(chart) {
  const times = [...new Set(chart.series.flatMap((one) => one.points.map((point) => point[0])))].sort((a, b) => a - b);
  const at = new Map(times.map((time, index) => [time, index]));
  const columns = [];
  for (const one of chart.series) {
    const values = new Array(times.length).fill(undefined);
    for (const [time, value, flag] of one.points) values[at.get(time)] = flag > BAD_FLAG ? null : value;
    columns.push(values);
    if (!one.band) continue;
    for (const side of [0, 1]) {
      const edge = new Array(times.length).fill(undefined);
      one.points.forEach((point, index) => { edge[at.get(point[0])] = one.band[index]?.[side] ?? null; });
      columns.push(edge);
    }
  }
  return [times, ...columns];
}

function flagged(chart) {
  return chart.series.reduce((count, one) => count + one.points.filter((point) => point[2] >= BAD_FLAG).length, 0);
}

function draw(holder, chart) {
  const series = [{}];
  const bands = [];
  chart.series.forEach((one, index) => {
    const colour = SERIES_COLOURS[index % SERIES_COLOURS.length];
    series.push({ label: one.label, stroke: () => token(colour), width: 1.75, points: { show: false }, dash: one.band ? [6, 4] : undefined });
    if (!one.band) return;
    const low = series.length;
    for (const name of ["low", "high"]) series.push({ label: `${one.label} ${name}`, stroke: "transparent", points: { show: false } });
    bands.push({ series: [low + 1, low], fill: () => `color-mix(in srgb, ${token(colour)} 18%, transparent)` });
  });
  const axis = { stroke: () => token("--text-muted"), grid: { stroke: () => token("--border"), width: 1 }, ticks: { show: false }, font: "11px Inter, sans-serif" };
  const plot = new uPlot(
    {
      width: Math.max(holder.clientWidth, 200),
      height: HEIGHT,
      padding: [8, 8, 0, 0],
      legend: { show: false },
      cursor: { drag: { x: true, y: false }, points: { size: 6 } },
      scales: { x: { range: () => [chart.from, chart.to] } },
      axes: [
        { ...axis, space: 60, size: 26, values: (_plot, splits) => splits.map(utc) },
        { ...axis, size: 52, gap: 4 },
      ],
      series,
      bands,
    },
    aligned(chart),
    holder,
  );
  new ResizeObserver(() => plot.setSize({ width: Math.max(holder.clientWidth, 200), height: HEIGHT })).observe(holder);
  document.addEventListener("themechange", () => plot.redraw());
}

function chartOf(chart) {
  const figure = element("figure", "chart toolres__chart");
  const title = element("figcaption", "toolres__legend tiny");
  chart.series.forEach((one, index) => {
    const name = element("span", "", `${one.label}${one.unit ? ` (${one.unit})` : ""}`);
    name.dataset.colour = SERIES_COLOURS[index % SERIES_COLOURS.length].slice(2);
    title.append(name);
  });
  if (chart.series.some((one) => one.band)) title.append(element("span", "muted", "band: 10th to 90th percentile"));
  const bad = flagged(chart);
  if (bad) title.append(element("span", "toolres__bad", `${bad} values flagged`));
  title.append(element("span", "muted", "UTC"));
  const plot = element("div", "chart__plot");
  plot.setAttribute("role", "img");
  plot.setAttribute("aria-label", `Line chart of ${chart.series.map((one) => one.label).join(", ")}; the figures are in the table`);
  figure.append(title, plot);
  // Drawn once it stands in the page and has a width.
  requestAnimationFrame(() => draw(plot, chart));
  return figure;
}

const WORST = { suspect: "warn", stale: "warn", failed: "bad", missing: "bad" };

/** A tool's result as a card. */
export function toolCard(tool) {
  const { result } = tool;
  const card = element("section", "toolres");
  card.setAttribute("aria-label", result.title || tool.name);
  const head = element("header", "toolres__head");
  head.append(element("strong", "", result.title || tool.name));
  if (result.is_prediction) head.append(element("span", "badge badge--info", "Prediction"));
  if (result.at) {
    const time = element("time", "tiny muted", `${result.at.slice(0, 10)} ${result.at.slice(11, 19)} UTC`);
    time.dateTime = result.at;
    head.append(time);
  }
  if (result.quality) {
    const quality = element("span", "tiny toolres__quality", `quality: ${result.quality}`);
    const tone = WORST[result.quality] ?? (result.quality.includes("un") ? "warn" : "");
    if (tone) quality.dataset.tone = tone;
    head.append(quality);
  }
  card.append(head);
  if (result.chart?.series?.length) card.append(chartOf(result.chart));
  if (result.table?.rows?.length) card.append(tableOf(result.table));
  for (const note of result.notes ?? []) card.append(element("p", "tiny muted toolres__note", note));
  if (result.url) card.append(siteLink("Open", result.url, "btn toolres__open"));
  return card.childElementCount > 1 ? card : null;
}
