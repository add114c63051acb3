// The imports page: asks for the progress of unfinished files, and stops or restarts them.
import { api } from "/static/js/api.js";
import { toast } from "/static/js/toast.js";

const TONES = { failed: "high", done: "ok", parsing: "info", embedding: "info" };
const ACTIVE = new Set(["queued", "parsing", "embedding"]);
const FAST_MS = 1500;
const SLOW_MS = 10_000;

const rows = () => [...document.querySelectorAll("tr[data-job]")];
const unfinished = () => rows().filter((row) => ACTIVE.has(row.dataset.state));

/** Write a job's state into its row. */
function show(row, job) {
  row.dataset.state = job.state;
  const badge = row.querySelector("[data-badge]");
  badge.textContent = job.state_label;
  badge.className = `badge badge--${TONES[job.state] ?? "neutral"}`;
  const note = row.querySelector("[data-note]");
  note.textContent = job.note;
  note.hidden = !job.note;
  const bar = row.querySelector("progress");
  bar.hidden = !job.passages_total;
  bar.max = job.passages_total || 1;
  bar.value = job.passages_done;
  row.querySelector("[data-count]").textContent = job.passages_total ? `${job.passages_done}/${job.passages_total}` : "";
  if (job.document_url && !row.querySelector(".imports__name a")) {
    const link = document.createElement("a");
    link.href = job.document_url;
    link.textContent = job.source_path;
    row.querySelector(".imports__name").replaceChildren(link);
  }
  const [cancel, retry] = ["cancel", "retry"].map((act) => row.querySelector(`[data-act=${act}]`));
  if (cancel) cancel.hidden = !job.can_cancel;
  if (retry) retry.hidden = !job.can_retry;
}

async function poll() {
  const open = unfinished();
  try {
    if (open.length) {
      const ids = open.map((row) => row.dataset.job).join(",");
      const found = await api(`/api/v1/knowledge/imports?page_size=100&ids=${ids}`);
      const byId = new Map(found.results.map((job) => [String(job.id), job]));
      for (const row of open) if (byId.has(row.dataset.job)) show(row, byId.get(row.dataset.job));
    }
    const cards = [...document.querySelectorAll("[data-model]")];
    if (cards.length) await showModels(cards);
  } catch (error) {
    if (error.status === 401 || error.status === 403) return; // signed out: nothing more to ask for
  }
  setTimeout(poll, unfinished().length || document.querySelector("[data-model]") ? FAST_MS : SLOW_MS);
}

async function showModels(cards) {
  const models = await api("/api/v1/knowledge/embedding-models");
  for (const card of cards) {
    const model = models.find((item) => item.name === card.dataset.model);
    if (!model || model.state !== "building") {
      toast(`The embedding model ${card.dataset.model} is ${model ? model.state : "gone"}.`, "ok");
      card.remove();
      continue;
    }
    const bar = card.querySelector("progress");
    bar.max = model.total || 1;
    bar.value = model.done;
    card.querySelector("[data-model-done]").textContent = model.done;
    card.querySelector("[data-model-total]").textContent = model.total;
    const error = card.querySelector("[data-model-error]");
    error.textContent = model.error;
    error.hidden = !model.error;
  }
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-act]");
  if (!button) return;
  const row = button.closest("tr");
  button.disabled = true;
  try {
    show(row, await api(`/api/v1/knowledge/imports/${row.dataset.job}/${button.dataset.act}`, { method: "POST" }));
  } catch (error) {
    toast(error.message, "high");
  }
  button.disabled = false;
});

setTimeout(poll, FAST_MS);
