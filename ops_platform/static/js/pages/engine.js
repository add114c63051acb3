// The engine page: asks the server once a second what it does, draws it, rests while hidden.

import { api } from "../api.js";
import { lineChart } from "../chart.js";
import { num, watts } from "../format.js";
import { BlockMap, decode } from "./block_map.js";
import { bytes, SequenceTable, showQueues } from "./engine_tables.js";

const LIVE_MS = 1000;
const LOST_MS = 2000;
const SPAN_S = 300;
const JOULES_PER_KWH = 3.6e6;

const root = document.getElementById("engine");
const byId = (id) => document.getElementById(id);
const slot = (name, key) => root.querySelector(`[data-${name}="${key}"]`);
const percent = (share, digits = 1) => (share === null || share === undefined ? "–" : `${num(share * 100, digits)} %`);
const price = Number(root.dataset.price ?? NaN);

let since = 0;
let picture = null;
let selected = null;
let before = null; // the last figures of a server that is no kvserve

function set(name, key, text) {
  const node = slot(name, key);
  if (node.textContent !== text) node.textContent = text;
}

// --- charts ------------------------------------------------------------------------------------

/** The last seconds as the engine counted them, one object each: {at, generated, joules, …}. */
let seconds = [];

function remember(history, offset) {
  const keys = Object.keys(history);
  history.at.forEach((at, index) => {
    const second = Object.fromEntries(keys.map((key) => [key, history[key][index]]));
    seconds.push({ ...second, at: at + offset });
    since = at;
  });
  trim();
}

function trim() {
  const oldest = Date.now() / 1000 - SPAN_S;
  seconds = seconds.filter((second) => second.at >= oldest);
}

/** A sum over the seconds up to `index`; single seconds are too few to make a ratio of. */
function sum(key, index, length) {
  let total = 0;
  for (let i = Math.max(0, index - length + 1); i <= index; i += 1) total += seconds[i][key];
  return total;
}

function ratio(above, below, index, length) {
  const whole = below.reduce((total, key) => total + sum(key, index, length), 0);
  return whole ? sum(above, index, length) / whole : null;
}

const TOKENS = ["prompt", "cached", "generated"];
const SERIES = {
  generation: [(i) => sum("generated", i, 5) / Math.min(5, i + 1), "tok/s", 0],
  hits: [(i) => times(100, ratio("cached", ["queried"], i, 30)), "%", 0],
  usage: [(i) => 100 * seconds[i].usage, "%", 1],
  running: [(i) => seconds[i].running, "", 0],
  waste: [(i) => 100 * seconds[i].waste, "%", 1],
  // Where nothing was computed there is no price, although the window still reaches back to work.
  energy: [(i) => (seconds[i].joules ? times(1000, ratio("joules", TOKENS, i, 30)) : null), "J", 0],
};
const times = (factor, value) => (value === null ? null : factor * value);
const plots = new Map();

/** Draw every c-chart with feed="series" from `values(name)`, a list as long as `seconds`. */
function drawCharts(values) {
  const at = seconds.map((second) => second.at);
  for (const frame of root.querySelectorAll("[data-series]")) {
    const name = frame.dataset.series;
    const [, unit, digits] = SERIES[name];
    const line = values(name);
    const last = line.findLast((value) => value !== null);
    frame.querySelector("[data-last]").textContent = last === undefined ? "no data yet" : `${num(last, digits)} ${unit}`.trim();
    if (plots.has(name)) plots.get(name).setData([at, line]);
    else if (at.length) {
      const height = Number(frame.dataset.height);
      plots.set(name, lineChart(frame.querySelector(".chart__plot"), [at, line], { height, span: SPAN_S, floor: 0 }));
    }
  }
}

// --- what is shown ------------------------------------------------------------------------------

function follow(sequence) {
  selected = sequence === selected ? null : sequence;
  render();
}

function names(owners) {
  const shown = owners.slice(0, 8).map((owner) => `#${owner}`).join(" ");
  return owners.length > 8 ? `${shown} and ${owners.length - 8} more` : shown;
}

