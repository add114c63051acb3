// Propose an action: form, preview with the twin's prediction, then send it.

import { api } from "/static/js/api.js";
import { toast } from "/static/js/toast.js";
import { actionForm } from "./action-form.js";
import { h } from "./match-form.js";
import { showPreview } from "./preview.js";

const form = document.getElementById("action");
const answer = document.getElementById("answer");
const send = document.getElementById("send");
const wrong = document.getElementById("wrong");
let picked = null;
let timer = 0;
let asked = 0;

const say = (text) => {
  wrong.textContent = text;
  wrong.hidden = !text;
};

async function preview(withTwin) {
  if (!picked?.complete()) {
    send.disabled = true;
    answer.replaceChildren(h("div", { className: "empty" }, h("strong", {}, "What should it be?"), h("span", { className: "small" }, "Fill in the parameters, and what the signers will see is shown here.")));
    return;
  }
  const mine = ++asked;
  try {
    const body = { ...picked.read(), with_prediction: withTwin };
    const found = await api("/api/v1/policy/preview", { method: "POST", body });
    if (mine !== asked) return;
    showPreview(answer, found);
    send.disabled = found.barriers.propose.length > 0 || found.preconditions.some((one) => !one.ok);
    say("");
  } catch (error) {
    if (mine !== asked) return;
    send.disabled = true;
    answer.replaceChildren(h("p", { className: "error-text" }, error.message));
  }
}

const changed = () => {
  clearTimeout(timer);
  timer = setTimeout(() => preview(false), 300);
};

document.getElementById("ask-twin").addEventListener("click", async (event) => {
  const button = event.currentTarget;
  button.disabled = true;
  clearTimeout(timer); // the plain preview of the last edit must not replace the twin's answer
  const said = button.lastChild;
  const label = said.textContent;
  said.textContent = " The twin is asked…";
  answer.setAttribute("aria-busy", "true");
  await preview(true);
  answer.removeAttribute("aria-busy");
  said.textContent = label;
  button.disabled = false;
});
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  send.disabled = true;
  say("");
  try {
    const body = { ...picked.read(), rationale: form.elements.rationale.value };
    const made = await api("/api/v1/proposals/", { method: "POST", body });
    toast(`Proposal ${made.id} waits for a signature.`, "ok");
    location.assign(made.url);
  } catch (error) {
    say(error.message);
    send.disabled = false;
  }
});
try {
  picked = await actionForm(form, changed);
  changed();
} catch (error) {
  say(error.message);
}
