// The hall as a plan: racks and CRAC units where the facility file puts them.

import { num } from "../format.js";

const SVG = "http://www.w3.org/2000/svg";
const RACK = { width: 0.75, depth: 1.3 };
const CRAC = { width: 2.3, depth: 1 };
const MARGIN = 0.9;
const COLD = 15;
const HOT = 35;
const STALE_MS = 30_000;
const FLAGS = { 2: "unknown", 3: "suspect", 4: "failed", 9: "missing" };

/** Names of the values that are not good, for the title; "" when all are. */
export function doubts(flags, ...tags) {
  const bad = tags.filter((tag) => flags?.[tag] > 1);
  return bad.map((tag) => `${tag.split(".").pop()} ${FLAGS[flags[tag]] ?? flags[tag]}`).join(", ");
}

function node(name, attributes = {}, text = "") {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text) made.textContent = text;
  return made;
}

function unit({ href, x, y, width, depth, value, label, tone, level, title }) {
  const link = node("a", { href, class: "unit" });
  if (tone) link.dataset.tone = tone;
  link.append(node("title", {}, title));
  link.append(node("rect", { x: x - width / 2, y: y - depth / 2, width, height: depth, rx: 0.06 }));
  if (Number.isFinite(level)) {
    const height = depth * Math.min(Math.max(level, 0), 1);
    link.append(node("rect", { class: "fill", x: x - width / 2, y: y + depth / 2 - height, width, height, rx: 0.06 }));
  }
  link.append(node("text", { class: "value", x, y: y + 0.04 }, value));
  link.append(node("text", { class: "label", x, y: y + 0.32 }, label));
  return link;
}

function rackTone(rack, stale) {
  if (stale || !Number.isFinite(rack.inlet_c)) return "stale";
  if (rack.inlet_c > 32) return "critical";
  return rack.inlet_c > 27 ? "high" : "";
}

function drawRack(rack, stale, flags) {
  const doubt = doubts(flags, `${rack.tag}.inlet_c`, `${rack.tag}.power_w`);
  const shown = flags?.[`${rack.tag}.inlet_c`] > 1 ? `${num(rack.inlet_c)}?` : num(rack.inlet_c);
  return unit({
    href: `/assets/${rack.tag}/`,
    x: rack.x_m,
    y: rack.y_m,
    ...RACK,
    value: shown,
    label: rack.tag.replace("rack-", ""),
    tone: rackTone(rack, stale),
    level: (rack.inlet_c - COLD) / (HOT - COLD),
    title: `${rack.tag}: inlet ${num(rack.inlet_c)} °C, ${num(rack.power_w / 1000)} kW${doubt && ` · not to be trusted: ${doubt}`}`,
  });
}

function drawCrac(crac, flags) {
  const doubt = doubts(flags, ...["supply_c", "return_c", "fan_speed_pct", "running"].map((name) => `${crac.tag}.${name}`));
  const running = crac.running >= 0.5;
  const tone = crac.fault >= 0.5 ? "critical" : running ? "" : "standby";
  const state = crac.fault >= 0.5 ? "FAULT" : running ? `${num(crac.supply_c)} °C${flags?.[`${crac.tag}.supply_c`] > 1 ? "?" : ""}` : "standby";
  return unit({
    href: `/assets/${crac.tag}/`,
    x: crac.x_m,
    y: crac.y_m,
    ...CRAC,
    value: state,
    label: running ? `${crac.tag} · fan ${num(crac.fan_speed_pct, 0)} %` : crac.tag,
    tone,
    level: running ? crac.fan_speed_pct / 100 : NaN,
    title: `${crac.tag}: ${running ? "running" : "stopped"}, fan ${num(crac.fan_speed_pct, 0)} %${doubt && ` · not to be trusted: ${doubt}`}`,
  });
}

/** Draw `overview` (as `/api/v1/facility/overview` gives it) into an svg element, metres as units. */
export function drawHall(svg, overview) {
  const focused = document.activeElement?.closest?.(".unit")?.getAttribute("href");
  const { width_m: width, depth_m: depth } = overview;
  // Empty floor left and right of the equipment is cut off; the walls stay where they are.
  const xs = [...overview.racks, ...overview.cracs].map((item) => item.x_m);
  const left = Math.max(0, Math.min(...xs) - CRAC.width / 2 - MARGIN);
  const right = Math.min(width, Math.max(...xs) + CRAC.width / 2 + MARGIN);
  svg.setAttribute("viewBox", `${left} 0 ${right - left} ${depth}`);
  // Sensors push every 2 s; half a minute of silence means that nothing shown here is current.
  const stale = !overview.ts || Date.now() - new Date(overview.ts) > STALE_MS;
  const parts = [
    node("rect", { class: "room", x: left + 0.02, y: 0.02, width: right - left - 0.04, height: depth - 0.04, rx: 0.12 }),
    node("text", { class: "aisle", x: (left + right) / 2, y: depth / 2 + 0.06 }, "HOT AISLE"),
    ...overview.cracs.map((crac) => drawCrac(crac, overview.flags)),
    ...overview.racks.map((rack) => drawRack(rack, stale, overview.flags)),
  ];
  svg.replaceChildren(...parts);
  if (focused) svg.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus();
}
