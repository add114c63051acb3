// Thumbs below an answer; a thumb down asks for a reason and takes a correction.

import { api } from "/static/js/api.js";
import { toast } from "/static/js/toast.js";
import { button, element } from "./chat-dom.js";

function field(label, control) {
  const box = element("label", "field");
  box.append(element("span", "", label), control);
  return box;
}

/** The two thumbs of a stored answer. `reasons` are [value, label]; `given` is an earlier judgement. */
export function thumbs(messageId, reasons, given) {
  const box = element("div", "thumbs");
  const path = `/api/v1/chat/messages/${messageId}/feedback`;
  let state = given ?? null;
  let form = null;
  const up = button("", "thumbs__btn", () => judge(true));
  const down = button("", "thumbs__btn", () => judge(false));
  for (const [node, icon] of [[up, "icon-up"], [down, "icon-down"]]) node.append(document.getElementById(icon).content.cloneNode(true));
  up.setAttribute("aria-label", "Good answer");
  down.setAttribute("aria-label", "Bad answer");
  const said = element("span", "tiny muted");
  said.setAttribute("role", "status");

  function show() {
    up.setAttribute("aria-pressed", String(state?.is_good === true));
    down.setAttribute("aria-pressed", String(state?.is_good === false));
    const label = reasons.find(([value]) => value === state?.reason)?.[1];
    said.textContent = state === null ? "" : state.is_good ? "You found this good" : `Noted: ${label ?? "bad"}`;
  }

  async function send(body) {
    try {
      state = await api(path, { method: "POST", body });
      close();
      show();
    } catch (error) {
      toast(error.message, "high");
    }
  }

  async function judge(good) {
    if (state?.is_good === good && !form) {
      try {
        await api(path, { method: "DELETE" });
        state = null;
        show();
      } catch (error) {
        toast(error.message, "high");
      }
      return;
    }
    if (good) await send({ is_good: true });
    else if (form) close();
    else ask();
  }

  function close() {
    form?.remove();
    form = null;
    down.removeAttribute("aria-expanded");
  }

  function ask() {
    form = element("form", "thumbs__form");
    const reason = element("select", "input");
    for (const [value, label] of reasons) {
      const option = element("option", "", label);
      option.value = value;
      reason.append(option);
    }
    const comment = element("input", "input");
    comment.maxLength = 1000;
    const correction = element("textarea", "input");
    correction.maxLength = 4000;
    correction.rows = 3;
    const actions = element("div", "row");
    const submit = element("button", "btn btn-primary", "Send");
    submit.type = "submit";
    actions.append(submit, button("Cancel", "btn btn-ghost", close));
    form.append(
      field("What is wrong?", reason),
      field("Comment (optional)", comment),
      field("The right answer, if you know it (optional)", correction),
      element("p", "tiny muted", "Those who review feedback will see this question and its answer."),
      actions,
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      send({ is_good: false, reason: reason.value, comment: comment.value, correction: correction.value });
    });
    form.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      event.stopPropagation();
      close();
      down.focus();
    });
    box.append(form);
    down.setAttribute("aria-expanded", "true");
    reason.focus();
    form.scrollIntoView({ block: "nearest" });
  }

  box.append(up, down, said);
  show();
  return box;
}
