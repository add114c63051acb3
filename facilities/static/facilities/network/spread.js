// The answer of POST /api/v1/network/spread: chain, jobs, remedies, and the map played step by step.

import { num } from "../../js/format.js";
import { html, percent } from "./svg.js";

const PAUSE_MS = 700;
const still = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

function after(seconds) {
  if (seconds < 1) return "at once";
  return seconds < 90 ? `${Math.round(seconds)} s` : `${num(seconds / 60, 0)} min`;
}

const UNITS = { Cel: "°C", "%": "%", kW: "kW" };

function stages(answer) {
  return answer.chain.map((stage) => {
    const digits = stage.unit === "Cel" ? 2 : 1;
    const unit = UNITS[stage.unit] ?? stage.unit;
    const change = stage.after - stage.before;
    const item = html("li", "net-stage",
      html("span", "muted small", stage.stage),
      html("strong", "net-stage__asset", stage.asset),
      html("span", "num", `${num(stage.before, digits)} → ${num(stage.after, digits)} ${unit}`),
      html("span", "tiny muted", `${change >= 0 ? "+" : "−"}${num(Math.abs(change), digits)} ${unit}, ${after(stage.settles_s)}`));
    return item;
  });
}

function jobRow(job) {
  const row = html("tr", "");
  const pace = job.running ? percent(job.throughput) : "stands still";
  const cells = [
    html("td", "net-nowrap", html("strong", "", job.job)),
    html("td", "num", job.running ? `${num(job.step_s_before, 3)} → ${num(job.step_s, 3)} s` : `${num(job.step_s_before, 3)} s → –`),
    html("td", "num", html("span", job.affected ? (job.throughput < job.throughput_before ? "net-worse" : "net-better") : "muted", job.affected ? pace : "unchanged")),
    html("td", "num", job.waiting_gpus >= 0.05 ? `${num(job.waiting_gpus, 1)} of ${job.gpus}` : "–"),
    html("td", "small", job.bottleneck_before || "none", ...(job.bottleneck !== job.bottleneck_before ? [html("br", ""), html("strong", "", job.bottleneck || "no path left")] : [])),
  ];
  row.append(...cells);
  return row;
}

function remedyRow(remedy, index) {
  const row = html("tr", remedy.helps ? "" : "net-dim");
  const name = html("td", "", html("strong", "", remedy.title), html("br", ""), html("span", "muted tiny", remedy.how));
  if (remedy.helps && index === 0) name.prepend(html("span", "badge badge--ok", "best"), " ");
  row.append(
    name,
    html("td", "num", percent(remedy.pace, 1)),
    html("td", "num", remedy.interruption_s ? `${num(remedy.interruption_s / 60, 0)} min` : "–"),
    html("td", "num", remedy.helps ? `+${percent(remedy.work - remedy.pace_now, 1)}` : "no gain"),
  );
  return row;
}

/** Light up the map along the chain: link, links of the job, servers. */
function play(answer, map) {
  for (const part of [...map.edges.values(), ...map.boxes.values()]) part.removeAttribute("data-hit");
  const changed = answer.links.filter((link) => link.link !== answer.link && Math.abs(link.load - link.load_before) > 0.02 * Math.max(link.load_before, 1));
  const waves = [
    () => map.edges.get(answer.link)?.setAttribute("data-hit", "cause"),
    () => changed.forEach((link) => map.edges.get(link.link)?.setAttribute("data-hit", link.load > link.load_before ? "more" : "less")),
    () => answer.servers.forEach((tag) => map.boxes.get(tag)?.setAttribute("data-hit", "slow")),
  ];
  const items = [...document.querySelectorAll("[data-chain] .net-stage")];
  items.forEach((item) => item.removeAttribute("data-on"));
  if (still()) {
    waves.forEach((wave) => wave());
    items.forEach((item) => item.setAttribute("data-on", ""));
    return;
  }
  const steps = Math.max(waves.length, items.length);
  for (let step = 0; step < steps; step += 1) {
    setTimeout(() => {
      waves[step]?.();
      items[step]?.setAttribute("data-on", "");
    }, step * PAUSE_MS);
  }
}

/** Fill the section with the answer. Returns a function that plays the map again. */
export function showSpread(section, answer, map) {
  const find = (name) => section.querySelector(`[data-${name}]`);
  find("spread-title").textContent = answer.capacity_pct > 0 ? `${answer.link} at ${num(answer.capacity_pct, 0)} % of its capacity` : `${answer.link} down`;
  const note = find("spread-note");
  note.textContent = answer.note;
  note.hidden = !answer.note;
  find("chain").replaceChildren(...stages(answer));
  find("spread-jobs").replaceChildren(...answer.jobs.map(jobRow));
  const none = html("tr", "");
  const cell = html("td", "muted", "Nothing to mend.");
  cell.colSpan = 4;
  none.append(cell);
  find("remedies").replaceChildren(...(answer.remedies.length ? answer.remedies.map(remedyRow) : [none]));
  section.hidden = false;
  play(answer, map);
  return () => play(answer, map);
}
