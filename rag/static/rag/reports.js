// Outcome reports: release, dismiss, undo. Facts cannot be edited, a note can be added.
import { api } from "/static/js/api.js";
import { toast } from "/static/js/toast.js";

const byId = (id) => document.getElementById(id);
const [dialog, form, reason, error] = ["reason-dialog", "reason-form", "reason-value", "reason-error"].map(byId);
const TITLES = { dismiss: "Why is it not worth keeping?", withdraw: "Why is the release undone?" };
const DONE = {
  release: "Released. Answers cite it as soon as it is embedded.",
  dismiss: "Dismissed.",
  withdraw: "Withdrawn; the report is a draft again.",
  reopen: "It is a draft again.",
};
let current = null;

async function perform(id, name, body) {
  await api(`/api/v1/knowledge/reports/${id}/${name}`, { method: "POST", body });
  toast(DONE[name], "ok");
  byId(`report-${id}`).remove();
  if (!document.querySelector("[data-report]")) setTimeout(() => location.reload(), 1200);
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-do]");
  if (!button) return;
  const card = button.closest("[data-report]");
  const [id, name] = [card.dataset.report, button.dataset.do];
  if (TITLES[name]) {
    current = { id, name };
    byId("reason-title").textContent = TITLES[name];
    reason.value = "";
    error.hidden = true;
    dialog.showModal();
    return;
  }
  button.disabled = true;
  try {
    await perform(id, name, name === "release" ? { note: card.querySelector("[data-note]").value } : {});
  } catch (problem) {
    toast(problem.message, "critical");
    button.disabled = false;
  }
});

byId("reason-close").addEventListener("click", () => dialog.close());
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    await perform(current.id, current.name, { reason: reason.value });
    dialog.close();
  } catch (problem) {
    error.textContent = problem.message;
    error.hidden = false;
  }
});
