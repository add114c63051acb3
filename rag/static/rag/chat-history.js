// Own conversations: rename in place, delete with half a minute to take it back.

import { api } from "/static/js/api.js";
import { toast } from "/static/js/toast.js";
import { button, element } from "./chat-dom.js";

const UNDO_S = 30;
const list = document.getElementById("history");

function pathOf(row, tail = "") {
  return `/api/v1/chat/sessions/${row.dataset.session}${tail}`;
}

function rename(row) {
  const title = row.querySelector("[data-title]");
  if (!title || row.querySelector(".history__rename")) return;
  const form = element("form", "history__rename");
  const input = element("input", "input");
  input.value = title.textContent;
  input.maxLength = 120;
  input.required = true;
  input.setAttribute("aria-label", "Title");
  const save = element("button", "btn btn-primary", "Save");
  save.type = "submit";
  const back = () => {
    form.replaceWith(title);
    row.querySelector("[data-rename]").focus();
  };
  form.append(input, save, button("Cancel", "btn btn-ghost", back));
  form.addEventListener("keydown", (event) => { if (event.key === "Escape") back(); });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      const body = await api(pathOf(row), { method: "PATCH", body: { title: input.value } });
      title.textContent = body.title;
      back();
    } catch (error) {
      toast(error.message, "high");
    }
  });
  title.replaceWith(form);
  input.select();
}

function offerUndo(row) {
  const note = element("div", "toast", "Conversation deleted.");
  note.setAttribute("role", "status");
  const gone = setTimeout(() => { note.remove(); row.remove(); }, UNDO_S * 1000);
  const undo = button("Undo", "btn", async () => {
    try {
      await api(pathOf(row, "/restore"), { method: "POST" });
      row.hidden = false;
    } catch (error) {
      toast(error.message, "high");
    }
    clearTimeout(gone);
    note.remove();
  });
  note.append(undo);
  document.querySelector(".toasts").append(note);
  undo.focus();
}

async function remove(row) {
  try {
    await api(pathOf(row), { method: "DELETE" });
    row.hidden = true;
    offerUndo(row);
  } catch (error) {
    toast(error.message, "high");
  }
}

list.addEventListener("click", (event) => {
  const row = event.target.closest("[data-session]");
  if (!row) return;
  if (event.target.closest("[data-rename]")) rename(row);
  else if (event.target.closest("[data-delete]")) remove(row);
});
addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.target.closest("input, textarea")) return;
  event.preventDefault();
  document.getElementById("q").focus();
});
