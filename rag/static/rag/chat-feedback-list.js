// One click makes a golden question of a judged answer.

import { api } from "/static/js/api.js";
import { toast } from "/static/js/toast.js";
import { element } from "./chat-dom.js";

document.getElementById("judged").addEventListener("click", async (event) => {
  const click = event.target.closest("[data-golden]");
  if (!click) return;
  const row = click.closest("[data-feedback]");
  click.disabled = true;
  try {
    const golden = await api(`/api/v1/chat/feedback/${row.dataset.feedback}/golden`, { method: "POST" });
    click.replaceWith(element("span", "badge badge--info", "Golden question"));
    toast(`“${golden.query}” is measured from now on.`, "ok");
  } catch (error) {
    click.disabled = false;
    toast(error.message, "high");
  }
});
