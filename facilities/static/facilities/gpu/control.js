// What would help: the fine loop simulated from the live readings, by the server.

import { api } from "/static/js/api.js";
import { num } from "/static/js/format.js";
import { limitPlot } from "./plots.js";

const AGAIN_MS = 30000;
const NAMES = { inlet: "inlet", water: "water" };

const cell = (text, numeric = true) => {
  const made = document.createElement("td");
  if (numeric) made.className = "num";
  made.textContent = text;
  return made;
};
const signed = (value, digits) => (Math.abs(value) < 0.05 ? "0" : `${value > 0 ? "+" : "−"}${num(Math.abs(value), digits)}`);

function row(outcome, base) {
  const made = document.createElement("tr");
  made.dataset.case = outcome.key;
  const name = cell(outcome.name, false);
  if (outcome.note) {
    const note = document.createElement("span");
    note.className = "muted tiny control__note";
    note.textContent = outcome.note;
    name.append(note);
  }
  const idle = outcome.throughput_pct === null;
  const change = cell(outcome.key === base.key || idle ? "" : `${signed(outcome.gain_pct, 1)} points`);
  if (outcome.gain_pct > 0.5) change.classList.add("control__good");
  if (outcome.gain_pct < -0.5) change.classList.add("control__bad");
  const limits = Object.entries(outcome.limits).map(([label, share]) => (share > 0.995 ? label : `${label} ${num(share * 100, 0)} %`));
  made.append(
    name,
    cell(idle ? "idle" : `${num(outcome.throughput_pct, 1)} %`),
    change,
    cell(`${num(outcome.temp_c, 1)} °C`),
    cell(`${num(outcome.power_w, 0)} W`),
    cell(outcome.key === base.key || idle ? "" : `${signed(outcome.work_per_joule_pct, 1)} %`),
    cell(limits.join(", ") || "nothing", false),
  );
  return made;
}

/** Start the card "What would help" of a GPU's page. */
export function startControl(root, tag, device) {
  const card = root.querySelector("[data-control]");
  const part = (name) => card.querySelector(`[data-part="${name}"]`);
  const form = part("form");
  const limits = {
    temp_c: () => [
      { value: device.max_op_c, label: `software ${device.max_op_c} °C`, tone: "--high" },
      { value: device.slowdown_c, label: `hardware ${device.slowdown_c} °C`, tone: "--critical" },
    ],
    power_w: () => [{ value: answer?.gpu.power_limit_w, label: "limit", tone: "--medium" }],
    clock_mhz: () => [{ value: device.max_clock_mhz, label: "top", tone: "--text-muted" }],
    volts: () => [],
  };
  let answer = null;
  let shown = "temp_c";
  let plot = null;
  let asked = 0;

  function draw() {
    const { now, yours } = answer.trace;
    const lines = yours ? [["--text-muted", 1.5], ["--accent", 1.75]] : [["--accent", 1.75]];
    plot?.destroy();
    plot = limitPlot(part("trace"), [answer.times_s, now[shown], ...(yours ? [yours[shown]] : [])], { lines, limits: limits[shown], height: 190 });
    card.toggleAttribute("data-yours", Boolean(yours));
  }

  function fill() {
    const { fit, around } = answer;
    const values = { ...fit, medium_c: around.medium_c, k_per_w: fit.sink_k_per_w + fit.die_k_per_w, throttles_from_c: answer.throttles_from_c };
    for (const place of root.querySelectorAll("[data-fit]")) place.textContent = num(values[place.dataset.fit], Number(place.dataset.digits));
    root.querySelector("[data-fit-medium]").textContent = around.liquid ? "Die and cold plate" : "Die and heat sink";
    root.querySelector("[data-fit-medium-name]").textContent = around.liquid ? NAMES.water : NAMES.inlet;
    part("rows").replaceChildren(...answer.outcomes.map((outcome) => row(outcome, answer.outcomes[0])));
    form.elements.inlet_c.placeholder = num(around.medium_c, 1);
    form.elements.power_limit_w.placeholder = num(around.limit_w, 0);
    form.elements.fan_pct.placeholder = around.fan === null ? "by BMC" : num(around.fan * 100, 0);
    form.elements.util_pct.placeholder = num(fit.util * 100, 0);
    draw();
  }

  async function run() {
    const turn = ++asked;
    const query = new URLSearchParams([...new FormData(form)].filter(([, value]) => value !== ""));
    part("error").hidden = true;
    try {
      const found = await api(`/api/v1/gpus/${encodeURIComponent(tag)}/control?${query}`);
      if (turn !== asked) return;
      answer = found;
      const span = `simulated ${num(answer.times_s.at(-1), 0)} s from the live readings`;
      part("state").textContent = answer.outcomes[0].throughput_pct === null ? `idle: nothing to gain; ${span}` : span;
      fill();
    } catch (error) {
      part("error").hidden = false;
      part("error").textContent = error.message;
      part("state").textContent = "not simulated";
    }
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    run();
  });
  form.addEventListener("reset", () => setTimeout(run));
  for (const button of card.querySelectorAll("[data-trace]")) {
    button.addEventListener("click", () => {
      shown = button.dataset.trace;
      for (const other of card.querySelectorAll("[data-trace]")) other.setAttribute("aria-pressed", String(other === button));
      if (answer) draw();
    });
  }
  run();
  setInterval(() => document.hidden || run(), AGAIN_MS);
}
