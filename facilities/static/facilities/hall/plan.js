// The plan of a hall to scale: what stands where. Metres are the drawing's units.

import { num } from "/static/js/format.js";
import { heat } from "./scale.js";
import { mark, node, set } from "./svg.js";

export const SIZE = {
  rack: { width: 0.74, depth: 1.25 },
  crac: { width: 2.2, depth: 0.95 },
  pdu: { width: 0.62, depth: 0.95 },
  cdu: { width: 0.84, depth: 0.86 },
  leak_detector: { width: 0.5, depth: 0.36 },
};
const STRIP_M = 1.25;
const EDGE_M = 0.15;
const FLAGS = { 2: "unknown", 3: "suspect", 4: "failed", 9: "missing" };
const RANK = ["critical", "high", "medium", "low"];

const short = (unit) => (unit.kind === "rack" ? unit.tag.replace(/^.*rack-/, "") : unit.tag);

/** A drawn unit: its link, and the parts that values change. */
function drawUnit(unit, { x, y, width, depth }, hrefOf) {
  const link = node("a", { href: hrefOf(unit), class: `unit unit--${unit.kind}${unit.x_m === null ? " unit--behind" : ""}`, "data-unit": unit.tag });
  const left = x - width / 2;
  const top = y - depth / 2;
  const title = node("title", {}, unit.name);
  const body = node("rect", { class: "body", x: left, y: top, width, height: depth, rx: 0.06 });
  const fill = node("rect", { class: "fill", x: left, y: top + depth, width, height: 0, rx: 0.05 });
  const parts = [title, body, fill];
  let inlet = null;
  let outlet = null;
  if (unit.kind === "rack") {
    const band = 0.17;
    const ahead = unit.front < 0 ? top : top + depth - band;
    const behind = unit.front < 0 ? top + depth - band : top;
    inlet = node("rect", { class: "band", x: left, y: ahead, width, height: band });
    outlet = node("rect", { class: "band", x: left, y: behind, width, height: band });
    parts.push(inlet, outlet);
  }
  const value = node("text", { class: "value", x, y: y + 0.03 });
  const label = node("text", { class: "label", x, y: y + 0.3 }, short(unit));
  parts.push(value, label, node("rect", { class: "ring", x: left - 0.05, y: top - 0.05, width: width + 0.1, height: depth + 0.1, rx: 0.1 }));
  link.append(...parts);
  return { unit, link, title, body, fill, value, label, inlet, outlet, box: { left, top, width, depth, x, y } };
}

/**
 * Draw a plan into an svg element. `hrefOf(unit)` is where a unit leads. Returns {units, layers,
 * room, viewBox}; `layers.under` and `layers.over` are groups below and above the units.
 */
export function drawPlan(svg, plan, { hrefOf, strip = true, crop = false } = {}) {
  const placed = plan.units.filter((unit) => unit.x_m !== null);
  const xs = placed.map((unit) => unit.x_m);
  const left = crop && xs.length ? Math.max(0, Math.min(...xs) - 2) : 0;
  const right = crop && xs.length ? Math.min(plan.width_m, Math.max(...xs) + 2) : plan.width_m;
  const behind = strip ? plan.behind : [];
  const height = plan.depth_m + (behind.length ? STRIP_M : 0);
  const viewBox = { x: left - EDGE_M, y: -EDGE_M, width: right - left + 2 * EDGE_M, height: height + 2 * EDGE_M };
  svg.parentElement.style.setProperty("--ratio", (viewBox.width / viewBox.height).toFixed(3));
  svg.setAttribute("viewBox", `${viewBox.x} ${viewBox.y} ${viewBox.width} ${viewBox.height}`);
  const layers = { under: node("g"), units: node("g"), over: node("g", { class: "over" }) };
  const units = new Map();
  for (const unit of placed) {
    const size = SIZE[unit.kind] ?? SIZE.pdu;
    units.set(unit.tag, drawUnit(unit, { x: unit.x_m, y: unit.y_m, ...size }, hrefOf));
  }
  const slot = (right - left) / Math.max(behind.length, 1);
  behind.forEach((unit, number) => {
    const x = left + slot * (number + 0.5);
    units.set(unit.tag, drawUnit(unit, { x, y: plan.depth_m + 0.25 + STRIP_M / 2, width: Math.min(slot - 0.12, 1.6), depth: 0.86 }, hrefOf));
  });
  layers.units.append(...[...units.values()].map((drawn) => drawn.link));
  const room = node("rect", { class: "room", x: left, y: 0, width: right - left, height: plan.depth_m, rx: 0.1 });
  const doors = node("path", { class: "door", d: `M ${left} ${plan.depth_m / 2 - 0.5} v 1` });
  svg.replaceChildren(room, layers.under, ...aisles(placed, left, right), doors, layers.units, layers.over);
  return { svg, plan, units, layers, room: { left, right, depth: plan.depth_m }, doors, viewBox };
}

/** Names of the aisles, from the sides that the racks turn to them. */
function aisles(units, left, right) {
  const rows = new Map();
  for (const unit of units) {
    if (unit.kind !== "rack") continue;
    const row = rows.get(unit.row) ?? { y: 0, n: 0, front: unit.front };
    rows.set(unit.row, { y: row.y + unit.y_m, n: row.n + 1, front: row.front });
  }
  const lines = [...rows.values()].map((row) => ({ y: row.y / row.n, front: row.front })).sort((a, b) => a.y - b.y);
  const names = [];
  const at = (y, text) => names.push(node("text", { class: "aisle", x: (left + right) / 2, y: y + 0.07 }, text));
  lines.forEach((line, index) => {
    const next = lines[index + 1];
    if (next && line.front < 0 && next.front > 0) at((line.y + next.y) / 2, "HOT AISLE");
    else if (next) at((line.y + next.y) / 2, line.front > 0 && next.front < 0 ? "COLD AISLE" : "AISLE");
  });
  return names;
}

