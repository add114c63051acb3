// One rule of the policy as a card that folds out into a form.

import { h, objectForm, placeFields, timeFields } from "./match-form.js";

const YES_NO = [[undefined, "not said"], [true, "yes"], [false, "no"]];
const ROLES = [[undefined, "not said"], ["operator", "operator"], ["supervisor", "supervisor"], ["admin", "admin"]];

const REQUIRE = [
  { name: "signatures", kind: "number", label: "Signatures", min: 1 },
  { name: "distinct_roles", kind: "number", label: "Different roles", min: 0 },
  { name: "least_role", kind: "pick", label: "Role at least", options: ROLES },
  { name: "reason", kind: "pick", label: "Reason required", options: YES_NO },
  { name: "reauthenticate", kind: "pick", label: "Password or code again", options: YES_NO },
  { name: "editor_may_sign", kind: "pick", label: "Editor may sign", options: YES_NO },
  { name: "maintenance_only", kind: "pick", label: "In a maintenance window only", options: YES_NO },
  { name: "rollback", kind: "pick", label: "When it does not help", options: [[undefined, "not said"], ["offer", "offer a rollback"], ["propose", "propose a rollback"]] },
  { name: "on_freeze", kind: "pick", label: "When a freeze begins under way", options: [[undefined, "not said"], ["hold", "wait before the next step"], ["finish", "finish what has begun"]] },
  { name: "approval_valid_s", kind: "number", label: "Sign within, min", scale: 60, step: "any", min: 0.5 },
  { name: "execute_within_s", kind: "number", label: "Execute within, min", scale: 60, step: "any", min: 0.5 },
];
const LIMITS = [
  { name: "per_hour", kind: "number", label: "Executed in an hour", min: 1, hint: "no limit" },
  { name: "per_target_per_hour", kind: "number", label: "… on one asset", min: 1, hint: "no limit" },
  { name: "open_at_once", kind: "number", label: "Under way at once", min: 1, hint: "no limit" },
  { name: "max_racks", kind: "number", label: "Racks reached", hint: "no limit" },
  { name: "max_gpus", kind: "number", label: "GPUs reached", hint: "no limit" },
  { name: "max_it_kw", kind: "number", label: "IT load reached, kW", step: "any", hint: "no limit" },
];
const REACHES = [
  { name: "racks", kind: "number", label: "Reaches at least, racks", min: 1 },
  { name: "gpus", kind: "number", label: "… GPUs", min: 1 },
  { name: "it_kw", kind: "number", label: "… IT load, kW", step: "any" },
];

const group = (title, ...children) => h("section", { className: "rule__group" }, h("h3", {}, title), ...children);

/**
 * A card for `rule`; `sentence` is what the server says of it. Calls `changed()` after each edit and
 * `removed(card)` for the button. `card.read()` is the rule as JSON.
 */
export function ruleCard(rule, { data, sentence, changed, removed, mayChange, open = false }) {
  const match = rule.match ?? {};
  const name = h("input", { className: "input", value: rule.name, maxLength: 80, required: true });
  const place = objectForm(placeFields(data), match);
  const time = objectForm(timeFields(), match);
  const reaches = objectForm(REACHES, match.reaches);
  const require = objectForm(REQUIRE, rule.require);
  const limits = objectForm(LIMITS, rule.limits);
  const deny = h("input", { type: "checkbox", checked: Boolean(rule.deny) });
  const reason = h("input", { className: "input", value: rule.reason ?? "", maxLength: 300, placeholder: "Why; people read it when it holds them up" });
  const title = h("b", {}, rule.name || "New rule");
  const about = h("span", { className: "rule__about" }, sentence ?? "");
  const mark = h("span", { className: "badge badge--critical", hidden: !rule.deny }, "forbids");
  const problem = h("span", { className: "error-text rule__problem", hidden: true });

  const form = h("fieldset", { className: "rule__form", disabled: !mayChange },
    h("label", { className: "field" }, h("span", {}, "Name"), name),
    group("Applies to", place.node, time.node, reaches.node),
    group("Requires", require.node),
    group("Limits", limits.node),
    group("Forbids", h("label", { className: "check" }, deny, "Forbid what it applies to; no signature helps"), h("label", { className: "field" }, h("span", {}, "Reason"), reason)),
  );
  if (mayChange) {
    const remove = h("button", { type: "button", className: "btn btn-danger" }, "Remove this rule");
    remove.addEventListener("click", () => removed(card));
    form.append(h("div", {}, remove));
  }
  const details = h("details", { className: "rule card", open }, h("summary", {}, h("span", { className: "rule__title" }, title, mark), about, problem), form);

  const read = () => {
    const where = { ...place.read(), ...time.read() };
    const least = reaches.read();
    if (Object.keys(least).length) where.reaches = least;
    const made = { name: name.value.trim() };
    const parts = { match: where, require: require.read(), limits: limits.read() };
    for (const [part, value] of Object.entries(parts)) if (Object.keys(value).length) made[part] = value;
    if (deny.checked) made.deny = true;
    if (reason.value.trim()) made.reason = reason.value.trim();
    return made;
  };
  form.addEventListener("input", () => {
    title.textContent = name.value || "New rule";
    mark.hidden = !deny.checked;
    changed();
  });
  const card = {
    node: details,
    read,
    say(text) {
      about.textContent = text ?? "";
    },
    complain(text) {
      problem.textContent = text;
      problem.hidden = !text;
      details.classList.toggle("rule--wrong", Boolean(text));
    },
    focus() {
      details.open = true;
      name.focus();
    },
  };
  return card;
}
