// The answer to "who would have to sign this, and why": people, barriers, reach, preconditions.

import { watts } from "/static/js/format.js";
import { h } from "./match-form.js";
import { plotOf } from "./plot.js";

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
    ...prediction(found.prediction),
    card("Who would have to sign", ...signing(found)),
    card("What stands in the way", ...barriers(found)),
    card(!found.preconditions.length ? "No precondition" : failed.length ? `Preconditions: ${failed.length} of ${found.preconditions.length} do${failed.length === 1 ? "es" : ""} not hold now` : `Preconditions: all ${found.preconditions.length} hold now`,
      h("ul", { className: "plain plain--bare small" }, ...found.preconditions.map((one) => h("li", { className: one.ok ? "" : "warn-text" }, `${one.ok ? "✓" : "✗"} ${one.detail}`)))),
    card("What it reaches", ...reach(found)),
  );
}

function signing(found) {
  const r = found.requirement;
  const people = found.people.map((one) => h("span", { className: "choice choice--fixed" }, h("b", {}, one.username), ` ${one.role}`));
  return [
    h("p", {}, found.sentence.split(" Could sign:")[0]),
    people.length ? h("div", { className: "choices" }, ...people) : h("p", { className: "error-text" }, "Nobody could sign it."),
    found.problem ? h("p", { className: "error-text" }, `It ${found.problem}.`) : null,
    ...(found.warnings ?? []).map((text) => h("p", { className: "small warn-text" }, text[0].toUpperCase() + text.slice(1))),
    h("p", { className: "small muted" }, `Whoever asks for it cannot sign it. It waits ${minutes(r.approval_valid_s)} for signatures and is executed within ${minutes(r.execute_within_s)} of the last one.`),
    h("h3", { className: "small muted" }, `Why (policy ${r.policy})`),
    r.because.length ? h("ul", { className: "plain small" }, ...r.because.map((why) => h("li", {}, why))) : h("p", { className: "small" }, "No rule asks for more than one signature."),
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
  if (predicted.problem) return [card("What the twin predicts", h("p", { className: "muted" }, predicted.problem))];
  const key = (name, text) => h("span", { className: `key key--${name}` }, text);
  const figure = h("figure", { className: "prediction__plot" }, plotOf(predicted), h("figcaption", { className: "muted tiny" }, key("acting", "with this action"), " ", key("nothing", "doing nothing"), ` · 10th to 90th percentile of ${predicted.draws} draws · ${predicted.tag}`));
  const verdicts = { fit: ["ok", "twin fit"], unfit: ["high", "twin not fit"] };
  const [tone, said] = verdicts[predicted.fit?.verdict] ?? ["medium", "fitness unknown"];
  const alarms = (found, verb, of) => found.map((one) => h("p", { className: "small" }, h("span", { className: `badge badge--${of ?? one.severity}` }, verb), ` ${one.rule} `, h("span", { className: "muted mono tiny" }, one.point)));
  const words = h("div", { className: "prediction__words" }, h("p", {}, predicted.sentence), ...alarms(predicted.added.slice(0, 4), "raises"), ...alarms(predicted.avoided.slice(0, 4), "avoids", "ok"), h("p", { className: "small muted" }, h("span", { className: `badge badge--${tone}` }, said), ` ${predicted.fit?.text ?? ""}`));
  return [card("What the twin predicts", h("div", { className: "prediction__pair" }, figure, words))];
}

const minutes = (seconds) => (seconds >= 7200 ? `${Math.round(seconds / 360) / 10} h` : seconds >= 60 ? `${Math.round(seconds / 60)} min` : `${seconds} s`);
