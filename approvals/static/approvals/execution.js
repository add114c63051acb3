// Stop, release a hold, settle an unknown write: one dialog for every card, also those that come
// later. It belongs to the page, not to a card, so that a live update never takes words away.

import { api } from "/static/js/api.js";
import { toast } from "/static/js/toast.js";

const ACTS = {
  stop: { verb: "Stop", label: "Why", needed: true, done: "Stopped." },
  release: { verb: "Release", label: "What you found or did", needed: false, done: "Released; it goes on." },
  settle: { verb: "Say so", label: "How do you know", needed: true, done: "Settled." },
};

let asked = null;

function element(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key in node && key !== "form") node[key] = value;
    else node.setAttribute(key, value);
  }
  node.append(...children);
  return node;
}

function field(title, input) {
  return element("label", { className: "field" }, element("span", {}, title), input);
}

function build() {
  const parts = {
    title: element("h2", { id: "execution-title" }),
    said: element("p", { className: "small muted" }),
    words: element("textarea", { className: "input", name: "words", rows: 3, maxLength: 4000 }),
    password: element("input", { className: "input", type: "password", name: "password", autocomplete: "current-password" }),
    otp: element("input", { className: "input", name: "otp", inputMode: "numeric", autocomplete: "one-time-code", maxLength: 16 }),
    error: element("p", { className: "error-text", role: "alert", hidden: true }),
    confirm: element("button", { className: "btn btn-primary", type: "submit" }),
    cancel: element("button", { className: "btn btn-ghost", type: "button" }, "Cancel"),
  };
  parts.label = field("", parts.words);
  parts.proof = element("div", { className: "stack", hidden: true }, field("Password", parts.password), field("or a code of your authenticator", parts.otp));
  const form = element("form", { className: "stack", method: "dialog" }, parts.title, parts.said, parts.label, parts.proof, parts.error, element("div", { className: "row" }, parts.confirm, parts.cancel));
  const dialog = element("dialog", { id: "execution-dialog", "aria-labelledby": "execution-title" }, form);
  parts.cancel.addEventListener("click", () => dialog.close());
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send();
  });
  document.body.append(dialog);
  return { dialog, parts };
}

let made = null;

function open(button) {
  made ??= build();
  const { dialog, parts } = made;
  const section = button.closest("[data-execution]");
  const { act, step, applied, title, said } = button.dataset;
  const words = ACTS[act];
  asked = { act, step, applied: applied === "yes", id: section.dataset.execution, digest: section.dataset.digest };
  parts.title.textContent = title;
  parts.said.textContent = said;
  parts.label.firstChild.textContent = words.needed ? words.label : `${words.label} (optional)`;
  parts.words.required = words.needed;
  parts.words.value = "";
  parts.password.value = "";
  parts.otp.value = "";
  parts.proof.hidden = !("proof" in button.dataset);
  parts.error.hidden = true;
  parts.confirm.textContent = words.verb;
  parts.confirm.className = act === "stop" ? "btn btn-danger" : "btn btn-primary";
  dialog.showModal();
  parts.words.focus();
}

function request() {
  const { parts } = made;
  const words = parts.words.value;
  if (asked.act === "stop") return [`/api/v1/proposals/${asked.id}/stop`, { reason: words }];
  if (asked.act === "settle") return [`/api/v1/proposals/${asked.id}/settle`, { applied: asked.applied, reason: words }];
  const proof = parts.proof.hidden ? {} : { password: parts.password.value, otp: parts.otp.value };
  return [`/api/v1/proposals/${asked.id}/holds/${encodeURIComponent(asked.step)}/release`, { digest: asked.digest, note: words, ...proof }];
}

async function send() {
  const { dialog, parts } = made;
  const [path, body] = request();
  parts.confirm.disabled = true;
  try {
    await api(path, { method: "POST", body });
    dialog.close();
    toast(ACTS[asked.act].done, "ok");
    document.dispatchEvent(new CustomEvent("proposal-changed", { detail: { id: asked.id } }));
  } catch (error) {
    parts.error.textContent = error.message;
    parts.error.hidden = false;
    if (error.code === "reauthentication_required") parts.proof.hidden = false;
  } finally {
    parts.confirm.disabled = false;
  }
}

/** Lead to what waits for this person: unfold the card, show the step with its button. */
function lead(id) {
  const section = document.querySelector(`[data-execution="${id}"]`);
  const button = section?.querySelector(".btn-primary[data-act], [data-act='settle']");
  (button ?? section)?.scrollIntoView({ block: "center" });
  button?.focus({ preventScroll: true });
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-execution] [data-act]");
  if (button) open(button);
  const asked = event.target.closest("[data-to-execution]")?.closest(".proposal");
  if (!asked) return;
  const { proposal: id } = asked.dataset;
  if ("open" in asked.dataset) return lead(id);
  const shown = ({ detail: { card } }) => {
    if (card.dataset.proposal !== id || !("open" in card.dataset)) return;
    document.removeEventListener("card-shown", shown);
    setTimeout(() => lead(id)); // after the queue has put the focus on the card
  };
  document.addEventListener("card-shown", shown);
  asked.querySelector("[data-toggle]").click();
});
