// The what-if workbench: puts builder, answer and runs together.

import { api } from "/static/js/api.js";
import { toast } from "/static/js/toast.js";
import { Builder } from "./builder.js";
import { fromUrl, toBody, toUrl } from "./question.js";
import { message, show } from "./results.js";
import { Runs } from "./runs.js";

const read = (id) => JSON.parse(document.getElementById(id).textContent);
const root = document.querySelector(".whatif");
const limits = read("whatif-limits");
const presets = read("whatif-presets");
const host = root.querySelector("[data-answer]");
const problem = root.querySelector("[data-problem]");
const buttons = [...root.querySelectorAll("[data-run], [data-monte]")];
const duration = root.querySelector("[data-duration]");
const draws = root.querySelector("[data-draws]");
const record = root.querySelector("[data-record]");
let question = fromUrl();
let asking = null;

const builder = new Builder(root, read("whatif-assets"), {
  most: limits.changes,
  changed(changes) {
    question.changes = changes;
    delete question.title;
    toUrl(question);
  },
});
const runs = new Runs(root, {
  answered(run, links) {
    toUrl(question, run.id);
    show(host, run.answer, links);
  },
  failed(text) {
    problem.textContent = text;
    host.setAttribute("aria-busy", "false");
  },
});

function fill() {
  builder.set(question.changes);
  if (![...duration.options].some((option) => Number(option.value) === question.duration_s)) {
    duration.append(new Option(`${Math.round(question.duration_s / 60)} min`, question.duration_s));
  }
  duration.value = question.duration_s;
  if (question.draws) draws.value = Math.min(question.draws, limits.max_draws);
  record.value = question.record.join("\n");
}

function current() {
  question.duration_s = Number(duration.value);
  question.draws = Math.round(Number(draws.value)) || limits.draws;
  question.record = record.value.split(/\s+/).filter(Boolean);
  return question;
}

async function run() {
  asking?.abort();
  asking = new AbortController();
  const mine = asking;
  problem.textContent = "";
  host.setAttribute("aria-busy", "true");
  toUrl(current());
  try {
    const answer = await api("/api/v1/twin/whatif", { method: "POST", body: toBody(question, question.draws), signal: mine.signal });
    show(host, answer);
  } catch (error) {
    if (error.name === "AbortError") return;
    problem.textContent = error.message;
    host.setAttribute("aria-busy", "false");
  }
}

async function monte() {
  problem.textContent = "";
  for (const button of buttons) button.disabled = true;
  try {
    await runs.start(toBody(current(), limits.run_draws));
  } catch (error) {
    problem.textContent = error.message;
  }
  for (const button of buttons) button.disabled = button.hasAttribute("title");
}

root.querySelector("[data-run]").addEventListener("click", run);
root.querySelector("[data-monte]").addEventListener("click", monte);
duration.addEventListener("change", () => toUrl(current()));
root.querySelector("[data-preset]").addEventListener("change", (event) => {
  const preset = presets[Number(event.target.value)];
  if (!event.target.value || !preset) return;
  question.changes = preset.changes.map((change) => ({ ...change }));
  delete question.title;
  builder.set(question.changes);
  run();
});
document.querySelector("[data-share]").addEventListener("click", async () => {
  const shown = new URLSearchParams(location.search).get("run");
  toUrl(current(), shown);
  try {
    await navigator.clipboard.writeText(location.href);
    toast("The link is copied.", "ok");
  } catch {
    toast("The address of this page is the link: copy it from the address bar.");
  }
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    run();
  }
});

async function open() {
  const id = Number(new URLSearchParams(location.search).get("run"));
  if (Number.isInteger(id) && id > 0) {
    try {
      const kept = await api(`/api/v1/twin/whatif/runs/${id}/`);
      question = { ...question, ...kept.question, record: kept.question.record ?? [] };
      fill();
      runs.follow(id);
    } catch (error) {
      message(host, "That run cannot be shown", error.message);
    }
    return;
  }
  fill();
  const asked = new URLSearchParams(location.search).get("asset");
  if (asked && !question.changes.length) builder.offer(asked);
  if (question.changes.length) run();
}

open();
