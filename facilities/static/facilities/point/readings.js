// Readings as they came, newest first: time, value, flag, sender, delay.

import { api } from "/static/js/api.js";

const PAGE = 25;
const FLAGS = { 1: ["good", "neutral"], 2: ["unknown", "neutral"], 3: ["suspect", "medium"], 4: ["fail", "critical"], 9: ["missing", "high"] };
const LATE_S = 60;

function cell(content, className = "") {
  const element = document.createElement("td");
  element.className = className;
  element.append(content);
  return element;
}

function badge(flag) {
  const [name, tone] = FLAGS[flag] ?? [String(flag), "neutral"];
  const element = document.createElement("span");
  element.className = `badge badge--${tone}`;
  element.textContent = name;
  return element;
}

/** Time to the millisecond, with the day where it is not today. */
function stamp(iso) {
  const at = new Date(iso);
  const time = `${at.toLocaleTimeString("en-GB")}.${String(at.getMilliseconds()).padStart(3, "0")}`;
  return at.toDateString() === new Date().toDateString() ? time : `${at.toLocaleDateString("en-GB")} ${time}`;
}

function delay(seconds) {
  if (Math.abs(seconds) < 1) return `${Math.round(seconds * 1000)} ms`;
  return Math.abs(seconds) < 120 ? `${seconds.toFixed(1)} s` : `${Math.round(seconds / 60)} min`;
}

/** Fill the table of `root`; returns a function that shows what has come since (at most every 2 s). */
export function startReadings(root, { base, text }) {
  const body = root.querySelector("tbody");
  const older = root.querySelector("[data-do=older]");
  const newest = root.querySelector("[data-do=newest]");
  const flag = root.querySelector("select");
  const state = root.querySelector("[data-part=state]");
  let before = null;
  let next = null;
  let waiting = false;

  async function load() {
    const query = new URLSearchParams({ limit: PAGE });
    if (before) query.set("before", before);
    if (flag.value) query.set("quality", flag.value);
    try {
      const page = await api(`${base}/readings?${query}`);
      next = page.next_before;
      body.replaceChildren(
        ...page.results.map((reading) => {
          const row = document.createElement("tr");
          const late = reading.delay_s > LATE_S || reading.delay_s < -1;
          row.append(
            cell(stamp(reading.ts), "readings__time"),
            cell(text(reading.value), "num"),
            cell(badge(reading.quality)),
            cell(reading.source ?? "–"),
            cell(delay(reading.delay_s), late ? "num readings__late" : "num"),
          );
          return row;
        }),
      );
      state.textContent = page.results.length ? "" : "No readings here.";
    } catch (error) {
      state.textContent = error.message;
    }
    older.disabled = !next;
    newest.disabled = before === null;
  }

  older.addEventListener("click", () => {
    before = next;
    load();
  });
  newest.addEventListener("click", () => {
    before = null;
    load();
  });
  flag.addEventListener("change", () => {
    before = null;
    load();
  });
  load();
  return () => {
    if (before || waiting || document.hidden) return;
    waiting = true;
    setTimeout(() => {
      waiting = false;
      if (!before) load();
    }, 2000);
  };
}
