// One answer as it is shown: notes, text with marks, tool results, steps, sources, what to do next.

import { toast } from "/static/js/toast.js";
import { button, element, siteLink } from "./chat-dom.js";
import { thumbs } from "./chat-feedback.js";
import { toolCard } from "./chat-tools.js";
import { citationMark, sourceList, stepList } from "./citations.js";
import { richText } from "./rich-text.js";

const LONG_CHARS = 2600;
const MAX_FOLLOW_UPS = 3;

function note(text, kind = "") {
  return element("p", `msg__note${kind ? ` msg__note--${kind}` : ""}`, text);
}

function plural(count, one, many) {
  return `${count} ${count === 1 ? one : many}`;
}

/** Questions that the procedure's outline suggests: the next steps after the one shown. */
function followUps(answer) {
  const { procedure } = answer;
  if (!procedure?.steps?.length) return [];
  const at = procedure.steps.findIndex((step) => step.n === procedure.current);
  const rest = procedure.steps.slice(at + 1).filter((step) => !step.shown);
  return rest.slice(0, MAX_FOLLOW_UPS).map((step) => ({
    label: step.title,
    question: `Step ${step.n} of ${procedure.title}`,
  }));
}

function revisionLine(revisions) {
  const box = element("p", "msg__revisions tiny muted");
  revisions.forEach((revision, index) => {
    if (index) box.append(" · ");
    const text = revision.label || `${revision.title}, revision ${revision.revision}`;
    box.append(siteLink(text, revision.url));
    if (revision.in_force === false) box.append(element("span", "badge badge--high", "not in force now"));
    else if (revision.review_overdue) box.append(element("span", "badge badge--high", "review overdue"));
  });
  return box;
}

function folded(text) {
  const details = element("details", "msg__more");
  details.append(element("summary", "small", "Show the whole answer"));
  details.append(text);
  return details;
}

function body(answer) {
  const byNumber = new Map((answer.citations ?? []).map((citation) => [citation.n, citation]));
  const cite = (n) => (byNumber.has(n) ? citationMark(byNumber.get(n)) : null);
  const text = element("div", "msg__text");
  const content = answer.answer ?? answer.text;
  const cut = content.length > LONG_CHARS ? content.indexOf("\n\n", LONG_CHARS / 2) : -1;
  if (cut > 0) {
    text.append(richText(content.slice(0, cut), cite), folded(richText(content.slice(cut + 2), cite)));
  } else {
    text.append(richText(content, cite));
  }
  return text;
}

function plainText(answer) {
  const sources = (answer.citations ?? []).map((citation) => {
    const place = [citation.section, citation.page && `page ${citation.page}`, citation.revision && `revision ${citation.revision}`];
    return `[${citation.n}] ${[citation.title, ...place].filter(Boolean).join(", ")}`;
  });
  return [(answer.answer ?? answer.text).replace(/^> ?/gm, ""), ...sources].join("\n").trim();
}

async function copy(answer) {
  try {
    await navigator.clipboard.writeText(plainText(answer));
    toast("Copied with its sources.", "ok", 3);
  } catch {
    toast("The browser does not allow copying here; select the text instead.", "high");
  }
}

function actions(answer, { question, ask, reasons, id }) {
  const row = element("div", "msg__actions");
  row.append(button("Copy", "btn btn-ghost msg__act", () => copy(answer)));
  if (question) row.append(button("Ask again", "btn btn-ghost msg__act", () => ask(question)));
  if (id) row.append(thumbs(id, reasons, answer.feedback));
  return row;
}

function suggestions(answer, ask) {
  const found = followUps(answer);
  if (!found.length) return null;
  const box = element("div", "msg__next");
  box.setAttribute("aria-label", "Ask next");
  for (const { label, question } of found) box.append(button(label, "chip", () => ask(question)));
  return box;
}

function candidateList(candidates) {
  const box = element("p", "msg__revisions tiny muted", "Also fitting: ");
  candidates.forEach((candidate, index) => {
    if (index) box.append(" · ");
    box.append(siteLink(`${candidate.title}, revision ${candidate.revision}`, candidate.url));
  });
  return box;
}

/**
 * Fill a message with a checked answer (of the socket or of history). `context` holds `question`,
 * `ask(question)`, `reasons` of feedback, and `id` of the stored answer.
 */
export function renderAnswer(message, answer, context) {
  const parts = [];
  if (answer.mode === "closed") {
    message.replaceChildren(note(answer.text, "degraded"));
    return;
  }
  if (answer.asked_as) parts.push(note(`Understood as: ${answer.asked_as}`));
  for (const warning of answer.notes ?? []) parts.push(note(warning.text, "warning"));
  if (answer.mode === "quote" && !answer.tools?.length) parts.push(note("Quoted word for word"));
  // What a tool found stands above the documents' words, and below its own where it answers alone.
  const cards = (answer.tools ?? []).map((tool) => toolCard(tool) ?? toolLink(tool));
  parts.push(...(answer.mode === "tool" ? [body(answer), ...cards] : [...cards, body(answer)]));
  if (answer.revisions?.length) parts.push(revisionLine(answer.revisions));
  if (answer.procedure) parts.push(stepList(answer.procedure));
  if (answer.citations?.length) parts.push(sourceList(answer.citations));
  if (answer.candidates?.length) parts.push(candidateList(answer.candidates));
  if (answer.dropped) parts.push(note(`${plural(answer.dropped, "sentence", "sentences")} of the draft left out: no source supports ${answer.dropped === 1 ? "it" : "them"}.`));
  if (answer.replaced) parts.push(note(`${plural(answer.replaced, "sentence was", "sentences were")} replaced by the source’s own words.`));
  if (answer.degraded) parts.push(note(answer.degraded, "degraded"));
  parts.push(actions(answer, context));
  const next = suggestions(answer, context.ask);
  if (next) parts.push(next);
  message.replaceChildren(...parts.filter(Boolean));
}

function toolLink(tool) {
  return tool.result?.url ? siteLink(tool.result.title || "Open", tool.result.url, "btn msg__link") : null;
}
