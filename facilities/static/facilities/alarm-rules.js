// Rules on and off, envelopes edited in place: every change is sent when the field is left.

import { api } from "/static/js/api.js";
import { toast } from "/static/js/toast.js";

async function patch(path, body, undo) {
  try {
    await api(path, { method: "PATCH", body });
    toast("Saved", "ok", 2);
    return true;
  } catch (error) {
    toast(error.message, "high");
    undo();
    return false;
  }
}

for (const box of document.querySelectorAll("[data-enabled]")) {
  box.addEventListener("change", () => {
    const id = box.closest("[data-rule]").dataset.rule;
    patch(`/api/v1/alarm-rules/${id}/`, { enabled: box.checked }, () => (box.checked = !box.checked));
  });
}

for (const field of document.querySelectorAll("[data-envelope] [data-field]")) {
  let before = field.type === "checkbox" ? field.checked : field.value;
  field.addEventListener("change", async () => {
    const isBox = field.type === "checkbox";
    const value = isBox ? field.checked : field.value === "" ? null : Number(field.value);
    const id = field.closest("[data-envelope]").dataset.envelope;
    const undo = () => (isBox ? (field.checked = before) : (field.value = before));
    if (await patch(`/api/v1/envelopes/${id}/`, { [field.dataset.field]: value }, undo)) before = isBox ? field.checked : field.value;
  });
}
