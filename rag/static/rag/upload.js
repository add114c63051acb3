// Upload: files, folders and ZIPs from the dialog or dropped anywhere; progress per file.
import { api } from "/static/js/api.js";

const byId = (id) => document.getElementById(id);
const [dialog, form, log, send, summary, drop] = ["upload", "upload-form", "upload-log", "upload-send", "upload-summary", "drop"].map(byId);
const ACCEPTED = byId("upload-files").accept.split(",");
const AT_ONCE = 3;
const MOST = 2000;
const LIMIT = { zip: 100, other: 25 };
const ENDED = new Set(["done", "unchanged", "failed", "cancelled"]);

let staged = [];
let busy = false;
let changed = false;

/** Files of dropped items, folders included, each with its path. */
async function collect(items) {
  const files = [...items].filter((item) => item.kind === "file");
  const entries = files.map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  const found = [];
  if (!entries.length) return files.map((item) => item.getAsFile()).filter(Boolean).map((file) => ({ file, path: file.name }));
  const visit = async (entry) => {
    if (found.length >= MOST) return;
    if (entry.isFile) {
      const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
      found.push({ file, path: entry.fullPath.replace(/^\//, "") });
      return;
    }
    const reader = entry.createReader();
    for (;;) {
      const batch = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
      if (!batch.length) break;
      for (const child of batch) await visit(child);
    }
  };
  for (const entry of entries) await visit(entry);
  return found;
}

/** What is wrong with a file before it is sent, or "". */
function problemOf({ file, path }) {
  const name = path.split("/").pop();
  const ending = name.includes(".") ? `.${name.split(".").pop().toLowerCase()}` : "";
  if (name.startsWith(".") || path.includes("__MACOSX/")) return "hidden file, skipped";
  if (!ACCEPTED.includes(ending)) return `${ending || "files without an ending"} cannot be read; save it as PDF, Word, Markdown, HTML or text`;
  const limit = ending === ".zip" ? LIMIT.zip : LIMIT.other;
  if (file.size > limit * 2 ** 20) return `${(file.size / 2 ** 20).toFixed(0)} MiB is over the limit of ${limit} MiB; split it`;
  return file.size ? "" : "the file is empty";
}

function stage(files) {
  if (busy || !files.length) return;
  staged = files.map((item) => ({ ...item, problem: problemOf(item), row: null, done: false }));
  log.replaceChildren();
  for (const item of staged) draw(item);
  const good = staged.filter((item) => !item.problem).length;
  summary.textContent = `${good} of ${staged.length} file${staged.length === 1 ? "" : "s"} ready to upload`;
  send.disabled = !good;
  if (!dialog.open) dialog.showModal();
  (byId("upload-collection").value ? send : byId("upload-collection")).focus();
}

function draw(item) {
  const row = document.createElement("li");
  row.className = "upload__file";
  const [name, state, bar, note] = ["span", "span", "progress", "span"].map((tag) => document.createElement(tag));
  name.className = "upload__name";
  name.textContent = item.path;
  state.className = "upload__state num";
  note.className = "upload__note";
  bar.max = 1;
  bar.value = 0;
  bar.hidden = true;
  bar.setAttribute("aria-label", `Progress of ${item.path}`);
  row.append(name, state, bar, note);
  item.row = { row, name, state, bar, note };
  if (item.problem) tell(item, "not sent", "critical", item.problem);
  log.append(row);
}

function tell(item, state, tone = "", note = "", share = null) {
  const { row, state: label, bar, note: line } = item.row;
  row.dataset.tone = tone;
  label.textContent = state;
  line.textContent = note;
  bar.hidden = share === null;
  if (share !== null) bar.value = share;
}

/** One file by XHR, because fetch does not report how much was sent. */
function post(item, batch) {
  return new Promise((resolve) => {
    const body = new FormData();
    body.append("file", item.file);
    body.append("collection", byId("upload-collection").value);
    body.append("kind", byId("upload-kind").value);
    body.append("batch", batch);
    if (item.path.includes("/")) body.append("path", item.path);
    const request = new XMLHttpRequest();
    request.open("POST", "/api/v1/knowledge/documents");
    request.setRequestHeader("X-CSRFToken", document.querySelector("meta[name=csrf-token]").content);
    request.responseType = "json";
    request.upload.addEventListener("progress", (event) => {
      if (event.lengthComputable) tell(item, `sending ${Math.round((100 * event.loaded) / event.total)} %`, "", "", (event.loaded / event.total) * 0.5);
    });
    request.addEventListener("load", () => resolve({ status: request.status, data: request.response }));
    request.addEventListener("error", () => resolve({ status: 0, data: null }));
    request.send(body);
  });
}

function settle(item, { status, data }) {
  if (status === 200) {
    item.done = true;
    tell(item, "unchanged", "ok");
  } else if (status === 202) {
    changed = true;
    item.jobs = (data.jobs ?? [data]).map((job) => job.id);
    tell(item, "waiting", "", "", 0.5);
  } else {
    item.done = true;
    const why = status ? (data?.detail ?? `The server answered ${status}.`) : "The server does not answer. Try again.";
    tell(item, "failed", "critical", why);
  }
}

/** A file, or all files of a ZIP, as far as the worker is. */
function showJobs(item, jobs) {
  const mine = jobs.filter((job) => item.jobs.includes(job.id));
  if (!mine.length) return;
  const total = mine.reduce((sum, job) => sum + job.passages_total, 0);
  const embedded = mine.reduce((sum, job) => sum + job.passages_done, 0);
  const failed = mine.filter((job) => job.state === "failed");
  item.done = mine.length === item.jobs.length && mine.every((job) => ENDED.has(job.state));
  if (!item.done) {
    const working = mine.find((job) => !ENDED.has(job.state));
    const many = mine.length > 1 ? `${mine.filter((job) => ENDED.has(job.state)).length}/${mine.length} files · ` : "";
    const passages = working.state === "embedding" ? ` ${embedded}/${total}` : "";
    tell(item, `${many}${working.state_label.toLowerCase()}${passages}`, "", "", 0.5 + 0.5 * (total ? embedded / total : 0));
  } else if (failed.length) {
    const notes = failed.slice(0, 5).map((job) => job.note).join(" · ");
    tell(item, mine.length > 1 ? `${failed.length} of ${mine.length} failed` : "failed", "critical", notes);
  } else {
    tell(item, mine.every((job) => job.state === "unchanged") ? "unchanged" : "in the library", "ok", mine.length === 1 ? mine[0].note : `${mine.length} files`);
    const address = mine.find((job) => job.document_url)?.document_url;
    if (address && mine.length === 1) {
      const link = document.createElement("a");
      link.href = address;
      link.textContent = item.path;
      item.row.name.replaceChildren(link);
    }
  }
}

async function watch(batch) {
  let misses = 0;
  while (staged.some((item) => item.jobs && !item.done) && misses < 30) {
    await new Promise((resolve) => setTimeout(resolve, 1000));
    try {
      const { results } = await api(`/api/v1/knowledge/imports?batch=${batch}&page_size=1000`);
      for (const item of staged) if (item.jobs && !item.done) showJobs(item, results);
      misses = 0;
    } catch {
      misses += 1;
    }
  }
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  if (busy) return;
  busy = true;
  send.disabled = true;
  const batch = crypto.randomUUID?.() ?? "10000000-1000-4000-8000-100000000000".replace(/[018]/g, (c) => (c ^ (crypto.getRandomValues(new Uint8Array(1))[0] & (15 >> (c / 4)))).toString(16));
  const waiting = staged.filter((item) => !item.problem);
  const sending = async () => {
    for (let item = waiting.shift(); item; item = waiting.shift()) settle(item, await post(item, batch));
  };
  await Promise.all(Array.from({ length: AT_ONCE }, sending));
  await watch(batch);
  const failed = staged.filter((item) => item.row.row.dataset.tone === "critical").length;
  summary.textContent = failed ? `${failed} of ${staged.length} did not get into the library.` : "All files are in the library.";
  busy = false;
});

byId("upload-open").addEventListener("click", () => dialog.showModal());
byId("upload-close").addEventListener("click", () => dialog.close());
dialog.addEventListener("close", () => changed && location.reload());
for (const id of ["upload-files", "upload-folder"]) {
  byId(id).addEventListener("change", (event) => {
    stage([...event.target.files].slice(0, MOST).map((file) => ({ file, path: file.webkitRelativePath || file.name })));
    event.target.value = "";
  });
}

// Dropping works anywhere on the page.
const hasFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
let depth = 0;
addEventListener("dragenter", (event) => {
  if (!hasFiles(event)) return;
  depth += 1;
  drop.hidden = false;
});
addEventListener("dragleave", (event) => {
  if (!hasFiles(event)) return;
  depth = Math.max(0, depth - 1);
  drop.hidden = depth === 0;
});
addEventListener("dragover", (event) => hasFiles(event) && event.preventDefault());
addEventListener("drop", async (event) => {
  if (!hasFiles(event)) return;
  event.preventDefault();
  depth = 0;
  drop.hidden = true;
  stage(await collect(event.dataTransfer.items));
});
