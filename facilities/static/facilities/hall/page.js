// The hall map page: one plan, four layers, and time.

import { api } from "/static/js/api.js";
import { connect } from "/static/js/live.js";
import { toast } from "/static/js/toast.js";
import { AirLayer } from "./air.js";
import { Frames } from "./frames.js";
import { HeatLayer } from "./heat.js";
import { NetworkLayer } from "./network.js";
import { Panel } from "./panel.js";
import { drawPlan, paintUnits, worstByUnit } from "./plan.js";
import { Player } from "./player.js";
import { PowerLayer } from "./power.js";
import { Timeline } from "./timeline.js";

const FRAMES = 360;
const NICE_STEPS = [5, 10, 20, 30, 60, 120, 240, 300, 600, 900, 1800, 3600];
const TWIN_EVERY_MS = 20_000;
const EVENTS_EVERY_MS = 15_000;
const REPLAY_S = 7200;
const LIVE_PAINT_MS = 1000;

const root = document.querySelector("[data-hall]");
const part = (name) => root.querySelector(`[data-${name}]`);
const { plan, horizon_s: horizon, incident } = JSON.parse(document.getElementById("hall-setup").textContent);

const map = drawPlan(part("map"), plan, { hrefOf: (unit) => (unit.kind === "rack" ? `/racks/${unit.tag}/` : `/assets/${unit.tag}/`) });
const frames = new Frames(plan.slug);
const layers = { heat: new HeatLayer(map, part("field")), air: new AirLayer(map), power: new PowerLayer(map), network: new NetworkLayer(map) };
const panel = new Panel(part("panel"), map);
const view = { layer: "heat", compare: false, span: 3600, past: null, twin: "" };

const player = new Player(part("player"), (time, live) => show(time, live));
const timeline = new Timeline({ ribbon: part("ribbon"), list: part("events"), onSeek: (time) => player.seek(time) });

/** Draw what is known of the time shown; never waits. */
function paint() {
  const live = player.live;
  const time = live ? Date.now() / 1000 : player.time;
  const frame = frames.at(time, { live });
  const alarms = frame.kind === "prediction" ? [] : timeline.activeAt(time);
  paintUnits(map, frame, worstByUnit(alarms));
  layers[view.layer].paint(frame, { compare: view.compare && frame.kind !== "prediction" });
  panel.paint(frame, alarms);
  timeline.follow(time);
  root.dataset.kind = frame.kind;
  const at = new Date(time * 1000);
  part("time").textContent = at.toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "medium" });
  const ahead = Math.round((time - Date.now() / 1000) / 60);
  part("kind").textContent = { live: "Live", measured: "Past", prediction: `Prediction, ${ahead} min ahead` }[frame.kind];
  part("kind").className = `badge badge--${{ live: "ok", measured: "neutral", prediction: "info" }[frame.kind]}`;
}

let wanted = 0;
async function show(time, live) {
  paint();
  if (live) return;
  const mine = (wanted += 1);
  try {
    await frames.load(time);
    part("problem").hidden = true;
  } catch (error) {
    if (mine === wanted) problem(error.message);
    return;
  }
  if (mine === wanted) paint();
  frames.load(time + 60 * frames.step).catch(() => {});
  needTwin(time);
}

function problem(text) {
  part("problem").textContent = text;
  part("problem").hidden = !text;
}

player.ready = (time) => frames.isLoaded(time);

/** Airflow and comparison need the twin over the time shown: replay at most two hours around it. */
let replaying = false;
async function needTwin(time) {
  const now = Date.now() / 1000;
  if ((view.layer !== "air" && !view.compare) || player.live || time > now || replaying || frames.hasPast(time)) return;
  const { start, end } = player;
  const last = Math.min(end, now);
  const from = last - start <= REPLAY_S ? start : Math.max(start, Math.min(time - REPLAY_S / 2, last - REPLAY_S));
  replaying = true;
  part("twin").textContent = "The twin runs this period…";
  try {
    const block = await frames.loadPast(from, Math.min(from + REPLAY_S, last));
    tellTwin(block);
  } catch (error) {
    part("twin").textContent = `No twin for this period: ${error.message}`;
    if (frames.past === null) frames.past = { index: () => 0, get: () => NaN };
  } finally {
    replaying = false;
  }
  paint();
}

function tellTwin(block) {
  const rmse = block.fitness?.["rack.inlet_c"]?.rmse;
  part("twin").textContent = `Twin: ${block.followed ? "follows the plant" : "set from one snapshot"}${Number.isFinite(rmse) ? `, inlets within ${rmse.toFixed(2)} K (RMSE)` : ""}, energy balance closes to ${(block.closure * 100).toFixed(3)} %`;
}

async function refreshFuture() {
  if (view.past) return;
  try {
    tellTwin(await frames.loadFuture());
    paint();
  } catch (error) {
    part("twin").textContent = `No prediction: ${error.message}`;
  }
}

async function refreshEvents() {
  const now = Date.now() / 1000;
  const start = player.start;
  const end = Math.min(player.end, now);
  if (end <= start) return;
  const query = `start=${new Date(start * 1000).toISOString()}&end=${new Date(end * 1000).toISOString()}`;
  try {
    timeline.set(await api(`${frames.path}/events?${query}`), { start, end: player.end, now: view.past ? null : now });
    paint();
  } catch (error) {
    problem(error.message);
  }
}

const stepFor = (length) => NICE_STEPS.find((step) => length / step <= FRAMES) ?? Math.ceil(length / FRAMES / 3600) * 3600;

