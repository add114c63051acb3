// Withdraw, restore, put an earlier revision back in force.
import { api } from "/static/js/api.js";
import { toast } from "/static/js/toast.js";

const byId = (id) => document.getElementById(id);
const [dialog, form, reason, error] = ["change-dialog", "change-form", "change-reason", "change-error"].map(byId);
const { document: slug, revision } = document.querySelector("[data-document]").dataset;
const base = `/api/v1/knowledge/documents/${slug}`;
const CHANGES = {
  withdraw: { path: `${base}/withdraw`, title: "Withdraw this document?", hint: "No answer uses it from now on. Its revisions are kept, and it can be restored." },
  restore: { path: `${base}/restore`, title: "Restore this document?", hint: "Answers use its revision in force again." },
  "put-in-force": { path: `${base}/revisions/${revision}/put-in-force`, title: `Put revision ${revision} back in force?`, hint: "Its text becomes a new revision that serves at once; the present one is superseded." },
};
let current = null;

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-change]");
  if (!button) return;
  current = CHANGES[button.dataset.change];
  byId("change-title").textContent = current.title;
  byId("change-hint").textContent = current.hint;
  reason.value = "";
  error.hidden = true;
  dialog.showModal();
});
byId("change-close").addEventListener("click", () => dialog.close());
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    await api(current.path, { method: "POST", body: { reason: reason.value } });
    dialog.close();
    toast("Done.", "ok");
    location.assign(location.pathname);
  } catch (problem) {
    error.textContent = problem.message;
    error.hidden = false;
  }
});
