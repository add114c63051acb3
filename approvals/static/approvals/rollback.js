// The button that proposes to undo: one listener for every card, also those that come later.

import { api } from "/static/js/api.js";

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-roll-back]");
  if (!button) return;
  const section = button.closest("[data-rollback]");
  const said = section.querySelector("[data-roll-back-said]");
  button.disabled = true;
  said.hidden = true;
  try {
    const made = await api(`/api/v1/proposals/${section.dataset.rollback}/rollback`, { method: "POST" });
    window.location.assign(made.url);
  } catch (error) {
    said.textContent = error.message;
    said.hidden = false;
    button.disabled = false;
  }
});
