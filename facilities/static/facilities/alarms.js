// Alarm console: active first, worst first, live; j/k move, a acknowledges.

import { api } from "/static/js/api.js";
import { ago, clock, num } from "/static/js/format.js";
import { connect } from "/static/js/live.js";
import { toast } from "/static/js/toast.js";

const data = (id) => JSON.parse(document.getElementById(id).textContent);
const RANK = { critical: 0, high: 1, medium: 2, low: 3 };
const SHOWN = 200;
const severity = data("alarm-severity");
const body = document.getElementById("rows");
const dialog = document.getElementById("acknowledge");
const alarms = new Map(data("alarm-data").map((alarm) => [alarm.id, alarm]));
let counts = data("alarm-counts");
let selected = Number(location.hash.replace("#alarm-", "")) || null;

const unit = (code) => ({ Cel: "°C", 1: "" })[code] ?? code;
const active = (alarm) => !alarm.cleared_at;

function ordered() {
  return [...alarms.values()]
    .sort(
      (a, b) =>
        active(b) - active(a) ||
        (active(a) ? RANK[a.severity] - RANK[b.severity] || b.raised_at.localeCompare(a.raised_at) : b.cleared_at.localeCompare(a.cleared_at)) ||
        b.id - a.id,
    )
    .slice(0, SHOWN);
}

function cell(row, className, ...content) {
  const td = document.createElement("td");
  td.className = className;
  td.append(...content);
  row.append(td);
}

function stateText(alarm) {
  const who = alarm.acknowledged_by ? ` by ${alarm.acknowledged_by}` : "";
  const seen = alarm.acknowledged_at ? `acknowledged ${clock(alarm.acknowledged_at)}${who}` : "not acknowledged";
  return active(alarm) ? `active, ${seen}` : `cleared ${clock(alarm.cleared_at)}, ${seen}`;
}

function draw(alarm) {
  const row = document.createElement("tr");
  row.className = "alarm";
  row.id = `alarm-${alarm.id}`;
  row.tabIndex = alarm.id === selected ? 0 : -1;
  row.dataset.state = alarm.state;
  row.dataset.severity = alarm.severity;
  row.setAttribute("aria-selected", String(alarm.id === selected));
  const badge = document.createElement("span");
  badge.className = `badge badge--${alarm.severity}`;
  badge.textContent = alarm.severity;
  const link = document.createElement("a");
  link.className = "mono";
  link.href = `/points/${encodeURIComponent(alarm.point)}/`;
  link.textContent = alarm.point;
  const raised = document.createElement("span");
  raised.textContent = ago(alarm.raised_at);
  raised.title = new Date(alarm.raised_at).toLocaleString("en-GB");
  raised.dataset.ago = alarm.raised_at;
  cell(row, "", badge);
  cell(row, "", link);
  cell(row, "message", alarm.message);
  cell(row, "num", `${num(alarm.value)} ${unit(alarm.unit)}`);
  cell(row, "num", `${num(alarm.peak_value)} ${unit(alarm.unit)}`);
  cell(row, "num", raised);
  cell(row, "small muted", stateText(alarm));
  const action = [];
  if (dialog && !alarm.acknowledged_at) {
    const button = document.createElement("button");
    button.className = "btn";
    button.type = "button";
    button.textContent = "Acknowledge";
    button.tabIndex = -1;
    button.addEventListener("click", (event) => {
      event.stopPropagation();
      select(alarm.id);
      ask();
    });
    action.push(button);
  }
  cell(row, "action", ...action);
  row.addEventListener("click", () => select(alarm.id));
  return row;
}

