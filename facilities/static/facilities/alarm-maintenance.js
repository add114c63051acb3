// Plan and end maintenance windows.

import { api } from "/static/js/api.js";
import { toast } from "/static/js/toast.js";

const form = document.getElementById("window");
const wrong = document.getElementById("window-error");
const local = (date) => new Date(date - date.getTimezoneOffset() * 60000).toISOString().slice(0, 16);

const now = new Date();
form.elements.starts_at.value = local(now);
form.elements.ends_at.value = local(new Date(now.getTime() + 2 * 3600 * 1000));

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const value = (name) => form.elements[name].value.trim();
  wrong.hidden = true;
  try {
    await api("/api/v1/maintenance-windows/", {
      method: "POST",
      body: {
        asset: value("asset") || null,
        hall: value("hall") || null,
        asset_kind: value("asset_kind"),
        starts_at: new Date(value("starts_at")).toISOString(),
        ends_at: new Date(value("ends_at")).toISOString(),
        reason: value("reason"),
        covers_safety: form.elements.covers_safety.checked,
      },
    });
    location.reload();
  } catch (error) {
    wrong.textContent = error.message;
    wrong.hidden = false;
  }
});

for (const button of document.querySelectorAll("[data-end]")) {
  button.addEventListener("click", async () => {
    button.disabled = true;
    try {
      await api(`/api/v1/maintenance-windows/${button.dataset.end}/end`, { method: "POST" });
      location.reload();
    } catch (error) {
      button.disabled = false;
      toast(error.message, "high");
    }
  });
}
