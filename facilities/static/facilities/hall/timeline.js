// What happened, under the slider and as a list that follows the time shown.

import { node } from "./svg.js";

const RANK = ["critical", "high", "medium", "low"];
const LISTED = 60;

const clock = (seconds) => new Date(seconds * 1000).toLocaleTimeString("en-GB");

export class Timeline {
  constructor({ ribbon, list, onSeek }) {
    Object.assign(this, { ribbon, list, onSeek });
    this.alarms = [];
    this.events = [];
    this.period = { start: 0, end: 1, now: null };
  }

  set(answer, period) {
    const seconds = (text) => (text ? Date.parse(text) / 1000 : null);
    this.alarms = answer.alarms.map((alarm) => ({ ...alarm, from: seconds(alarm.raised_at), to: seconds(alarm.cleared_at) ?? Infinity }));
    this.events = answer.events.map((event) => ({ ...event, time: seconds(event.at) }));
    this.setPeriod(period);
  }

  setPeriod(period) {
    this.period = period;
    this.draw();
  }

  activeAt(time) {
    return this.alarms.filter((alarm) => alarm.from <= time && time < alarm.to);
  }

  /** Alarms as bars, everything else as ticks; the part to come is hatched. */
  draw() {
    const { start, end, now } = this.period;
    const x = (time) => Math.min(Math.max((1000 * (time - start)) / (end - start), 0), 1000);
    const parts = [];
    if (now !== null && now < end) parts.push(node("rect", { class: "to-come", x: x(now), y: 0, width: 1000 - x(now), height: 26 }));
    for (const alarm of [...this.alarms].sort((a, b) => RANK.indexOf(b.severity) - RANK.indexOf(a.severity))) {
      if (alarm.suppressed || alarm.from > end || alarm.to < start) continue;
      const lane = RANK.indexOf(alarm.severity);
      const until = Math.min(alarm.to, now ?? end);
      const bar = node("rect", { class: "bar", "data-tone": alarm.severity, x: x(alarm.from), y: 2 + lane * 4, width: Math.max(x(until) - x(alarm.from), 2), height: 3.4 });
      bar.append(node("title", {}, `${clock(alarm.from)} ${alarm.rule} on ${alarm.point}`));
      parts.push(bar);
    }
    for (const event of this.events) {
      if (["raised", "cleared"].includes(event.kind) || event.time < start || event.time > end) continue;
      const tick = node("rect", { class: "tick", "data-tone": event.tone, x: x(event.time) - 1, y: 18, width: 2.5, height: 8 });
      tick.append(node("title", {}, `${clock(event.time)} ${event.text}`));
      parts.push(tick);
    }
    this.ribbon.replaceChildren(...parts);
    this.drawList();
  }

  drawList() {
    const { start, end } = this.period;
    const inside = this.events.filter((event) => event.time >= start && event.time <= end);
    this.rows = inside.slice(-LISTED).map((event) => {
      const row = document.createElement("li");
      row.dataset.tone = ["critical", "high", "medium", "low"].includes(event.tone) ? "critical" : event.tone === "accent" ? "info" : event.tone;
      const at = document.createElement("button");
      at.type = "button";
      at.className = "event__time num";
      at.textContent = clock(event.time);
      at.title = "Show this moment";
      at.addEventListener("click", () => this.onSeek(event.time));
      const text = document.createElement(event.href ? "a" : "span");
      if (event.href) text.href = event.href;
      text.textContent = event.text;
      row.append(at, text);
      return { row, time: event.time };
    });
    if (this.rows.length) this.list.replaceChildren(...this.rows.map(({ row }) => row));
    else {
      const empty = document.createElement("li");
      empty.className = "muted small none";
      empty.textContent = "Nothing happened in this period.";
      this.list.replaceChildren(empty);
    }
    this.follow(this.shown ?? Infinity);
  }

  /** Dim what has not happened yet at the time shown, and keep the newest in sight. */
  follow(time) {
    this.shown = time;
    let newest = null;
    for (const { row, time: at } of this.rows ?? []) {
      row.toggleAttribute("data-later", at > time);
      if (at <= time) newest = row;
    }
    if (newest && newest !== this.newest) {
      this.list.scrollTop = newest.offsetTop - this.list.clientHeight / 2;
      this.newest = newest;
    }
  }
}