function point(block, byKey) {
  let text = "Point at a block, or focus the map and use the arrow keys.";
  if (block >= 0) {
    const { state, owners, filled, size } = map.describe(block);
    const whose = {
      free: "free",
      private: `private to sequence ${names(owners)}`,
      shared: `shared by ${owners.length} sequences: ${names(owners)}`,
      cached: "cached: kept for the next prompt that starts alike",
      pinned: "pinned: cached, and a swapped sequence will want it back",
    }[state];
    text = `Block ${block} · ${whose} · ${filled} of ${size} positions filled`;
  } else if (selected !== null) text = `Following sequence #${selected}; Escape lets go.`;
  byId("map-detail").textContent = text;
  if (byKey) byId("map-spoken").textContent = text;
}

const map = new BlockMap(byId("map"), { onPoint: point, onPick: follow });
const table = new SequenceTable(byId("sequences"), follow);
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && selected !== null) follow(selected);
});

function showTiles() {
  const { rates, counts, num_blocks: all } = picture;
  const waiting = picture.queues.reduce((sum, queue) => sum + queue.waiting, 0);
  set("tile", "running", String(picture.sequences.length));
  set("tile", "waiting", `${waiting} waiting · room for ${picture.max_seqs}`);
  set("tile", "generation", `${num(rates.generation_tokens_s, 0)}/s`);
  set("tile", "prompt", `${num(rates.prompt_tokens_s, 0)}/s prompt computed`);
  set("tile", "hits", percent(rates.hit_rate, 0));
  set("tile", "cached", rates.hit_rate === null ? "no prompt this minute" : "of prompt tokens");
  set("tile", "usage", percent(picture.usage, 0));
  set("tile", "blocks", `${num(all - counts.free - counts.cached - counts.pinned, 0)} of ${num(all, 0)}`);
  set("tile", "waste", percent(picture.waste));
  set("tile", "energy", rates.joules_per_1000_tokens === null ? "–" : `${num(rates.joules_per_1000_tokens, 0)} J`);
  set("tile", "source", picture.energy.source === "rapl" ? "measured by RAPL" : "estimated");
}

/** Joules in the unit that suits them, with what they cost where a price is set. */
function energy(joules) {
  const kwh = joules / JOULES_PER_KWH;
  const text = joules < 1e4 ? `${num(joules, 0)} J` : joules < 1e6 ? `${num(joules / 1000, 1)} kJ` : `${num(kwh, 3)} kWh`;
  const cost = (kwh * price).toLocaleString("en-GB", { maximumSignificantDigits: 2 });
  return Number.isFinite(price) ? `${text} · ${cost} ${root.dataset.currency}`.trim() : text;
}

/** The disk tier keeps long shared prefixes over restarts. */
function onDisk(disk) {
  if (!disk) return "";
  return `On disk: ${bytes(disk.used)} of ${bytes(disk.capacity)}, ${num(disk.restored, 0)} tokens brought back`;
}

function showSide() {
  const { swap, rates } = picture;
  const swapped = picture.waiting.filter((sequence) => sequence.swapped_bytes).length;
  byId("swap-meter").firstElementChild.style.width = `${swap.capacity ? (100 * swap.used) / swap.capacity : 0}%`;
  const used = swapped ? `${swapped} ${swapped === 1 ? "sequence" : "sequences"}, ${bytes(swap.used)} of ${bytes(swap.capacity)}` : `nothing, ${bytes(swap.capacity)} reserved`;
  set("swap", "used", swap.capacity ? used : "off: preempted sequences are computed again");
  set("swap", "disk", onDisk(picture.disk));
  set("swap", "moves", swap.swapped_out ? `${num(swap.swapped_out, 0)} out, ${num(swap.swapped_in, 0)} in since the start` : "none moved yet");
  const million = rates.joules_per_1000_tokens;
  set("energy", "watts", watts(rates.watts));
  set("energy", "total", energy(picture.energy.joules));
  set("energy", "million", million === null ? "–" : energy(million * 1000));
  set("energy", "detail", picture.energy.detail);
}

function render() {
  if (!picture) return;
  const present = [...picture.sequences, ...picture.waiting];
  if (!present.some((sequence) => sequence.id === selected)) selected = null;
  map.show(picture.decoded, selected);
  map.canvas.setAttribute("aria-label", `Block map: ${Object.entries(picture.counts).map(([state, count]) => `${count} ${state}`).join(", ")}`);
  for (const [state, count] of Object.entries(picture.counts)) {
    root.querySelector(`#map-legend [data-key="${state}"] b`).textContent = num(count, 0);
  }
  table.show(present, selected);
  point(map.cursor, false);
}