const SHOWN = {
  crac: { main: "supply_c", unit: "°C", level: "fan_speed_pct" },
  cdu: { main: "supply_c", unit: "°C" },
  chiller: { main: "supply_c", unit: "°C" },
  tower: { main: "leaving_c", unit: "°C" },
  weather: { main: "dry_bulb_c", unit: "°C" },
  pump: { main: "flow_lps", unit: "L/s" },
  ups: { main: "load_pct", unit: "%", level: "load_pct" },
};

function describe(drawn, frame) {
  const { unit } = drawn;
  const get = (quantity) => frame.get(`${unit.tag}.${quantity}`);
  const doubt = (quantity) => ((frame.flag(`${unit.tag}.${quantity}`) ?? 1) > 1 ? "?" : "");
  if (unit.kind === "rack") {
    const inlet = get("inlet_c");
    const tone = !Number.isFinite(inlet) ? "stale" : inlet > 32 ? "critical" : inlet > 27 ? "high" : "";
    return { text: num(inlet) + (Number.isFinite(inlet) ? doubt("inlet_c") : ""), tone, title: `${unit.name}: inlet ${num(inlet)} °C, ${num(get("power_w") / 1000)} kW` };
  }
  const running = get("running");
  if (get("fault") >= 0.5) return { text: "FAULT", tone: "critical", title: `${unit.name}: fault` };
  if (unit.kind === "utility") return get("available") < 0.5 ? { text: "LOST", tone: "critical", title: `${unit.name}: lost` } : { text: Number.isFinite(get("available")) ? "on" : "–", title: unit.name };
  if (unit.kind === "generator") return { text: running >= 0.5 ? "runs" : "ready", tone: running >= 0.5 ? "high" : "", title: unit.name };
  if (unit.kind === "ups" && get("on_battery") >= 0.5) return { text: "BATTERY", tone: "critical", title: `${unit.name}: on battery` };
  if (running < 0.5) return { text: unit.role === "standby" ? "standby" : "off", tone: "standby", title: `${unit.name}: stopped` };
  if (unit.kind === "pdu") return { text: num(get("power_w") / 1000, 0), title: `${unit.name}: ${num(get("power_w") / 1000)} kW` };
  if (unit.kind === "leak_detector") return get("wet") >= 0.5 ? { text: "WET", tone: "critical", title: `${unit.name}: wet` } : { text: Number.isFinite(get("wet")) ? "dry" : "–", title: unit.name };
  const shown = SHOWN[unit.kind];
  if (!shown) return { text: "", title: unit.name };
  const value = get(shown.main);
  return {
    text: Number.isFinite(value) ? `${num(value)} ${shown.unit}${doubt(shown.main)}` : "–",
    level: shown.level ? get(shown.level) / 100 : NaN,
    tone: Number.isFinite(value) ? "" : "stale",
    title: `${unit.name}: ${num(value)} ${shown.unit}${unit.kind === "crac" ? `, fan ${num(get("fan_speed_pct"), 0)} %` : ""}`,
  };
}

/** Height of the filling of a unit, 0..1; NaN hides it. */
export function level(drawn, share) {
  const { top, depth } = drawn.box;
  const height = Number.isFinite(share) ? depth * Math.min(Math.max(share, 0), 1) : 0;
  set(drawn.fill, { y: top + depth - height, height });
}

/**
 * Show a frame (`get(tag)`, `flag(tag)`) and the alarms by unit ({tag: severity}) on the units.
 * `text` may replace what a rack shows.
 */
export function paintUnits(map, frame, alarms = new Map()) {
  for (const drawn of map.units.values()) {
    const { unit } = drawn;
    const said = describe(drawn, frame);
    if (drawn.value.textContent !== said.text) drawn.value.textContent = said.text;
    mark(drawn.link, "tone", said.tone);
    mark(drawn.link, "alarm", alarms.get(unit.tag) ?? "");
    const doubts = ["inlet_c", "outlet_c", "power_w", "supply_c", "return_c"].map((name) => [name, frame.flag(`${unit.tag}.${name}`)]).filter(([, flag]) => flag > 1);
    const doubted = doubts.length ? ` · not to be trusted: ${doubts.map(([name, flag]) => `${name} ${FLAGS[flag] ?? flag}`).join(", ")}` : "";
    if (drawn.title.textContent !== said.title + doubted) drawn.title.textContent = said.title + doubted;
    level(drawn, said.level);
    if (drawn.inlet) {
      set(drawn.inlet, { fill: heat.colour(frame.get(`${unit.tag}.inlet_c`)) });
      set(drawn.outlet, { fill: heat.colour(frame.get(`${unit.tag}.outlet_c`)) });
    }
  }
  mark(map.doors, "open", frame.get(`${map.plan.slug}.door_open`) >= 0.5 ? "open" : "");
}

/** The worst severity by unit of the alarms that are active. */
export function worstByUnit(alarms) {
  const worst = new Map();
  for (const alarm of alarms) {
    for (const tag of [alarm.asset, alarm.rack]) {
      if (!tag) continue;
      const before = worst.get(tag);
      if (!before || RANK.indexOf(alarm.severity) < RANK.indexOf(before)) worst.set(tag, alarm.severity);
    }
  }
  return worst;
}
