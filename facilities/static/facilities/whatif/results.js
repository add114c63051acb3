// The answer: sentences, plots, alarms of each course, energy and jobs.

import { num } from "/static/js/format.js";
import { minutes } from "./builder.js";
import { pair } from "./plots.js";

const FIT = { fit: ["ok", "twin fit"], unfit: ["high", "twin not fit"], unknown: ["medium", "fitness unknown"] };

function make(tag, { text = "", className = "" } = {}, ...children) {
  const node = document.createElement(tag);
  if (text) node.textContent = text;
  if (className) node.className = className;
  node.append(...children);
  return node;
}

const badge = (tone, text) => make("span", { text, className: `badge badge--${tone}` });

function card(title, hint = "", flush = false) {
  const head = make("header", { className: "card__head" }, make("h2", { text: title }));
  if (hint) head.append(make("span", { text: hint, className: "muted" }));
  const body = make("div", { className: `card__body${flush ? " card__body--flush" : ""}` });
  return { node: make("section", { className: "card" }, head, body), body };
}

function table(heads, rows) {
  const head = make("tr", {}, ...heads.map(([text, numeric]) => {
    const cell = make("th", { text, className: numeric ? "num" : "" });
    cell.scope = "col";
    return cell;
  }));
  return make("table", { className: "table" }, make("thead", {}, head), make("tbody", {}, ...rows));
}

function summary(answer) {
  const { node, body } = card("In short", `${minutes(answer.duration_s)} ahead · ${answer.draws} draws · computed in ${num(answer.ms.read + answer.ms.simulate + answer.ms.judge, 0)} ms`);
  const [tone, label] = FIT[answer.fit.verdict];
  body.append(
    ...answer.summary.map((text, at) => make("p", { text, className: at ? "" : "whatif__headline" })),
    make("p", { className: "tiny muted" }, badge(tone, label), ` ${answer.fit.text} State of ${new Date(answer.at).toLocaleString("en-GB")}, model ${answer.model}, energy balance closed to ${answer.closure.toExponential(0)}.`),
    ...answer.notes.map((text) => make("p", { text, className: "tiny muted" })),
  );
  body.classList.add("stack-s");
  return node;
}

function when(course) {
  if (!course.probability) return make("td", { text: "–", className: "muted" });
  const cell = make("td", { className: "num-left" });
  const share = course.probability < 1 ? `${num(100 * course.probability, 0)} % · ` : "";
  const range = course.first_low_s !== course.first_high_s ? ` (${minutes(course.first_low_s)} – ${minutes(course.first_high_s)})` : "";
  cell.append(make("b", { text: `${share}${course.first_s ? `after ${minutes(course.first_s)}` : "now"}` }), make("span", { text: range, className: "muted" }));
  if (course.clears >= 0.5) cell.append(make("div", { text: `clears after ${minutes(course.cleared_s)}`, className: "tiny muted" }));
  return cell;
}

function alarms(answer) {
  const { node, body } = card("Alarms that would come", `rules in force now${answer.alarms_left_out ? `; ${answer.alarms_left_out} more` : ""}`, true);
  if (!answer.alarms.length) {
    body.append(make("div", { className: "empty" }, make("strong", { text: "No alarm either way" }), make("span", { text: "Within this time, on any draw.", className: "small" })));
    return node;
  }
  const rows = answer.alarms.map((row) => {
    const name = make("td", {}, make("div", { text: row.rule }), make("span", { text: row.point, className: "mono tiny muted" }));
    const severity = make("td", {}, badge(row.severity, row.severity));
    if (row.active_now) severity.append(" ", badge("neutral", "on now"));
    return make("tr", {}, severity, name, when(row.options[0]), when(row.options[1]));
  });
  body.append(table([["Severity"], ["Alarm"], ["Do nothing"], ["With the changes"]], rows));
  return node;
}

const band = (value, digits) => (!value || value.p50 === null ? "–" : `${num(value.p50, digits)} [${num(value.p10, digits)} – ${num(value.p90, digits)}]`);

function figures(answer) {
  const { node, body } = card("Energy and jobs", "difference to doing nothing", true);
  const [nothing, acting] = answer.energy.options;
  const line = (label, was, more) => make("tr", {}, make("td", { text: label }), make("td", { text: was, className: "num" }), make("td", { text: more, className: "num" }));
  const rows = [];
  if (nothing.facility_kwh) rows.push(line("Energy of the site, kWh", band(nothing.facility_kwh, 1), band(acting.facility_more_kwh, 2)));
  if (nothing.it_kwh) rows.push(line("Energy of IT, kWh", band(nothing.it_kwh, 1), band(acting.it_more_kwh, 2)));
  if (acting.more_cost) rows.push(line(`Cost, ${answer.energy.price.currency}`, num(nothing.facility_kwh.p50 * answer.energy.price.per_kwh, 2), band(acting.more_cost, 2)));
  if (acting.more_carbon_kg) rows.push(line("CO₂, kg", num((nothing.facility_kwh.p50 * answer.energy.price.carbon_g_kwh) / 1000, 1), band(acting.more_carbon_kg, 2)));
  for (const job of answer.jobs) {
    rows.push(line(`${job.name}: step time, s`, band(job.options[0].step_s, 2), job.options[1].slower_pct.p50 === null ? "–" : `${band(job.options[1].slower_pct, 1)} %`));
    rows.push(line(`${job.name}: GPU-hours lost`, band(job.options[0].lost_gpu_h, 1), band(job.options[1].more_lost_gpu_h, 2)));
  }
  body.append(table([["" ], ["Do nothing", true], ["With the changes, more", true]], rows));
  return node;
}

/** Show an answer in `host`. */
export function show(host, answer, links = []) {
  const plots = card("Side by side", "median, 10th to 90th percentile, alarm limits dashed");
  const tables = make("div", { className: "whatif__tables" }, alarms(answer), figures(answer));
  host.replaceChildren(summary(answer), tables, plots.node);
  if (links.length) host.firstChild.querySelector(".card__body").append(make("p", { className: "row small" }, ...links));
  for (const series of answer.series) pair(plots.body, answer, series);
  host.setAttribute("aria-busy", "false");
}

/** A sentence instead of an answer. */
export function message(host, title, hint) {
  const { node, body } = card(title);
  body.append(make("p", { text: hint, className: "muted" }));
  host.replaceChildren(node);
  host.setAttribute("aria-busy", "false");
}