function showPicture(next) {
  picture = { ...next, decoded: decode(next) };
  const skew = Date.now() / 1000 - next.ts;
  const offset = Math.abs(skew) > 5 ? skew : 0;
  remember(next.history, offset);
  drawCharts((name) => seconds.map((_second, index) => SERIES[name][0](index)));
  const kernel = (name) => `${next[name].kind} ${name}${next[name].reason ? ` (${next[name].reason})` : ""}`;
  byId("engine-line").textContent = `${next.model} · ${kernel("attention")} · ${kernel("products")} · ${num(next.num_blocks, 0)} blocks of ${next.block_size} tokens, ${bytes(next.num_blocks * next.block_bytes)}`;
  showTiles();
  showSide();
  showQueues(byId("queues"), next.queues);
  render();
}

/** A server that is no kvserve: what it publishes, and no map. */
function showFigures(figures) {
  const at = Date.now() / 1000;
  const gone = before ? at - before.at : 0;
  const rate = (key) => (before && key in figures && gone > 0 ? Math.max(0, (figures[key] - before[key]) / gone) : null);
  const shown = (value, text) => (value === null || value === undefined ? "–" : text(value));
  const queried = rate("prefix_queries");
  const point = {
    generation: rate("generation_tokens"),
    hits: queried ? (100 * rate("prefix_hits")) / queried : null,
    usage: "usage" in figures ? 100 * figures.usage : null,
    running: figures.running ?? null,
  };
  seconds.push({ at, ...point });
  trim();
  drawCharts((name) => seconds.map((second) => second[name] ?? null));
  set("tile", "running", shown(figures.running, (value) => num(value, 0)));
  set("tile", "waiting", shown(figures.waiting, (value) => `${num(value, 0)} waiting`));
  set("tile", "generation", shown(point.generation, (value) => `${num(value, 0)}/s`));
  set("tile", "prompt", shown(rate("prompt_tokens"), (value) => `${num(value, 0)}/s prompt`));
  set("tile", "hits", shown(figures.prefix_queries || null, (value) => percent(figures.prefix_hits / value, 0)));
  set("tile", "usage", shown(figures.usage, (value) => percent(value, 0)));
  set("tile", "source", "not published");
  byId("engine-line").textContent = "OpenAI-compatible server, not kvserve";
  const known = Object.keys(figures).length ? "Its /metrics gave the figures on this page." : "It publishes no figures either.";
  byId("engine-other").querySelector("[data-reason]").textContent = `It answers, but it is no kvserve, so it does not tell which request holds which block, nor its energy. ${known}`;
  before = { at, ...figures };
}

function showState(state, reason) {
  root.dataset.state = state;
  byId("engine-down").hidden = state === "ready";
  byId("engine-down").querySelector("strong").textContent = state === "loading" ? "The LLM server is getting ready" : byId("engine-down").dataset.title;
  byId("engine-down").querySelector("[data-reason]").textContent = reason;
  if (state !== "ready") byId("engine-line").textContent = state === "loading" ? "Loading…" : "No answer";
}
byId("engine-down").dataset.title = byId("engine-down").querySelector("strong").textContent;

// --- the loop ----------------------------------------------------------------------------------

let timer = null;
let busy = false;

async function look() {
  if (busy) return;
  busy = true;
  timer = null;
  let pause = LIVE_MS;
  try {
    const report = await api(`/api/v1/engine/${root.dataset.server}/?since=${since}`);
    showState(report.state, report.detail);
    for (const part of root.querySelectorAll("[data-kvserve]")) part.hidden = report.figures !== null;
    byId("engine-other").hidden = report.figures === null;
    if (report.picture) showPicture(report.picture);
    else if (report.figures) showFigures(report.figures);
    else pause = LOST_MS;
    if (report.state === "ready") root.dataset.seen = "";
  } catch (error) {
    showState("down", error.message);
    pause = LOST_MS;
  }
  busy = false;
  if (!document.hidden) timer = setTimeout(look, pause);
}

document.addEventListener("visibilitychange", () => {
  if (!document.hidden && timer === null) look();
});
look();
