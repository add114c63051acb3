// Alarm console: active first, worst first, consequences under their root, live, keyboard-worked.

import { api } from "/static/js/api.js";
import { ago } from "/static/js/format.js";
import { connect } from "/static/js/live.js";
import { toast } from "/static/js/toast.js";
import { Actions } from "./alarm-actions.js";
import { Detail } from "./alarm-detail.js";
import { Filters, shelved } from "./alarm-filters.js";
import { active, arranged, draw, quiet } from "./alarm-rows.js";

const data = (id) => JSON.parse(document.getElementById(id).textContent);
const SHOWN = 300;
const body = document.getElementById("rows");
const me = data("alarm-me");
const alarms = new Map(data("alarm-data").map((alarm) => [alarm.id, alarm]));
const opened = new Set();
let counts = data("alarm-counts");
let selected = Number(location.hash.replace("#alarm-", "")) || null;
let list = [];

const filters = new Filters(document.getElementById("filters"), me, () => reload());
const actions = new Actions({ changed: take });
const detail = new Detail({ actions, alarms, people: data("alarm-people"), me });

function take(alarm) {
  alarms.set(alarm.id, alarm);
  render();
  detail.refresh(alarm.id);
}

function render() {
  list = arranged(alarms, opened, SHOWN);
  const head = alarms.get(selected);
  if (head && !list.some(({ alarm }) => alarm.id === selected) && alarms.has(head.group)) selected = head.group;
  if (!list.some(({ alarm }) => alarm.id === selected)) selected = list[0]?.alarm.id ?? null;
  const hadFocus = body.contains(document.activeElement);
  const on = { select, toggle, acknowledge: (id) => { select(id); actions.acknowledge(alarms.get(id)); }, open: (id) => detail.open(id) };
  body.replaceChildren(...list.map((item) => draw(item, { selected, opened, mayAct: actions.may, on })));
  if (hadFocus) document.getElementById(`alarm-${selected}`)?.focus();
  document.getElementById("console").hidden = list.length === 0;
  document.getElementById("none").hidden = list.length > 0 || filters.any;
  document.getElementById("none-fits").hidden = list.length > 0 || !filters.any;
  for (const node of document.querySelectorAll("[data-severity-count]")) {
    const count = counts[node.dataset.severityCount] ?? 0;
    node.textContent = String(count);
    node.parentElement.toggleAttribute("data-some", count > 0);
  }
  const open = [...alarms.values()].filter(active);
  const loud = open.filter((alarm) => !quiet(alarm));
  const unseen = loud.filter((alarm) => !alarm.acknowledged_at).length;
  const hidden = open.filter((alarm) => alarm.suppressed).length;
  const onShelf = open.filter(shelved).length;
  document.getElementById("summary").textContent = open.length
    ? [`${open.length} active`, `${unseen} to acknowledge`, hidden && `${hidden} consequences`, onShelf && `${onShelf} shelved`].filter(Boolean).join(", ")
    : "nothing active";
}

function select(id) {
  selected = id;
  history.replaceState(null, "", `${location.pathname}${location.search}#alarm-${id}`);
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
  const at = list.findIndex(({ alarm }) => alarm.id === selected);
  const next = list[Math.min(Math.max(at + step, 0), list.length - 1)];
  if (next) select(next.alarm.id);
}

function toggle(id) {
  const head = alarms.get(id)?.suppressed ? alarms.get(id).group : id;
  if (!opened.delete(head)) opened.add(head);
  selected = head;
  render();
  select(head);
}

const current = () => alarms.get(selected);
const behind = (id) => [...alarms.values()].filter((alarm) => alarm.group === id && alarm.id !== id && active(alarm) && !alarm.acknowledged_at);

const KEYS = {
  j: () => move(1),
  k: () => move(-1),
  ArrowDown: () => move(1),
  ArrowUp: () => move(-1),
  a: () => actions.acknowledge(current()),
  A: () => actions.acknowledgeGroup(current(), behind(selected)),
  s: () => actions.shelveOrNot(current(), shelved(current())),
  n: () => actions.note(current()),
  m: () => actions.assign(current(), current().assignee === me ? null : me),
  g: () => toggle(selected),
  o: () => body.querySelector(`#alarm-${selected} a`)?.click(),
  Enter: () => detail.open(selected),
  "/": () => document.querySelector("#filters [name=search]").focus(),
  "?": () => document.getElementById("keys").showModal(),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (event.target.matches("input, textarea, select")) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  if (event.target.matches("button, a") && event.key === "Enter") return;
  const action = KEYS[event.key];
  const anywhere = event.key === "?" || event.key === "/";
  if (!action || (!anywhere && !current())) return;
  if (event.key.startsWith("Arrow") && !body.contains(event.target)) return;
  event.preventDefault();
  action();
});

async function reload() {
  try {
    const [page, open] = await Promise.all([
      api(`/api/v1/alarms/?page_size=${SHOWN}&${filters.query()}`),
      api("/api/v1/alarms/?open=true&suppressed=false&page_size=1000"),
    ]);
    alarms.clear();
    for (const alarm of page.results) alarms.set(alarm.id, alarm);
    counts = {};
    for (const alarm of open.results) counts[alarm.severity] = (counts[alarm.severity] ?? 0) + 1;
    render();
  } catch (error) {
    // When the connection is lost live.js shows it and calls again after it is back.
    if (error.status) toast(error.message, "high");
  }
}

let waiting = null;
function reloadSoon() {
  waiting ??= setTimeout(() => {
    waiting = null;
    reload();
  }, 500);
}

connect("/ws/alarms/", (message) => {
  if (message.type === "reconnected") reload();
  if (message.type === "alarms.changed") reloadSoon();
  if (message.type !== "alarm") return;
  const { alarm, event } = message;
  const before = alarms.get(alarm.id);
  const counted = (one) => one && active(one) && !one.suppressed;
  if (before || event === "raised") {
    counts[alarm.severity] = Math.max((counts[alarm.severity] ?? 0) + Boolean(counted(alarm)) - Boolean(counted(before)), 0);
  } else {
    reloadSoon();
  }
  if (filters.fits(alarm)) alarms.set(alarm.id, alarm);
  else alarms.delete(alarm.id);
  if (event === "raised" && alarm.severity === "critical" && !quiet(alarm)) toast(`${alarm.point}: ${alarm.message}`, "critical");
  render();
  detail.refresh(alarm.id);
});

render();
setInterval(() => {
  for (const node of body.querySelectorAll("[data-ago]")) node.textContent = ago(node.dataset.ago);
}, 1000);
