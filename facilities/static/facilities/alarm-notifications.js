// Channels, chains and the delivery log.

import { api } from "/static/js/api.js";
import { toast } from "/static/js/toast.js";

function failed(form, error) {
  const place = form.querySelector("[data-error]");
  place.textContent = error.message;
  place.hidden = false;
}

const channel = document.getElementById("channel");
channel.elements.kind.addEventListener("change", () => {
  for (const field of channel.querySelectorAll("[data-for]")) field.hidden = field.dataset.for !== channel.elements.kind.value;
});
channel.addEventListener("submit", async (event) => {
  event.preventDefault();
  const body = Object.fromEntries(new FormData(channel));
  if (body.kind === "webhook") body.recipients = "";
  else body.url = "";
  try {
    const made = await api("/api/v1/notification-channels/", { method: "POST", body });
    if (!made.secret) {
      location.reload();
      return;
    }
    const dialog = document.getElementById("secret");
    dialog.querySelector(".secret").textContent = made.secret;
    dialog.addEventListener("close", () => location.reload(), { once: true });
    dialog.showModal();
  } catch (error) {
    failed(channel, error);
  }
});

for (const row of document.querySelectorAll("[data-channel]")) {
  const path = `/api/v1/notification-channels/${row.dataset.channel}/`;
  const box = row.querySelector("[data-enabled]");
  box.addEventListener("change", async () => {
    try {
      await api(path, { method: "PATCH", body: { enabled: box.checked } });
    } catch (error) {
      box.checked = !box.checked;
      toast(error.message, "high");
    }
  });
  const button = row.querySelector("[data-test]");
  button.addEventListener("click", async () => {
    button.disabled = true;
    try {
      const sent = await api(`${path}test`, { method: "POST" });
      for (const one of sent) {
        toast(`${one.target}: ${one.outcome || "waiting"}`, one.state === "sent" ? "ok" : "high");
      }
      setTimeout(() => location.reload(), 2500);
    } catch (error) {
      toast(error.message, "high");
    }
    button.disabled = false;
  });
}

const chain = document.getElementById("chain");
const steps = document.getElementById("steps");
function addStep(wait) {
  const made = document.getElementById("step").content.cloneNode(true);
  made.querySelector("input").value = String(wait);
  made.querySelector("[data-remove]").addEventListener("click", (event) => {
    if (steps.children.length > 1) event.target.closest(".step").remove();
    number();
  });
  steps.append(made);
  number();
}
function number() {
  [...steps.children].forEach((step, at) => (step.querySelector("[data-number]").textContent = String(at + 1)));
}
addStep(0);
document.getElementById("add-step").addEventListener("click", () => addStep(300));
chain.addEventListener("submit", async (event) => {
  event.preventDefault();
  const body = {
    name: chain.elements.name.value,
    min_severity: chain.elements.min_severity.value,
    repeats: Number(chain.elements.repeats.value),
    steps: [...steps.children].map((step) => {
      const [kind, ...name] = step.querySelector("select").value.split(":");
      return { wait_s: Number(step.querySelector("input").value), [kind]: name.join(":") };
    }),
  };
  try {
    await api("/api/v1/escalation-chains/", { method: "POST", body });
    location.reload();
  } catch (error) {
    failed(chain, error);
  }
});
for (const row of document.querySelectorAll("[data-chain]")) {
  row.querySelector("[data-delete]").addEventListener("click", async () => {
    if (!window.confirm("Delete this chain? Alarms that are on it are no longer escalated.")) return;
    try {
      await api(`/api/v1/escalation-chains/${row.dataset.chain}/`, { method: "DELETE" });
      location.reload();
    } catch (error) {
      toast(error.message, "high");
    }
  });
}
for (const row of document.querySelectorAll("[data-delivery]")) {
  row.querySelector("[data-resend]").addEventListener("click", async () => {
    try {
      await api(`/api/v1/deliveries/${row.dataset.delivery}/resend`, { method: "POST" });
      toast("Queued again", "ok");
      setTimeout(() => location.reload(), 2500);
    } catch (error) {
      toast(error.message, "high");
    }
  });
}
