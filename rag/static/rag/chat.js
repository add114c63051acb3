// The chat page: asks over /ws/chat/, shows the draft as it comes and the checked answer after it.

import { connect } from "/static/js/live.js";
import { toast } from "/static/js/toast.js";
import { renderAnswer } from "./chat-answer.js";
import { button, element } from "./chat-dom.js";

const data = JSON.parse(document.getElementById("chat-data").textContent);
const [log, start, form, input, send, stop, sessions] = ["log", "start", "ask", "question", "send", "stop", "sessions"]
  .map((id) => document.getElementById(id));
const NEAR_END = 80;
let session = data.session;
let current = null;
let asked = data.messages.filter((message) => message.role === "user").map((message) => message.text);
let recalled = asked.length;
let again = 0;

function atEnd() {
  return log.scrollHeight - log.scrollTop - log.clientHeight < NEAR_END;
}

function scrollDown(force = false) {
  if (force || atEnd()) log.scrollTop = log.scrollHeight;
}

function addUser(text) {
  start.hidden = true;
  const message = element("article", "msg msg--user");
  message.setAttribute("aria-label", "Your question");
  message.tabIndex = -1;
  message.append(element("div", "msg__text", text));
  log.append(message);
}

function addAssistant() {
  const message = element("article", "msg msg--assistant");
  message.setAttribute("aria-label", "Answer");
  message.tabIndex = -1;
  log.append(message);
  return message;
}

function contextOf(question, id) {
  return { question, id, ask, reasons: data.reasons };
}

function begin(question) {
  const message = addAssistant();
  const status = element("span", "msg__status", "Sending");
  status.setAttribute("role", "status");
  const draft = element("div", "msg__draft");
  const label = element("span", "msg__unchecked", "Draft, not checked yet");
  label.hidden = draft.hidden = true;
  message.append(status, label, draft);
  current = { message, status, draft, label, question, tools: [] };
  setBusy(true);
  scrollDown(true);
}

function setBusy(busy) {
  send.hidden = busy;
  stop.hidden = !busy;
  log.setAttribute("aria-busy", String(busy));
  if (!busy) {
    current = null;
    input.focus({ preventScroll: true });
  }
}

function settle(text, className, question) {
  const { message } = current;
  const parts = [element("span", className, text)];
  if (question) parts.push(button("Ask again", "btn msg__link", () => ask(question)));
  message.replaceChildren(...parts);
  setBusy(false);
}

function fail(text) {
  if (current) settle(text, "msg__error", current.question);
  else toast(text, "high");
}

function listSession(id, title) {
  if (session === id) return;
  session = id;
  history.replaceState(null, "", `?session=${id}`);
  sessions.querySelector("[data-none]")?.remove();
  for (const link of sessions.querySelectorAll("[aria-current]")) link.removeAttribute("aria-current");
  const link = element("a", "", title);
  link.href = `?session=${id}`;
  link.setAttribute("aria-current", "page");
  const item = element("li");
  item.append(link);
  sessions.prepend(item);
}

const handlers = {
  session: (event) => listSession(event.session, event.title),
  status: (event) => { if (current) current.status.textContent = event.text; },
  token: (event) => {
    if (!current) return;
    current.draft.hidden = current.label.hidden = false;
    current.draft.append(event.text);
    scrollDown();
  },
  tool: (event) => { current?.tools.push({ name: event.name, result: event.result }); },
  answer: (event) => {
    if (!current) return;
    const { message, question, tools } = current;
    again = 0;
    renderAnswer(message, { ...event, tools: event.tools?.length ? event.tools : tools }, contextOf(question, event.message));
    setBusy(false);
    // The answer's beginning matters, not its end.
    message.previousElementSibling?.scrollIntoView({ block: "start" });
  },
  stopped: () => {
    if (current) settle("Stopped. What was drafted had not been checked, so it is not shown.", "msg__note", current.question);
  },
  error: (event) => fail(event.detail),
  reconnected: () => {
    if (!current) return;
    const { question, message } = current;
    if (again >= 1) {
      fail("The connection broke again while the answer was written.");
      return;
    }
    // The server stopped with the old connection; the question itself is not lost.
    again += 1;
    message.remove();
    setBusy(false);
    submit(question, { isAgain: true });
  },
};

const socket = connect("/ws/chat/", (event) => handlers[event.type]?.(event));

function submit(text, { isAgain = false } = {}) {
  const message = session ? { ask: text, session } : { ask: text };
  if (!socket.send(message)) {
    toast("Not connected. Your question is still in the box; try again in a moment.", "high");
    input.value = text;
    return false;
  }
  if (!isAgain) {
    again = 0;
    addUser(text);
    asked.push(text);
    recalled = asked.length;
  }
  begin(text);
  return true;
}

function ask(question) {
  const text = question.trim();
  if (!text) return;
  if (current) {
    toast("One question at a time: stop the running answer first (Esc).", "info", 3);
    return;
  }
  if (submit(text)) input.value = "";
}

/** ↑ and ↓ walk through the questions asked, while the box holds nothing of the user's own. */
function recall(step) {
  const untouched = !input.value || input.value === asked[recalled];
  if (!untouched || !asked.length) return false;
  recalled = Math.min(Math.max(recalled + step, 0), asked.length);
  input.value = asked[recalled] ?? "";
  input.setSelectionRange(input.value.length, input.value.length);
  return true;
}

/** j and k go from message to message. */
function walk(step) {
  const messages = [...log.querySelectorAll(".msg")];
  if (!messages.length) return;
  const at = messages.indexOf(document.activeElement.closest(".msg"));
  const next = messages[at < 0 ? (step > 0 ? 0 : messages.length - 1) : Math.min(Math.max(at + step, 0), messages.length - 1)];
  next.focus({ preventScroll: true });
  next.scrollIntoView({ block: "start" });
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  ask(input.value);
});
input.addEventListener("keydown", (event) => {
  if (event.isComposing) return;
  if (event.key === "Enter" && !event.shiftKey) {
    event.preventDefault();
    ask(input.value);
  } else if (event.key === "ArrowUp" && recall(-1)) {
    event.preventDefault();
  } else if (event.key === "ArrowDown" && recall(1)) {
    event.preventDefault();
  }
});
stop.addEventListener("click", () => socket.send({ stop: true }));
addEventListener("keydown", (event) => {
  if (event.key === "Escape" && current) {
    socket.send({ stop: true });
    return;
  }
  const typing = event.target.closest?.("input, textarea, select, [contenteditable]");
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "/") {
    event.preventDefault();
    input.focus();
  } else if (event.key === "j" || event.key === "k") {
    walk(event.key === "j" ? 1 : -1);
  }
});
for (const example of document.querySelectorAll("[data-example]")) {
  example.addEventListener("click", () => ask(example.textContent));
}

let question = "";
for (const message of data.messages) {
  if (message.role === "user") {
    question = message.text;
    addUser(message.text);
  } else {
    renderAnswer(addAssistant(), message, contextOf(question, message.mode === "closed" ? null : message.id));
  }
}
scrollDown(true);
