// Numbered citation links, the list of sources below an answer, and the card on hover or focus.

import { sitePath } from "./chat-dom.js";

let card = null;
let described = null;

function where(citation) {
  return [
    citation.section,
    citation.page ? `page ${citation.page}` : "",
    citation.revision ? `revision ${citation.revision}` : "",
    citation.effective_from ? `in force since ${citation.effective_from}` : "",
  ].filter(Boolean).join(" · ");
}

function show(anchor, citation) {
  hide();
  card = document.createElement("div");
  card.className = "citecard";
  card.id = "citecard";
  card.setAttribute("role", "tooltip");
  const title = document.createElement("strong");
  title.textContent = citation.title;
  const place = document.createElement("span");
  place.className = "tiny muted";
  place.textContent = where(citation);
  const quote = document.createElement("p");
  quote.textContent = citation.quote.replace(/\*\*|`/g, "");
  card.append(title, place, quote);
  for (const warning of warnings(citation)) {
    const line = document.createElement("span");
    line.className = "citecard__warning tiny";
    line.textContent = warning;
    card.append(line);
  }
  described = anchor;
  anchor.setAttribute("aria-describedby", card.id);
  document.body.append(card);
  const box = anchor.getBoundingClientRect();
  const left = Math.min(Math.max(16, box.left - 24), innerWidth - card.offsetWidth - 16);
  const above = box.top - card.offsetHeight - 8;
  card.style.left = `${left}px`;
  card.style.top = `${above > 8 ? above : box.bottom + 8}px`;
}

function warnings(citation) {
  return [
    citation.in_force === false ? "This revision is not in force now." : "",
    citation.flagged ? "The import flagged this text; read it in the document." : "",
    citation.kind === "report" ? "Experience from an outcome report, not a procedure." : "",
  ].filter(Boolean);
}

function hide() {
  card?.remove();
  card = null;
  described?.removeAttribute("aria-describedby");
  described = null;
}

function withCard(anchor, citation) {
  anchor.addEventListener("mouseenter", () => show(anchor, citation));
  anchor.addEventListener("focus", () => show(anchor, citation));
  anchor.addEventListener("mouseleave", hide);
  anchor.addEventListener("blur", hide);
  return anchor;
}

addEventListener("scroll", hide, { capture: true, passive: true });
addEventListener("keydown", (event) => event.key === "Escape" && hide());

const href = (citation) => sitePath(citation.url) ?? "#";

/** The mark [n] as a link to the cited passage. */
export function citationMark(citation) {
  const anchor = document.createElement("a");
  anchor.className = "cite";
  anchor.href = href(citation);
  anchor.textContent = citation.n;
  anchor.setAttribute("aria-label", `Source ${citation.n}: ${citation.title}, ${where(citation)}`);
  return withCard(anchor, citation);
}

/** The sources of an answer as a list of links. */
export function sourceList(citations) {
  const list = document.createElement("ul");
  list.className = "sources";
  list.setAttribute("aria-label", "Sources");
  for (const citation of citations) {
    const anchor = document.createElement("a");
    anchor.href = href(citation);
    const number = document.createElement("span");
    number.className = "cite";
    number.textContent = citation.n;
    const label = document.createElement("span");
    label.textContent = [citation.title, citation.section?.split(" › ").at(-1)].filter(Boolean).join(" · ");
    anchor.append(number, label);
    const item = document.createElement("li");
    item.append(withCard(anchor, citation));
    list.append(item);
  }
  return list;
}

/** The steps of a procedure as links; the cited one is marked. */
export function stepList(procedure) {
  const box = document.createElement("nav");
  box.className = "steps";
  box.setAttribute("aria-label", `Steps of ${procedure.title}`);
  const title = document.createElement("a");
  title.className = "steps__title";
  title.href = href(procedure);
  title.textContent = `${procedure.title} · revision ${procedure.revision}`;
  const list = document.createElement("ol");
  for (const step of procedure.steps) {
    const anchor = document.createElement("a");
    anchor.href = href(step);
    anchor.textContent = step.title.replace(/^Step \d+\s*[—–:-]\s*/, "");
    const item = document.createElement("li");
    item.value = step.n;
    if (step.n === procedure.current) item.setAttribute("aria-current", "step");
    item.append(anchor);
    list.append(item);
  }
  box.append(title, list);
  return box;
}
