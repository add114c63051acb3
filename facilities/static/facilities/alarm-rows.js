// Rows of the console: order, groups under their root, one row of the table.

import { ago, clock, num } from "/static/js/format.js";
import { shelved } from "./alarm-filters.js";

const RANK = { critical: 0, high: 1, medium: 2, low: 3 };
const UNITS = { Cel: "°C", "Cel/min": "K/min", 1: "" };

export const unit = (code) => UNITS[code] ?? code;
export const active = (alarm) => !alarm.cleared_at;
export const quiet = (alarm) => alarm.suppressed || shelved(alarm) || Boolean(alarm.maintenance);

function compare(a, b) {
  return (
    active(b) - active(a) ||
    (active(a)
      ? quiet(a) - quiet(b) || RANK[a.severity] - RANK[b.severity] || b.raised_at.localeCompare(a.raised_at)
      : b.cleared_at.localeCompare(a.cleared_at)) ||
    b.id - a.id
  );
}

/**
 * The list as it is shown: [{alarm, depth, hidden}] with consequences behind the head of their
 * group. `hidden` counts the active consequences that a closed head stands for.
 */
export function arranged(alarms, opened, most) {
  const under = new Map();
  const heads = [];
  for (const alarm of [...alarms.values()].sort(compare)) {
    const head = alarm.group !== alarm.id && alarm.suppressed ? alarms.get(alarm.group) : undefined;
    if (head) under.set(head.id, [...(under.get(head.id) ?? []), alarm]);
    else heads.push(alarm);
  }
  const list = [];
  for (const alarm of heads) {
    const behind = under.get(alarm.id) ?? [];
    list.push({ alarm, depth: 0, behind });
    if (opened.has(alarm.id)) for (const one of behind) list.push({ alarm: one, depth: 1, behind: [] });
    if (list.length >= most) break;
  }
  return list;
}

function cell(row, className, ...content) {
  const td = document.createElement("td");
  td.className = className;
  td.append(...content);
  row.append(td);
  return td;
}

function span(className, text, title = "") {
  const node = document.createElement("span");
  node.className = className;
  node.textContent = text;
  if (title) node.title = title;
  return node;
}

function stateText(alarm) {
  const who = alarm.acknowledged_by ? ` by ${alarm.acknowledged_by}` : "";
  const seen = alarm.acknowledged_at ? `acknowledged ${clock(alarm.acknowledged_at)}${who}` : "not acknowledged";
  return active(alarm) ? `active, ${seen}` : `cleared ${clock(alarm.cleared_at)}, ${seen}`;
}

function marks(alarm) {
  const holder = span("marks", "");
  if (alarm.safety) holder.append(span("mark mark--safety", "safety", "Protects people; never hidden"));
  if (alarm.quality > 2) holder.append(span("mark mark--flag", `flag ${alarm.quality}`, "QARTOD flag of the reading"));
  if (shelved(alarm)) holder.append(span("mark", `shelved until ${clock(alarm.shelved_until)}`));
  if (alarm.maintenance) holder.append(span("mark", "maintenance", alarm.maintenance));
  if (alarm.occurrences > 1) holder.append(span("mark", `×${alarm.occurrences}`, "Came back while it was shelved"));
  if (alarm.assignee) holder.append(span("mark", `@${alarm.assignee}`));
  return holder;
}

/** Draw one row. `on` holds what its controls do: select, toggle, acknowledge. */
export function draw({ alarm, depth, behind }, { selected, opened, mayAct, on }) {
  const row = document.createElement("tr");
  row.className = "alarm";
  row.id = `alarm-${alarm.id}`;
  row.tabIndex = alarm.id === selected ? 0 : -1;
  row.dataset.state = alarm.state;
  row.dataset.severity = alarm.severity;
  row.dataset.depth = String(depth);
  if (quiet(alarm)) row.dataset.quiet = "";
  row.setAttribute("aria-selected", String(alarm.id === selected));
  const link = document.createElement("a");
  link.className = "mono";
  link.href = `/points/${encodeURIComponent(alarm.point)}/`;
  link.textContent = alarm.point;
  link.tabIndex = -1;
  const raised = span("", ago(alarm.raised_at), new Date(alarm.raised_at).toLocaleString("en-GB"));
  raised.dataset.ago = alarm.raised_at;
  cell(row, "severity", span(`badge badge--${alarm.severity}`, alarm.severity));
  cell(row, "point", link);
  const message = cell(row, "message", alarm.message);
  if (behind.length) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "group-toggle";
    button.tabIndex = -1;
    const open = opened.has(alarm.id);
    button.setAttribute("aria-expanded", String(open));
    button.textContent = `${open ? "−" : "+"} ${behind.length} ${behind.length === 1 ? "consequence" : "consequences"}`;
    button.addEventListener("click", (event) => {
      event.stopPropagation();
      on.toggle(alarm.id);
    });
    message.append(button);
  }
  message.append(marks(alarm));
  cell(row, "num value", `${num(alarm.value)} ${unit(alarm.unit)}`);
  cell(row, "num peak", `${num(alarm.peak_value)} ${unit(alarm.unit)}`);
  cell(row, "num raised", raised);
  cell(row, "small muted state", stateText(alarm));
  const action = [];
  if (mayAct && !alarm.acknowledged_at && depth === 0) {
    const button = document.createElement("button");
    button.className = "btn";
    button.type = "button";
    button.textContent = "Acknowledge";
    button.tabIndex = -1;
    button.addEventListener("click", (event) => {
      event.stopPropagation();
      on.acknowledge(alarm.id);
    });
    action.push(button);
  }
  cell(row, "action", ...action);
  row.addEventListener("click", (event) => {
    if (!event.target.closest("a")) on.select(alarm.id);
  });
  row.addEventListener("dblclick", () => on.open(alarm.id));
  return row;
}
