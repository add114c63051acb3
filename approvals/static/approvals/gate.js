// Stopping and resuming the whole gate.

import { api } from "/static/js/api.js";
import { connect } from "/static/js/live.js";
import { toast } from "/static/js/toast.js";
import { fragment, tick } from "./cards.js";

const place = document.getElementById("gate");
const dialog = document.getElementById("gate-stop");

async function refresh() {
  const body = await fragment("/approvals/gate");
  place.replaceChildren(...body.childNodes);
  const held = place.querySelector(".gate") !== null;
  for (const button of document.querySelectorAll('[data-gate="stop"]')) button.hidden = held;
  tick();
}

async function resume(button) {
  button.disabled = true;
  try {
    await api("/api/v1/gate/hold", { method: "DELETE" });
    toast("The gate is open again.", "ok");
  } catch (error) {
    toast(error.message, "high");
    button.disabled = false;
  }
  refresh();
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-gate]");
  if (button?.dataset.gate === "stop") dialog.showModal();
  else if (button) resume(button);
});

if (dialog) {
  const error = dialog.querySelector("[data-error]");
  dialog.querySelector("[data-cancel]").addEventListener("click", () => dialog.close());
  dialog.querySelector("form").addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      await api("/api/v1/gate/hold", { method: "POST", body: { reason: dialog.querySelector("textarea").value } });
      dialog.close();
      toast("The gate is stopped. Nothing more is written.", "critical");
      refresh();
    } catch (problem) {
      error.textContent = problem.message;
      error.hidden = false;
    }
  });
}

if (place)
  connect("/ws/approvals/", (message) => {
    if (message.type === "gate" || message.type === "reconnected") refresh();
  });
