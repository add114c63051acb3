// One alarm in full: facts, what can be done, its history, the alarms that follow from it.

import { api } from "/static/js/api.js";
import { num } from "/static/js/format.js";
import { shelved } from "./alarm-filters.js";
import { unit } from "./alarm-rows.js";

const FLAGS = { 1: "good", 2: "unknown", 3: "suspect", 4: "fail", 9: "missing" };
const TONES = { raised: "critical", cleared: "ok", unsuppressed: "critical", acknowledged: "info", assigned: "info", noted: "info" };
const LABELS = { unsuppressed: "no longer hidden", suppressed: "hidden as a consequence", unshelved: "taken from the shelf" };

const time = (iso) => new Date(iso).toLocaleString("en-GB");

function node(tag, text = "", className = "") {
  const made = document.createElement(tag);
  made.textContent = text;
  if (className) made.className = className;
  return made;
}

export class Detail {
  constructor({ actions, alarms, people, me }) {
    Object.assign(this, { actions, alarms, people, me });
    this.dialog = document.getElementById("detail");
    this.id = null;
    this.dialog.querySelector("[data-close]").addEventListener("click", () => this.dialog.close());
    this.dialog.addEventListener("click", (event) => event.target === this.dialog && this.dialog.close());
  }

  async open(id) {
    if (!id) return;
    this.id = id;
    await this.load();
    if (!this.dialog.open) this.dialog.showModal();
  }

  refresh(id) {
    if (this.dialog.open && id === this.id) this.load();
  }

  async load() {
    const holder = document.getElementById("detail-body");
    try {
      this.draw(holder, await api(`/api/v1/alarms/${this.id}/`));
    } catch (error) {
      holder.replaceChildren(node("p", error.message, "error-text"));
    }
  }

  draw(holder, alarm) {
    document.getElementById("detail-title").textContent = alarm.message;
    const facts = document.createElement("dl");
    facts.className = "kv";
    const fact = (name, value) => {
      const dd = node("dd");
      dd.append(value);
      facts.append(node("dt", name), dd);
    };
    const link = node("a", alarm.point, "mono");
    link.href = `/points/${encodeURIComponent(alarm.point)}/`;
    const asset = node("a", alarm.asset, "mono");
    asset.href = `/assets/${encodeURIComponent(alarm.asset)}/`;
    fact("Point", link);
    fact("Asset", asset);
    const tried = node("a", "Try on the twin what would help");
    tried.href = `/whatif/?asset=${encodeURIComponent(alarm.asset)}&record=${encodeURIComponent(alarm.point)}`;
    fact("What if", tried);
    fact("Rule", alarm.basis ? `${alarm.rule} (${alarm.basis})` : alarm.rule);
    fact("Severity", alarm.severity + (alarm.safety ? ", protects people" : ""));
    fact("Raised", `${time(alarm.raised_at)} at ${`${num(alarm.value, 2)} ${unit(alarm.unit)}`.trim()}, flag ${FLAGS[alarm.quality] ?? alarm.quality}`);
    fact("Worst", `${num(alarm.peak_value, 2)} ${unit(alarm.unit)}`);
    if (alarm.cleared_at) fact("Cleared", time(alarm.cleared_at));
    if (alarm.group !== alarm.id) {
      const head = this.alarms.get(alarm.group);
      const open = node("button", head ? `${head.point}: ${head.rule}` : `alarm ${alarm.group}`, "btn btn-ghost");
      open.type = "button";
      open.addEventListener("click", () => this.open(alarm.group));
      fact(alarm.suppressed ? "Hidden under" : "Group of", open);
    }
    if (alarm.consequences.length) fact("Consequences", String(alarm.consequences.length));
    if (shelved(alarm)) fact("Shelved", `until ${time(alarm.shelved_until)}`);
    if (alarm.maintenance) fact("Maintenance", alarm.maintenance);
    if (alarm.hall) {
      const map = node("a", "Play back on the hall map");
      map.href = `/hall/${encodeURIComponent(alarm.hall)}/?incident=${alarm.group}`;
      fact("Hall", map);
    }
    const parts = [facts];
    if (this.actions.may) parts.push(this.tools(alarm));
    const history = document.createElement("ol");
    history.className = "timeline";
    for (const line of [...alarm.history].reverse()) {
      const item = document.createElement("li");
      item.dataset.tone = TONES[line.event] ?? "";
      item.append(node("time", time(line.at)), node("b", LABELS[line.event] ?? line.event));
      if (line.actor) item.append(` by ${line.actor}`);
      if (line.note) item.append(node("div", line.note));
      history.append(item);
    }
    parts.push(history);
    holder.replaceChildren(...parts);
  }

  tools(alarm) {
    const row = node("div", "", "detail__actions");
    const button = (label, act, primary = false) => {
      const made = node("button", label, primary ? "btn btn-primary" : "btn");
      made.type = "button";
      made.addEventListener("click", act);
      row.append(made);
    };
    if (!alarm.acknowledged_at) button("Acknowledge", () => this.actions.acknowledge(alarm), true);
    button("Note", () => this.actions.note(alarm));
    const isShelved = shelved(alarm);
    if (isShelved || !alarm.safety) button(isShelved ? "Take from the shelf" : "Shelve", () => this.actions.shelveOrNot(alarm, isShelved));
    const label = node("label", "", "row small");
    const choice = document.createElement("select");
    choice.className = "input";
    choice.append(new Option("nobody", ""), ...this.people.map((name) => new Option(name === this.me ? `${name} (you)` : name, name)));
    choice.value = alarm.assignee ?? "";
    choice.addEventListener("change", () => this.actions.assign(alarm, choice.value || null));
    label.append(node("span", "Assigned to", "muted"), choice);
    row.append(label);
    return row;
  }
}
