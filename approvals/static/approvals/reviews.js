// Reviews of emergency approvals.

import { api } from "/static/js/api.js";

for (const form of document.querySelectorAll("[data-review]"))
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const error = form.querySelector("[data-error]");
    const body = { verdict: form.elements.verdict.value, comment: form.elements.comment.value };
    error.hidden = true;
    try {
      await api(`/api/v1/break-glass/${form.dataset.review}/review`, { method: "POST", body });
      location.reload();
    } catch (refused) {
      error.textContent = refused.message;
      error.hidden = false;
    }
  });
