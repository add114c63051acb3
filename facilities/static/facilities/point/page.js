// The page of one point: chart with zoom and pan, level, quality, alarms, readings as they came.

import { api } from "/static/js/api.js";
import { num } from "/static/js/format.js";
import { connect } from "/static/js/live.js";
import { Plot } from "./plot.js";
import { startReadings } from "./readings.js";
import { Window } from "./window.js";

const MAX_POINTS = 800;
const LEVELS = { raw: "raw readings", "1m": "by minute", "1h": "by hour" };
const FLAGS = { 1: "good", 2: "unknown", 3: "suspect", 4: "fail", 9: "missing" };

const card = document.querySelector("[data-point-chart]");
const { tag, digits, unit } = card.dataset;
const names = card.dataset.enum ? JSON.parse(card.dataset.enum) : {};
const intervalS = Number(card.dataset.interval) || 1;
const part = (name) => card.querySelector(`[data-part=${name}]`);
const base = `/api/v1/points/${encodeURIComponent(tag)}`;
const text = (value) => names[String(value)] ?? `${num(value, Number(digits))} ${unit}`;
const moment = (seconds) => new Date(seconds * 1000).toLocaleString("en-GB");

let shown = Window.fromAddress();
let series = null;
let alarms = [];
let loading = null;
let timer = null;

const plot = new Plot(part("plot"), part("strip"), { select, move });

function select(start, end) {
  const now = Date.now() / 1000;
  go(new Window(end - start, end >= now ? null : end));
}

function go(next) {
  shown = next;
  shown.toAddress();
  load();
}

/** What the cursor is on; without a cursor, what the window holds. */
function move(sample) {
  const out = part("cursor");
  if (!sample) {
    out.textContent = summary();
    return;
  }
  const range = sample.low !== null && sample.high !== null ? `, ${num(sample.low, Number(digits))}…${text(sample.high)}` : "";
  const flag = sample.flag ? `, ${FLAGS[sample.flag]}` : "";
  const value = sample.value === null || sample.value === undefined ? "no usable reading" : text(sample.value);
  out.textContent = `${moment(sample.time)}: ${value}${range}${flag}`;
}

function summary() {
  if (!series || !series.ts.length) return "";
  const total = series.counts.length ? series.counts.reduce((sum, n) => sum + n, 0) : series.ts.length;
  const bad = series.counts.length ? series.bad.reduce((sum, n) => sum + n, 0) : series.flags.filter((flag) => flag >= 4).length;
  const counted = series.level === "raw" && series.ts.length >= MAX_POINTS - 1 ? "the extremes of more readings" : `${total.toLocaleString("en-GB")} readings`;
  return bad ? `${counted}, ${bad.toLocaleString("en-GB")} bad` : `${counted}, none bad`;
}

function show() {
  const range = shown.range();
  plot.show(series, alarms, range, intervalS);
  const level = part("level");
  level.textContent = series.step_s > 60 && series.level !== "raw" ? `${LEVELS[series.level]}, ${length(series.step_s)} each` : LEVELS[series.level];
  part("empty").hidden = series.ts.length > 0;
  part("from").textContent = moment(range[0]);
  part("to").textContent = shown.live ? "now" : moment(range[1]);
  part("live").setAttribute("aria-pressed", String(shown.live));
  for (const button of card.querySelectorAll("[data-span]")) {
    button.setAttribute("aria-pressed", String(Number(button.dataset.span) === Math.round(shown.span)));
  }
  part("strip").setAttribute("aria-label", `Quality: ${summary()}`);
  move(null);
  const query = `start=${range[0].toFixed(3)}&end=${range[1].toFixed(3)}&level=${series.level}`;
  part("csv").href = `${base}/export.csv?${query}`;
  const iso = (seconds) => encodeURIComponent(new Date(seconds * 1000).toISOString());
  part("correlated").search = `?start=${iso(range[0])}&end=${iso(range[1])}`;
  // Others on the page may follow the selection, for example correlation.
  document.dispatchEvent(new CustomEvent("chartwindow", { detail: { tag, start: range[0], end: range[1] } }));
}

function length(seconds) {
  if (seconds % 86400 === 0) return `${seconds / 86400} d`;
  return seconds % 3600 === 0 ? `${seconds / 3600} h` : `${seconds / 60} min`;
}

async function load() {
  clearTimeout(timer);
  loading?.abort();
  loading = new AbortController();
  const { signal } = loading;
  const [start, end] = shown.range();
  // Live readings may carry a clock a little ahead.
  const times = `start=${start.toFixed(3)}&end=${(shown.live ? end + 5 : end).toFixed(3)}`;
  try {
    [series, alarms] = await Promise.all([
      api(`${base}/series?${times}&method=band&max_points=${MAX_POINTS}`, { signal }),
      api(`${base}/alarms?${times}`, { signal }),
    ]);
    part("error").hidden = true;
    show();
  } catch (error) {
    if (error.name === "AbortError") return;
    part("error").hidden = false;
    part("error").textContent = error.message;
  }
  // Readings come over the socket; sums are asked for again.
  if (shown.live) timer = setTimeout(load, series?.level === "raw" ? 30000 : Math.max(5000, shown.span * 2));
}

function follow(reading) {
  if (!shown.live || !series || series.level !== "raw") return;
  const at = Date.parse(reading.ts) / 1000;
  if (series.ts.length && at <= series.ts.at(-1)) return;
  series.ts.push(at);
  series.values.push(reading.value);
  series.flags.push(reading.quality ?? 1);
  show();
}

for (const button of card.querySelectorAll("[data-span]")) {
  button.addEventListener("click", () => go(new Window(Number(button.dataset.span), shown.end)));
}
const actions = {
  back: () => shown.panned(-0.5),
  on: () => shown.panned(0.5),
  closer: () => shown.zoomed(0.5),
  wider: () => shown.zoomed(2),
  live: () => new Window(shown.span),
  reset: () => new Window(3600),
};
for (const button of card.querySelectorAll("[data-do]")) {
  button.addEventListener("click", () => go(actions[button.dataset.do]()));
}
const keys = { ArrowLeft: "back", ArrowRight: "on", "+": "closer", "-": "wider", End: "live", Escape: "reset" };
part("plot").addEventListener("keydown", (event) => {
  if (!keys[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  go(actions[keys[event.key]]());
});
part("plot").addEventListener("dblclick", () => go(actions.reset()));
window.addEventListener("hashchange", () => {
  shown = Window.fromAddress();
  load();
});

const reloadReadings = startReadings(document.querySelector("[data-readings]"), { base, text });
load();
connect("/ws/telemetry/", (message) => {
  if (message.type === "reconnected") load();
  if (message.type !== "readings") return;
  for (const reading of message.readings) {
    if (reading.point !== tag) continue;
    follow(reading);
    reloadReadings();
  }
});
