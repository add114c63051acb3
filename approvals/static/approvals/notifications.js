// The rules page: this browser's permission, rules, and the log of messages.

import { api } from "/static/js/api.js";
import { toast } from "/static/js/toast.js";
import { allow, beep, canNotify, hasSound, setSound, show } from "./notices.js";

const reloadSoon = () => setTimeout(() => location.reload(), 1800);

const permission = document.querySelector("[data-permission]");
const button = document.querySelector("[data-allow]");
function tell() {
  const state = canNotify() ? Notification.permission : "none";
  permission.textContent = {
    none: "This browser shows notes inside Holdpoint's pages only (notes outside need HTTPS or localhost).",
    default: "Notes appear inside Holdpoint's pages. Outside of them, your browser has to be allowed to show them.",
    denied: "Your browser blocks notes outside Holdpoint's pages; its site settings change that. Inside the pages they appear.",
    granted: "Notes also appear when you look at another page or window.",
  }[state];
  button.hidden = state !== "default";
}
tell();
button.addEventListener("click", async () => {
  await allow();
  tell();
});
const sound = document.querySelector("[data-sound]");
sound.checked = hasSound();
sound.addEventListener("change", () => {
  setSound(sound.checked);
  if (sound.checked) beep();
});
document.querySelector("[data-try]").addEventListener("click", () => show({ subject: "This is how a note looks", text: "It leads to the queue.", tone: "info", path: "/approvals/" }));

const form = document.getElementById("rule");
const problem = form.querySelector("[data-error]");
const channel = () => form.elements.channel.value;
function fields() {
  for (const field of form.querySelectorAll("[data-for]")) field.hidden = !field.dataset.for.split(" ").includes(channel());
}
form.addEventListener("change", fields);
fields();
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const data = new FormData(form);
  const body = {
    channel: channel(),
    events: data.getAll("events"),
    least_risk: data.get("least_risk"),
    is_team: data.has("is_team") && channel() !== "webhook",
    address: { email: data.get("email"), webhook: data.get("url") }[channel()] ?? "",
    secret_name: channel() === "webhook" ? data.get("secret_name") : "",
  };
  try {
    await api("/api/v1/notifications/rules", { method: "POST", body });
    location.reload();
  } catch (error) {
    problem.textContent = error.message;
    problem.hidden = false;
  }
});

/** Call the API for a row and say what came of it. */
async function act(node, path, options, done) {
  node.disabled = true;
  try {
    done(await api(path, options));
  } catch (error) {
    toast(error.message, "high");
    if (node.type === "checkbox") node.checked = !node.checked;
  }
  node.disabled = false;
}

for (const row of document.querySelectorAll("[data-rule]")) {
  const path = `/api/v1/notifications/rules/${row.dataset.rule}`;
  const active = row.querySelector("[data-active]");
  active.addEventListener("change", () => act(active, path, { method: "PATCH", body: { is_active: active.checked } }, () => toast(active.checked ? "The rule is on." : "The rule is off.", "ok")));
  const test = row.querySelector("[data-test]");
  test.addEventListener("click", () =>
    act(test, `${path}/test`, { method: "POST" }, (sent) => {
      toast(sent.state === "sent" ? "The test was sent." : `Not sent: ${sent.error}`, sent.state === "sent" ? "ok" : "high");
      reloadSoon();
    }),
  );
  const remove = row.querySelector("[data-remove]");
  remove.addEventListener("click", () => {
    if (window.confirm("Remove this rule and the log of its messages?")) act(remove, path, { method: "DELETE" }, () => location.reload());
  });
}

for (const row of document.querySelectorAll("[data-delivery]")) {
  const again = row.querySelector("[data-resend]");
  again?.addEventListener("click", () =>
    act(again, `/api/v1/notifications/deliveries/${row.dataset.delivery}/resend`, { method: "POST" }, () => {
      toast("Queued again.", "ok");
      reloadSoon();
    }),
  );
}
