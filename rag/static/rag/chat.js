// The chat page: asks over /ws/chat/, shows the draft as it comes and the checked answer after it.
import { connect } from "/static/js/live.js";
import { toast } from "/static/js/toast.js";
import { citationMark, sourceList, stepList } from "./citations.js";
import { richText } from "./rich-text.js";

const data = JSON.parse(document.getElementById("chat-data").textContent);
const [log, start, form, input, send, stop, sessions] = ["log", "start", "ask", "question", "send", "stop", "sessions"]
  .map((id) => document.getElementById(id));
let session = data.session;
let current = null;

function element(name, className, text) {
  const node = document.createElement(name);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

function scrollDown() {
  log.scrollTop = log.scrollHeight;
}

function addUser(text) {
  start.hidden = true;
  const message = element("article", "msg msg--user");
  message.append(element("div", "msg__text", text));
  log.append(message);
}

function renderAnswer(message, answer) {
  const byNumber = new Map(answer.citations.map((citation) => [citation.n, citation]));
  const text = element("div", "msg__text");
  const cite = (n) => (byNumber.has(n) ? citationMark(byNumber.get(n)) : null);
  text.append(richText(answer.answer ?? answer.text, cite));
  message.replaceChildren(text);
  if (answer.mode === "quote") message.prepend(element("span", "msg__note", "Quoted word for word"));
  if (answer.tool?.url?.startsWith("/")) {
    const link = element("a", "btn msg__link", answer.tool.title || "Open");
    link.href = answer.tool.url;
    message.append(link);
  }
  if (answer.procedure) message.append(stepList(answer.procedure));
  if (answer.citations.length) message.append(sourceList(answer.citations));
  if (answer.dropped) {
    const noun = answer.dropped === 1 ? "sentence of the draft was" : "sentences of the draft were";
    message.append(element("span", "msg__note", `${answer.dropped} ${noun} left out: no source supports it.`));
  }
  if (answer.degraded) message.append(element("span", "msg__note msg__note--degraded", answer.degraded));
}

function addAssistant() {
  const message = element("article", "msg msg--assistant");
  log.append(message);
  return message;
}

function begin(question) {
  addUser(question);
  const message = addAssistant();
  const status = element("span", "msg__status", "Sending");
  const draft = element("div", "msg__draft");
  draft.hidden = true;
  message.append(status, draft);
  current = { message, status, draft, question, tool: null };
  setBusy(true);
  scrollDown();
}

function setBusy(busy) {
  send.hidden = busy;
  stop.hidden = !busy;
  if (!busy) {
    current = null;
    input.focus();
  }
}

function fail(text) {
  if (!current) {
    toast(text, "high");
    return;
  }
  current.message.replaceChildren(element("span", "msg__error", text));
  setBusy(false);
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
    current.draft.hidden = false;
    current.draft.append(event.text);
    current.status.textContent = "Drafting, not checked yet";
    scrollDown();
  },
  tool: (event) => { if (current) current.tool = event.result; },
  answer: (event) => {
    if (!current) return;
    renderAnswer(current.message, { ...event, tool: current.tool });
    setBusy(false);
    scrollDown();
  },
  stopped: () => {
    if (!current) return;
    current.message.replaceChildren(element("span", "msg__note", "Stopped. What was drafted had not been checked, so it is not shown."));
    setBusy(false);
  },
  error: (event) => fail(event.detail),
  reconnected: () => { if (current) fail("The connection broke while the answer was written. Ask again."); },
};

const socket = connect("/ws/chat/", (event) => handlers[event.type]?.(event));

function ask(question) {
  const text = question.trim();
  if (!text || current) return;
  const message = session ? { ask: text, session } : { ask: text };
  if (!socket.send(message)) {
    toast("Not connected. Your question is still in the box; try again in a moment.", "high");
    return;
  }
  begin(text);
  input.value = "";
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  ask(input.value);
});
input.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    ask(input.value);
  }
});
stop.addEventListener("click", () => socket.send({ stop: true }));
addEventListener("keydown", (event) => {
  if (event.key === "Escape" && current) socket.send({ stop: true });
});
for (const button of document.querySelectorAll("[data-example]")) {
  button.addEventListener("click", () => {
    input.value = button.textContent;
    ask(button.textContent);
  });
}
for (const message of data.messages) {
  if (message.role === "user") addUser(message.text);
  else renderAnswer(addAssistant(), message);
}
scrollDown();
