// Plan and cancel change windows.

import { api } from "/static/js/api.js";
import { toast } from "/static/js/toast.js";
import { objectForm, placeFields, weeklyFields } from "./match-form.js";

const data = JSON.parse(document.getElementById("window-data").textContent);
const form = document.getElementById("plan");
const wrong = document.getElementById("plan-error");
const proof = document.getElementById("proof");
const place = objectForm(placeFields(data), {});
const weekly = objectForm(weeklyFields(), {});
document.getElementById("match").append(place.node);
document.getElementById("weekly").append(weekly.node);

const local = (date) => new Date(date - date.getTimezoneOffset() * 60000).toISOString().slice(0, 16);
const now = new Date();
form.elements.starts_at.value = local(now);
form.elements.ends_at.value = local(new Date(now.getTime() + 4 * 3600 * 1000));
form.elements.kind.addEventListener("change", () => {
  proof.hidden = form.elements.kind.value === "freeze";
});

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const value = (name) => form.elements[name].value.trim();
  const times = weekly.read();
  wrong.hidden = true;
  try {
    await api("/api/v1/policy/windows", {
      method: "POST",
      body: {
        name: value("name"),
        kind: value("kind"),
        starts_at: new Date(value("starts_at")).toISOString(),
        ends_at: new Date(value("ends_at")).toISOString(),
        reason: value("reason"),
        weekly: Object.keys(times).length ? { zone: "UTC", ...times } : {},
        match: place.read(),
        password: form.elements.password.value,
        otp: value("otp"),
      },
    });
    location.reload();
  } catch (error) {
    wrong.textContent = error.message;
    wrong.hidden = false;
  } finally {
    form.elements.password.value = form.elements.otp.value = "";
  }
});

const dialog = document.getElementById("cancel");
const sheet = dialog.querySelector("form");
const complaint = dialog.querySelector("[data-error]");
let chosen = "";
dialog.querySelector("[data-close]").addEventListener("click", () => dialog.close());
document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-cancel]");
  if (!button) return;
  chosen = button.dataset.cancel;
  dialog.querySelector("[data-name]").textContent = `“${button.dataset.name}”`;
  dialog.querySelector("[data-proof]").hidden = button.dataset.kind !== "freeze";
  complaint.hidden = true;
  sheet.reset();
  dialog.showModal();
});
sheet.addEventListener("submit", async (event) => {
  event.preventDefault();
  const { reason, password, otp } = sheet.elements;
  try {
    const body = { reason: reason.value, password: password.value, otp: otp.value };
    await api(`/api/v1/policy/windows/${chosen}/cancel`, { method: "POST", body });
    toast("Cancelled.", "ok");
    location.reload();
  } catch (error) {
    complaint.textContent = error.message;
    complaint.hidden = false;
  } finally {
    password.value = otp.value = "";
  }
});
