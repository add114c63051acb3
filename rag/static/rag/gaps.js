// Gaps: assign, name a document, dismiss, open again. One dialog for all of them.
import { api } from "/static/js/api.js";
import { toast } from "/static/js/toast.js";

const byId = (id) => document.getElementById(id);
const [dialog, form, value, error, send] = ["gap-dialog", "gap-form", "gap-dialog-value", "gap-dialog-error", "gap-dialog-send"].map(byId);

const STEPS = {
  assign: { title: "Who takes care of it?", label: "Owner", hint: "A person or a team; empty takes the owner away.", send: "Assign", field: "owner", list: "gap-owners" },
  link: { title: "Which document closes it?", label: "Document", hint: "Paste the document's address, or its number such as sop-ups-02. The question is asked again at once; the gap closes when it is answered.", send: "Ask again", field: "document", required: true },
  dismiss: { title: "Why is this no gap?", label: "Reason", hint: "Others see the reason. It is not opened again by itself.", send: "Dismiss", field: "reason", required: true },
};
let current = null;

/** A pasted address becomes the document's slug. */
const slugOf = (text) => text.match(/\/library\/([-\w]+)/)?.[1] ?? text.trim().toLowerCase();

async function perform(id, name, body) {
  const gap = await api(`/api/v1/knowledge/gaps/${id}/${name}`, { method: "POST", body });
  const closed = gap.state === "closed";
  toast(closed ? `Closed: ${gap.note}` : gap.note || "Done.", closed ? "ok" : "info");
  sessionStorage.setItem("gap", id);
  setTimeout(() => location.reload(), name === "link" ? 1800 : 300);
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-do]");
  if (!button) return;
  const id = button.closest("[data-gap]").dataset.gap;
  const name = button.dataset.do;
  if (name === "reopen") {
    button.disabled = true;
    try {
      await perform(id, name, {});
    } catch (problem) {
      toast(problem.message, "critical");
      button.disabled = false;
    }
    return;
  }
  const step = STEPS[name];
  current = { id, name, step };
  byId("gap-dialog-title").textContent = step.title;
  byId("gap-dialog-hint").textContent = step.hint;
  byId("gap-dialog-label").textContent = step.label;
  send.textContent = step.send;
  value.value = name === "assign" ? button.dataset.owner : "";
  value.required = Boolean(step.required);
  if (step.list) value.setAttribute("list", step.list);
  else value.removeAttribute("list");
  error.hidden = true;
  dialog.showModal();
  value.focus();
});

byId("gap-dialog-close").addEventListener("click", () => dialog.close());

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const { id, name, step } = current;
  send.disabled = true;
  error.hidden = true;
  try {
    await perform(id, name, { [step.field]: name === "link" ? slugOf(value.value) : value.value });
    dialog.close();
  } catch (problem) {
    error.textContent = problem.message;
    error.hidden = false;
  }
  send.disabled = false;
});

const last = sessionStorage.getItem("gap");
if (last) {
  sessionStorage.removeItem("gap");
  byId(`gap-${last}`)?.focus();
}
