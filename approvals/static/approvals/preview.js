// The answer to "who would have to sign this, and why": people, barriers, reach, preconditions.

import { watts } from "/static/js/format.js";
import { h } from "./match-form.js";

const RISK = { low: "neutral", medium: "medium", high: "critical" };
const STEPS = { propose: "proposed", approve: "signed", execute: "executed" };

const card = (title, ...children) => h("section", { className: "card" }, h("header", { className: "card__head" }, h("h2", {}, title)), h("div", { className: "card__body stack-s" }, ...children));
const list = (items) => h("ul", { className: "plain" }, ...items.map((item) => h("li", {}, item)));
const when = (iso) => new Date(iso).toLocaleString("en-GB", { weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });

/** Show a preview of the API in `root`. */
export function showPreview(root, found) {
  const failed = found.preconditions.filter((one) => !one.ok);
  root.replaceChildren(
    h("header", { className: "preview__head" }, h("h2", {}, found.title), h("span", { className: `badge badge--${RISK[found.risk]}` }, `${found.risk} risk`)),
    card("Who would have to sign", ...signing(found)),
    card("What stands in the way", ...barriers(found)),
    card(failed.length ? `Preconditions: ${failed.length} of ${found.preconditions.length} do not hold now` : `Preconditions: all ${found.preconditions.length} hold now`,
      h("ul", { className: "plain plain--bare small" }, ...found.preconditions.map((one) => h("li", { className: one.ok ? "" : "warn-text" }, `${one.ok ? "✓" : "✗"} ${one.detail}`)))),
    card("What it reaches", ...reach(found)),
    ...prediction(found.prediction),
  );
}

function signing(found) {
  const r = found.requirement;
  const people = found.people.map((one) => h("span", { className: "choice choice--fixed" }, h("b", {}, one.username), ` ${one.role}`));
  return [
    h("p", {}, found.sentence.split(" Could sign:")[0]),
    people.length ? h("div", { className: "choices" }, ...people) : h("p", { className: "error-text" }, "Nobody could sign it."),
    found.problem ? h("p", { className: "error-text" }, `It ${found.problem}.`) : null,
    h("p", { className: "small muted" }, `Whoever asks for it cannot sign it. It waits ${minutes(r.approval_valid_s)} for signatures and is executed within ${minutes(r.execute_within_s)} of the last one.`),
    h("h3", { className: "small muted" }, `Why (policy ${r.policy})`),
    r.because.length ? list(r.because) : h("p", { className: "small" }, "No rule asks for more than one signature."),
  ];
}

function barriers(found) {
  const groups = new Map();
  for (const [step, denials] of Object.entries(found.barriers)) {
    const texts = denials.map((one) => `${one.sentence}${one.can_break_glass ? " (break-glass would waive it)" : ""}`);
    if (texts.length) groups.set(texts.join("\n"), { texts, steps: [...(groups.get(texts.join("\n"))?.steps ?? []), STEPS[step]] });
  }
  const parts = [...groups.values()].map(({ texts, steps }) => h("div", {}, h("h3", { className: "small" }, `At ${when(found.at)} it could not be ${steps.join(" or ")}`), list(texts)));
  if (!parts.length) parts.push(h("p", {}, `Nothing: no freeze, rule or limit holds it up at ${when(found.at)}.`));
  if (found.cool_down_s > 0) parts.push(h("p", { className: "small muted" }, `The asset rests ${minutes(found.cool_down_s)} after this action.`));
  return parts;
}

function reach(found) {
  const b = found.blast_radius;
  const count = (value) => (Array.isArray(value) ? value.length : value ?? 0);
  const rows = [["Racks", count(b.racks)], ["Servers", count(b.servers)], ["GPUs", count(b.gpus)], ["Jobs", count(b.jobs)], ["Links", count(b.links)], ["IT load", watts(b.it_w ?? 0)]];
  return [
    h("p", {}, b.sentence || "Nothing beyond the asset itself."),
    h("dl", { className: "kv" }, ...rows.filter(([, value]) => value).flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, String(value))])),
    h("div", {}, h("h3", { className: "small muted" }, "Written to the plant"), list(found.writes.map((one) => one.body ? `${one.tag}: ${one.body.title ?? "an order"}` : `${one.tag} ← ${one.value}`))),
  ];
}

function prediction(predicted) {
  if (!Object.keys(predicted).length) return [];
  const text = predicted.problem || predicted.sentence || "";
  const fit = predicted.fit?.text ? h("p", { className: "small muted" }, predicted.fit.text) : null;
  return [card("What the twin predicts", h("p", { className: predicted.problem ? "muted" : "" }, text), fit)];
}

const minutes = (seconds) => (seconds >= 7200 ? `${Math.round(seconds / 360) / 10} h` : seconds >= 60 ? `${Math.round(seconds / 60)} min` : `${seconds} s`);