function render() {
  const list = ordered();
  if (!list.some((alarm) => alarm.id === selected)) selected = list[0]?.id ?? null;
  const hadFocus = body.contains(document.activeElement);
  body.replaceChildren(...list.map(draw));
  if (hadFocus) document.getElementById(`alarm-${selected}`)?.focus();
  document.getElementById("console").hidden = list.length === 0;
  document.getElementById("none").hidden = list.length > 0;
  for (const node of document.querySelectorAll("[data-severity-count]")) {
    node.textContent = String(counts[node.dataset.severityCount] ?? 0);
  }
  const open = list.filter(active);
  const unseen = open.filter((alarm) => !alarm.acknowledged_at).length;
  document.getElementById("summary").textContent = open.length ? `${open.length} active, ${unseen} not acknowledged` : "nothing active";
}

function select(id) {
  selected = id;
  for (const row of body.rows) {
    const on = row.id === `alarm-${id}`;
    row.setAttribute("aria-selected", String(on));
    row.tabIndex = on ? 0 : -1;
    if (on) {
      row.focus();
      row.scrollIntoView({ block: "nearest" });
    }
  }
}

function move(step) {
  const list = ordered();
  const at = list.findIndex((alarm) => alarm.id === selected);
  const next = list[Math.min(Math.max(at + step, 0), list.length - 1)];
  if (next) select(next.id);
}

function ask() {
  const alarm = alarms.get(selected);
  if (!dialog || !alarm || alarm.acknowledged_at || dialog.open) return;
  document.getElementById("acknowledge-what").textContent = `${alarm.point}: ${alarm.message}`;
  dialog.querySelector("textarea").value = "";
  dialog.dataset.alarm = String(alarm.id);
  dialog.returnValue = "";
  dialog.showModal();
}

dialog?.addEventListener("close", async () => {
  if (dialog.returnValue !== "ok") return;
  const id = Number(dialog.dataset.alarm);
  try {
    const note = dialog.querySelector("textarea").value;
    const alarm = await api(`/api/v1/alarms/${id}/acknowledge`, { method: "POST", body: { note } });
    alarms.set(id, alarm);
    render();
    select(id);
    toast(`${alarm.point} acknowledged`, "ok");
  } catch (error) {
    toast(error.message, "high");
  }
});
dialog?.querySelector("textarea").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) dialog.querySelector("[value=ok]").click();
});

document.addEventListener("keydown", (event) => {
  if (dialog?.open || event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, textarea, select")) return;
  const actions = {
    j: () => move(1),
    k: () => move(-1),
    a: ask,
    Enter: () => event.target.matches("tr") && body.querySelector(`#alarm-${selected} a`)?.click(),
  };
  const action = actions[event.key];
  if (!action) return;
  if (event.key !== "Enter") event.preventDefault();
  action();
});

async function reload() {
  try {
    const query = severity ? `&severity=${severity}` : "";
    const page = await api(`/api/v1/alarms/?page_size=${SHOWN}${query}`);
    alarms.clear();
    for (const alarm of page.results) alarms.set(alarm.id, alarm);
    const open = await api("/api/v1/alarms/?open=true&page_size=1000");
    counts = {};
    for (const alarm of open.results) counts[alarm.severity] = (counts[alarm.severity] ?? 0) + 1;
    render();
  } catch {
    // live.js shows that the connection is lost and calls again after it is back.
  }
}

connect("/ws/alarms/", (message) => {
  if (message.type === "reconnected") reload();
  if (message.type !== "alarm") return;
  const { alarm, event } = message;
  if (event === "raised") counts[alarm.severity] = (counts[alarm.severity] ?? 0) + 1;
  if (event === "cleared") counts[alarm.severity] = Math.max((counts[alarm.severity] ?? 1) - 1, 0);
  if (severity && alarm.severity !== severity) {
    render();
    return;
  }
  alarms.set(alarm.id, alarm);
  if (event === "raised" && alarm.severity === "critical") toast(`${alarm.point}: ${alarm.message}`, "critical");
  render();
});

render();
setInterval(() => {
  for (const node of body.querySelectorAll("[data-ago]")) node.textContent = ago(node.dataset.ago);
}, 1000);
