// Energy page: figures now, ratios over a period, energy by end use, the power chain.

import { api } from "/static/js/api.js";
import { clock, num, watts } from "/static/js/format.js";
import { startChain } from "./oneline.js";
import { drawStack, drawTrend } from "./plots.js";

const EVERY_MS = 15000;
const root = document.getElementById("energy");
const at = (id) => document.getElementById(id);
const percent = (share, digits = 1) => (Number.isFinite(share) ? `${num(share * 100, digits)} %` : "–");
/** A share of time: what is little is not nothing. */
const covering = (share) => (share > 0 && share < 0.01 ? "under 1 %" : percent(share, 0));
/** Three figures, so that a young installation shows more than a nought. */
const three = (value) => num(value, value === 0 || Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2);
const CATEGORY = { 1: "IT at the UPS output", 2: "IT at the PDU output", 3: "IT at its input" };

/** An element with text and children; text never becomes markup. */
export function element(name, { text = "", className = "", ...attributes } = {}, ...children) {
  const made = document.createElement(name);
  if (text !== "") made.textContent = text;
  if (className) made.className = className;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function empty(holder, title, hint) {
  holder.replaceChildren(element("div", { className: "empty" }, element("strong", { text: title }), element("span", { className: "small", text: hint })));
}

export function table(holder, heads, rows) {
  const head = element("tr");
  for (const [label, numeric] of heads) head.append(element("th", { text: label, scope: "col", className: numeric ? "num right" : "" }));
  const body = element("tbody");
  for (const cells of rows) {
    const row = element("tr");
    cells.forEach((cell, index) => {
      const place = element("td", { className: heads[index][1] ? "num right" : "" });
      place.append(cell);
      row.append(place);
    });
    body.append(row);
  }
  holder.replaceChildren(element("table", { className: "table" }, element("thead", {}, head), body));
}

const badge = (text, tone) => element("span", { text, className: `badge badge--${tone}` });

function period() {
  const query = new URLSearchParams(location.search);
  const end = new Date();
  if (root.dataset.period === "1h") return { start: new Date(end - 3600e3), end, step: 60 };
  if (root.dataset.period === "7d") return { start: new Date(end - 7 * 86400e3), end, step: 6 * 3600 };
  if (root.dataset.period === "month") return { start: new Date(end.getFullYear(), end.getMonth(), 1), end, step: 86400 };
  if (root.dataset.period !== "custom") return { start: new Date(end - 86400e3), end, step: 1800 };
  const form = at("period");
  const local = (when) => new Date(when - when.getTimezoneOffset() * 60e3).toISOString().slice(0, 16);
  form.elements.start.value = query.get("start") || local(new Date(end - 86400e3));
  form.elements.end.value = query.get("end") || local(end);
  const from = new Date(form.elements.start.value);
  const to = new Date(form.elements.end.value);
  if (Number.isNaN(from.valueOf()) || Number.isNaN(to.valueOf())) return null;
  const seconds = (to - from) / 1000;
  const step = [60, 300, 900, 1800, 3600, 6 * 3600, 86400, 7 * 86400].find((length) => seconds / length <= 60) ?? 32 * 86400;
  return { start: from, end: to, step };
}

function query({ start, end, step }) {
  return `start=${encodeURIComponent(start.toISOString())}&end=${encodeURIComponent(end.toISOString())}&step=${step}`;
}

async function showNow() {
  const set = (name, text) => { root.querySelector(`[data-now="${name}"]`).textContent = text; };
  try {
    const { at: when, ratios } = await api("/api/v1/energy/now");
    set("pue", num(ratios.pue.value, 3));
    set("category", ratios.category ? `category ${ratios.category}` : "no meters");
    set("it", when ? watts(ratios.it_wh) : "–");
    set("total", when ? watts(ratios.total_wh) : "–");
    set("wue", num(ratios.wue_l_kwh.value, 2));
    set("cue", num(ratios.cue_kg_kwh.value, 3));
    set("cost", when ? `${num(ratios.cost, 2)} ${ratios.currency}` : "–");
    at("now-at").textContent = when ? clock(when) : "no meter has said anything for five minutes";
  } catch (error) {
    at("now-at").textContent = error.message;
  }
}

function figure(label, value, below, title = "") {
  const name = element("span");
  name.append(title ? element("abbr", { text: label, title }) : label);
  return element("div", {}, name, element("b", { text: value, className: "num" }), element("small", { text: below }));
}

function showWhole({ whole, issues }) {
  const covered = (ratio) => (ratio.value === null ? "not known" : `measured ${covering(ratio.coverage)} of the time`);
  const others = Object.entries(whole.categories)
    .filter(([number, ratio]) => Number(number) !== whole.category && ratio.value !== null)
    .map(([number, ratio]) => `category ${number}: ${num(ratio.value, 3)}`);
  const list = element("ul", { className: "issues" });
  for (const said of issues) list.append(element("li", { text: said }));
  at("whole").replaceChildren(
    figure(`PUE${whole.category ? `, category ${whole.category}` : ""}`, num(whole.pue.value, 3), [covered(whole.pue), ...others].join(" · "), whole.category ? CATEGORY[whole.category] : ""),
    figure("WUE, L/kWh", num(whole.wue_l_kwh.value, 2), covered(whole.wue_l_kwh), "ISO/IEC 30134-9"),
    figure("CUE, kg CO₂/kWh", num(whole.cue_kg_kwh.value, 3), covered(whole.cue_kg_kwh), "ISO/IEC 30134-8"),
    figure("Site energy, kWh", three(whole.total_wh / 1000), `IT ${three(whole.it_wh / 1000)} kWh`),
    figure(`Cost, ${whole.currency}`, three(whole.cost), `${three(whole.carbon_kg)} kg CO₂`),
    figure("Renewable (REF)", percent(whole.ref.value), whole.water_l < 1000 ? `${three(whole.water_l)} L of water` : `${three(whole.water_l / 1000)} m³ of water`, "ISO/IEC 30134-3"),
    ...(issues.length ? [list] : []),
  );
}

function showUses(whole) {
  const rows = whole.uses.map((use) => {
    const name = element("span", { title: use.detail });
    name.append(element("i", { className: "swatch", "data-use": use.key }), use.label);
    return [name, `${num(use.energy_wh / 1000, 1)}`, percent(use.share), badge(use.basis, use.basis === "measured" ? "neutral" : "info"), covering(use.coverage)];
  });
  table(at("uses"), [["End use"], ["kWh", true], ["Share", true], ["From"], ["Covered", true]], rows);
}

function showInputs(inputs) {
  if (!inputs.length) {
    empty(at("inputs"), "No meter is in the data list", "PUE needs utility.power_w and rack.power_w, pdu.power_w or ups.load_w.");
    return;
  }
  const rows = inputs.map((item) => [
    item.role.replace("_", " "),
    item.meters.slice(0, 3).join(", ") + (item.meters.length > 3 ? ` and ${item.meters.length - 3} more` : ""),
    covering(item.coverage),
    item.silent.length ? badge(`${item.silent.length} silent`, "medium") : "–",
    [item.bridged && `${item.bridged} values bridged`, item.negative && `${item.negative} below zero`, item.resets && `${item.resets} resets`].filter(Boolean).join(", ") || "–",
  ]);
  table(at("inputs"), [["Role"], ["Points"], ["Covered", true], ["Silent"], ["Repairs"]], rows);
}

async function showPeriod() {
  const chosen = period();
  if (!chosen) {
    at("period-said").textContent = "Choose when it starts and ends.";
    empty(at("whole"), "No period", "Choose when it starts and ends.");
    return;
  }
  at("export").href = `/api/v1/energy/export.csv?${query(chosen)}`;
  at("period-said").textContent = "Reading meters…";
  try {
    const report = await api(`/api/v1/energy/metrics?${query(chosen)}`);
    const said = { "1m": "minutes", "1h": "hours" }[report.level] ?? report.level;
    at("period-said").textContent = `${new Date(report.start).toLocaleString("en-GB")} to ${new Date(report.end).toLocaleString("en-GB")}, summed from ${said}`;
    showWhole(report);
    showUses(report.whole);
    showInputs(report.inputs);
    drawStack(at("stack"), report.steps);
    let metric = "pue";
    const draw = () => drawTrend(at("trend"), report.steps, metric);
    for (const button of at("metric").querySelectorAll("button")) {
      button.onclick = () => {
        metric = button.dataset.metric;
        for (const other of at("metric").querySelectorAll("button")) {
          other.setAttribute("aria-pressed", String(other === button));
          other.classList.toggle("btn-primary", other === button);
        }
        draw();
      };
    }
    draw();
  } catch (error) {
    at("period-said").textContent = "";
    empty(at("whole"), "No figures for this period", error.message);
    for (const id of ["uses", "inputs"]) empty(at(id), "Nothing to show", "Choose another period.");
  }
}

showNow();
showPeriod();
startChain(at("chain"), { side: at("contingency"), stages: at("stages"), single: at("single"), element, table, badge, empty });
setInterval(() => document.visibilityState === "visible" && showNow(), EVERY_MS);
