// The library's list: filters at once, keyboard, select to withdraw, restore or move, with undo.
import { api } from "/static/js/api.js";
import { toast } from "/static/js/toast.js";

const byId = (id) => document.getElementById(id);
const rows = [...document.querySelectorAll("#documents tbody tr")];
const bulk = byId("bulk");

for (const field of document.querySelectorAll("#filters select, #filters input[type=checkbox]")) {
  field.addEventListener("change", () => byId("filters").requestSubmit());
}
// Empty fields stay out of the address.
byId("filters")?.addEventListener("submit", (event) => {
  for (const field of event.target.elements) if (field.name && !field.value) field.disabled = true;
  const sort = event.target.elements.sort;
  if (sort?.value === "title") sort.disabled = true;
});
addEventListener("pageshow", () => {
  for (const field of document.querySelectorAll("#filters [disabled]")) field.disabled = false;
});

let focused = -1;
function move(step) {
  if (!rows.length) return;
  rows[focused]?.classList.remove("is-focus");
  focused = Math.min(Math.max(focused + step, 0), rows.length - 1);
  rows[focused].classList.add("is-focus");
  rows[focused].querySelector("a").focus({ preventScroll: true });
  rows[focused].scrollIntoView({ block: "nearest" });
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input:not([type=checkbox]), select, textarea, dialog")) return;
  if (event.key === "/") byId("q").focus();
  else if (event.key === "j") move(1);
  else if (event.key === "k") move(-1);
  else if (event.key === "x" && bulk && focused >= 0) {
    const box = rows[focused].querySelector(".select");
    box.checked = !box.checked;
    show();
  } else return;
  event.preventDefault();
});

const chosen = () => rows.filter((row) => row.querySelector(".select")?.checked);
function show() {
  const picked = chosen();
  bulk.hidden = !picked.length;
  byId("bulk-count").textContent = picked.length;
  byId("bulk-withdraw").hidden = picked.every((row) => "withdrawn" in row.dataset);
  byId("bulk-restore").hidden = picked.every((row) => !("withdrawn" in row.dataset));
  const shelf = byId("bulk-collection").value;
  byId("bulk-move").hidden = !shelf || picked.every((row) => row.dataset.collection === shelf);
  for (const row of rows) row.setAttribute("aria-selected", String(picked.includes(row)));
}

/** One request per document, so that one refusal stops none of the others; those that went well. */
async function change(items, step) {
  const outcomes = await Promise.allSettled(
    items.map(({ slug, ...body }) => api(`/api/v1/knowledge/documents/${slug}/${step}`, { method: "POST", body })),
  );
  const failed = outcomes.filter((outcome) => outcome.status === "rejected");
  for (const outcome of failed.slice(0, 3)) toast(outcome.reason.message, "critical", 10);
  return items.filter((_, index) => outcomes[index].status === "fulfilled");
}

/** What takes a decision back survives the reload that shows it. */
function reloadWithUndo(text, step, items) {
  sessionStorage.setItem("undo", JSON.stringify({ text, step, items }));
  location.reload();
}

function offerUndo({ text, step, items }) {
  const node = document.createElement("div");
  node.className = "toast";
  node.dataset.tone = "ok";
  node.append(`${text} `);
  const undo = document.createElement("button");
  undo.className = "btn btn-ghost";
  undo.type = "button";
  undo.textContent = "Undo";
  undo.addEventListener("click", async () => {
    undo.disabled = true;
    const done = await change(items, step);
    if (done.length === items.length) location.reload();
    else setTimeout(() => location.reload(), 6000); // the refusals are read first
  });
  node.append(undo);
  document.querySelector(".toasts").append(node);
  setTimeout(() => node.remove(), 20000);
}

/** The reason that was typed; without one, says what for and asks for it. */
function reasonFor(what) {
  const reason = byId("bulk-reason").value.trim();
  if (!reason) {
    toast(`${what} needs a reason: the next shift reads it.`, "high");
    byId("bulk-reason").focus();
  }
  return reason;
}

if (bulk) {
  for (const row of rows) row.querySelector(".select").addEventListener("change", show);
  byId("select-all")?.addEventListener("change", (event) => {
    for (const row of rows) row.querySelector(".select").checked = event.target.checked;
    show();
  });
  byId("bulk-clear").addEventListener("click", () => {
    for (const row of rows) row.querySelector(".select").checked = false;
    show();
  });
  byId("bulk-withdraw").addEventListener("click", async () => {
    const reason = reasonFor("Withdrawing");
    if (!reason) return;
    const wanted = chosen().filter((row) => !("withdrawn" in row.dataset));
    const done = await change(wanted.map((row) => ({ slug: row.dataset.slug, reason })), "withdraw");
    if (done.length) reloadWithUndo(`${done.length} withdrawn.`, "restore", done.map(({ slug }) => ({ slug, reason: "Undone" })));
  });
  byId("bulk-restore").addEventListener("click", async () => {
    const reason = byId("bulk-reason").value;
    await change(chosen().filter((row) => "withdrawn" in row.dataset).map((row) => ({ slug: row.dataset.slug, reason })), "restore");
    location.reload();
  });
  byId("bulk-collection").addEventListener("change", show);
  byId("bulk-move").addEventListener("click", async () => {
    const collection = byId("bulk-collection").value;
    const reason = reasonFor("Moving");
    if (!reason) return;
    const from = new Map(chosen().map((row) => [row.dataset.slug, row.dataset.collection]));
    const wanted = [...from].filter(([, shelf]) => shelf !== collection).map(([slug]) => ({ slug, collection, reason }));
    const done = await change(wanted, "move");
    if (!done.length) return;
    const name = byId("bulk-collection").selectedOptions[0].textContent;
    reloadWithUndo(`${done.length} moved to ${name}.`, "move", done.map(({ slug }) => ({ slug, collection: from.get(slug), reason: "Undone" })));
  });
  const undone = sessionStorage.getItem("undo");
  if (undone) {
    sessionStorage.removeItem("undo");
    offerUndo(JSON.parse(undone));
  }
  show();
}