/** The last `view.span` seconds and the half hour to come, or a fixed period of the past. */
function setPeriod() {
  const now = Date.now() / 1000;
  const start = view.past ? view.past.start : now - view.span;
  const last = view.past ? view.past.end : now;
  const step = stepFor(last - start);
  frames.setStep(step);
  frames.past = null;
  const period = { start: Math.floor(start / step) * step, end: view.past ? last : now + horizon, step, canLive: !view.past };
  player.setPeriod(period);
  timeline.setPeriod({ start: period.start, end: period.end, now: view.past ? null : now });
  refreshEvents();
  refreshFuture();
  const asked = (prefetching += 1);
  frames.prefetch(period.start, last, () => asked === prefetching);
}
let prefetching = 0;

function choosePeriod(past) {
  view.past = past;
  part("custom").hidden = part("span").value !== "custom";
  setPeriod();
  if (past) player.seek(past.start);
  else player.goLive();
}

function chooseLayer(name) {
  view.layer = name;
  for (const [other, layer] of Object.entries(layers)) layer.show(other === name);
  root.dataset.layer = name;
  layers[name].legend(part("legend"), view);
  needTwin(player.time);
  paint();
  const url = new URL(location);
  url.searchParams.set("layer", name);
  history.replaceState(null, "", url);
}

const local = (seconds) => new Date(seconds * 1000 - new Date().getTimezoneOffset() * 60000).toISOString().slice(0, 16);

function playIncident(option) {
  const [start, end] = [Number(option.dataset.start), Number(option.dataset.end)];
  part("span").value = "custom";
  part("from").value = local(start);
  part("until").value = local(end);
  choosePeriod({ start, end });
  player.speedSelect.value = 30;
  player.toggle();
}

for (const input of root.querySelectorAll("input[name=layer]")) input.addEventListener("change", () => chooseLayer(input.value));
part("compare").addEventListener("change", (event) => {
  view.compare = event.target.checked;
  layers[view.layer].legend(part("legend"), view);
  needTwin(player.time);
  paint();
});
part("span").addEventListener("change", (event) => {
  part("incidents").value = "";
  if (event.target.value === "custom") {
    const now = Date.now() / 1000;
    if (!part("from").value) [part("from").value, part("until").value] = [local(now - 7200), local(now)];
    part("custom").hidden = false;
    part("from").focus();
    return;
  }
  view.span = Number(event.target.value);
  choosePeriod(null);
});
part("custom").addEventListener("submit", (event) => {
  event.preventDefault();
  const [start, end] = [Date.parse(part("from").value) / 1000, Math.min(Date.parse(part("until").value) / 1000, Date.now() / 1000)];
  if (!(start < end)) {
    toast("The period must begin before it ends, and not in the future.", "high");
    return;
  }
  choosePeriod({ start, end });
});
part("incidents").addEventListener("change", (event) => {
  const option = event.target.selectedOptions[0];
  if (option.value) playIncident(option);
  event.target.blur();
});
part("choice")?.addEventListener("change", (event) => location.assign(`/hall/${encodeURIComponent(event.target.value)}/`));
map.svg.addEventListener("click", (event) => {
  const unit = event.target.closest("[data-unit]");
  if (!unit || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  panel.select(unit.dataset.unit === panel.selected ? "" : unit.dataset.unit);
  paint();
});
part("panel").addEventListener("unselect", () => {
  panel.select("");
  paint();
});

// Live values: the last frame as a start, then what the WebSocket brings.
async function start() {
  const asked = new URL(location).searchParams.get("layer");
  const layer = asked in layers ? asked : "heat";
  root.querySelector(`input[name=layer][value=${layer}]`).checked = true;
  setPeriod();
  chooseLayer(layer);
  const option = incident && [...part("incidents").options].find((one) => one.value === String(incident));
  if (option) {
    part("incidents").value = option.value;
    playIncident(option);
  }
  try {
    const block = await frames.load(Date.now() / 1000);
    const last = block ? block.count - 1 : 0;
    const readings = Object.entries(block?.values ?? {}).map(([point, column]) => ({ point, ts: new Date().toISOString(), value: column[last], quality: block.flag(point, block.start + last * block.step_s) }));
    frames.take(readings.filter((reading) => reading.value !== null).map((reading) => ({ ...reading, ts: new Date((block.start + last * block.step_s) * 1000).toISOString() })));
    const socket = connect("/ws/telemetry/", (message) => {
      if (message.type === "readings") frames.take(message.readings);
      if (message.type === "reconnected" || message.type === "connected") socket?.send({ subscribe: Object.keys(block?.values ?? {}).slice(0, 2000) });
    });
    socket.send({ subscribe: Object.keys(block?.values ?? {}).slice(0, 2000) });
  } catch (error) {
    problem(error.message);
  }
  paint();
}

connect("/ws/alarms/", () => !view.past && refreshEvents());
setInterval(() => player.live && paint(), LIVE_PAINT_MS);
setInterval(() => !document.hidden && !view.past && (player.live || !frames.future) && refreshFuture(), TWIN_EVERY_MS);
setInterval(() => {
  if (view.past || document.hidden) return;
  if (player.live) {
    const now = Date.now() / 1000;
    player.setPeriod({ start: Math.floor((now - view.span) / player.step) * player.step, end: now + horizon, step: player.step, canLive: true });
  }
  refreshEvents();
}, EVENTS_EVERY_MS);
document.addEventListener("themechange", paint);
start();
