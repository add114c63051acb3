// The library's list: filters at once, keyboard, select to withdraw or restore with undo.
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
  for (const row of rows) row.setAttribute("aria-selected", String(picked.includes(row)));
}

/** One request per document, so that one refusal stops none of the others. */
async function change(slugs, step, reason) {
  const outcomes = await Promise.allSettled(
    slugs.map((slug) => api(`/api/v1/knowledge/documents/${slug}/${step}`, { method: "POST", body: { reason } })),
  );
  const failed = outcomes.filter((outcome) => outcome.status === "rejected");
  for (const outcome of failed.slice(0, 3)) toast(outcome.reason.message, "critical", 10);
  return slugs.filter((_, index) => outcomes[index].status === "fulfilled");
}

function offerUndo(slugs) {
  const node = document.createElement("div");
  node.className = "toast";
  node.dataset.tone = "ok";
  node.append(`${slugs.length} withdrawn. `);
  const undo = document.createElement("button");
  undo.className = "btn btn-ghost";
  undo.type = "button";
  undo.textContent = "Undo";
  undo.addEventListener("click", async () => {
    undo.disabled = true;
    await change(slugs, "restore", "Undone");
    location.reload();
  });
  node.append(undo);
  document.querySelector(".toasts").append(node);
  setTimeout(() => node.remove(), 20000);
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
    const reason = byId("bulk-reason").value.trim();
    if (!reason) {
      toast("Withdrawing needs a reason: the next shift reads it.", "high");
      byId("bulk-reason").focus();
      return;
    }
    const done = await change(chosen().filter((row) => !("withdrawn" in row.dataset)).map((row) => row.dataset.slug), "withdraw", reason);
    if (!done.length) return;
    sessionStorage.setItem("withdrawn", JSON.stringify(done));
    location.reload();
  });
  byId("bulk-restore").addEventListener("click", async () => {
    await change(chosen().filter((row) => "withdrawn" in row.dataset).map((row) => row.dataset.slug), "restore", byId("bulk-reason").value);
    location.reload();
  });
  const withdrawn = sessionStorage.getItem("withdrawn");
  if (withdrawn) {
    sessionStorage.removeItem("withdrawn");
    offerUndo(JSON.parse(withdrawn));
  }
  show();
}
