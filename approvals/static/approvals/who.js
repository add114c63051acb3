// "Who would have to sign?": answers while the form is filled in.

import { api } from "/static/js/api.js";
import { toast } from "/static/js/toast.js";
import { actionForm } from "./action-form.js";
import { h } from "./match-form.js";
import { showPreview } from "./preview.js";

const form = document.getElementById("action");
const answer = document.getElementById("answer");
let picked = null;
let timer = 0;
let asked = 0;

async function ask() {
  if (!picked?.complete()) {
    answer.replaceChildren(h("div", { className: "empty" }, h("strong", {}, "What should it be?"), h("span", { className: "small" }, "Fill in the parameters to see who would have to sign.")));
    return;
  }
  const mine = ++asked;
  const at = form.elements.at?.value;
  try {
    const body = { ...picked.read(), at: at ? new Date(at).toISOString() : null };
    const found = await api("/api/v1/policy/preview", { method: "POST", body });
    if (mine === asked) showPreview(answer, found);
  } catch (error) {
    if (mine === asked) answer.replaceChildren(h("p", { className: "error-text" }, error.message));
  }
}

const changed = () => {
  clearTimeout(timer);
  timer = setTimeout(ask, 300);
};
form.addEventListener("submit", (event) => event.preventDefault());
form.elements.at?.addEventListener("input", changed);
try {
  picked = await actionForm(form, changed, { filled: true });
  changed();
} catch (error) {
  toast(error.message, "high");
}
