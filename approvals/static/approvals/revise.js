// The dialog for other parameters: a form made from the action's JSON schema, with units and limits.

import { api } from "/static/js/api.js";
import { toast } from "/static/js/toast.js";

const dialog = document.getElementById("revise");
const part = (name) => dialog.querySelector(`[data-${name}]`);
const field = (name) => dialog.querySelector(`[name=${name}]`);
let form = null;

function make(tag, properties = {}, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
}

const label = (name) => name.replace(/_(pct|c|w|kw)$/, "").replaceAll("_", " ");
const named = (rules, value) => rules["x-names"]?.[value] ?? String(value);

function limits(rules) {
  const unit = rules["x-unit"] ? ` ${rules["x-unit"]}` : "";
  if (rules.minimum === undefined) return rules.description ?? "";
  return `${rules.minimum} to ${rules.maximum}${unit}${rules.description ? `. ${rules.description}` : ""}`;
}

/** One input for a property of the schema; `read()` gives its JSON value, undefined when empty. */
function input(name, rules, value) {
  const id = `param-${name}`;
  if (rules.type === "number" || rules.type === "integer") {
    const node = make("input", { className: "input num", type: "number", id, required: true });
    if (rules.minimum !== undefined) node.min = rules.minimum;
    if (rules.maximum !== undefined) node.max = rules.maximum;
    node.step = rules.type === "integer" ? 1 : "any";
    node.value = value ?? "";
    const was = value === undefined ? "" : `now ${value}`;
    return {
      node: make("div", { className: "unit" }, node, make("span", { className: "was", textContent: `${rules["x-unit"] ?? ""} ${was}` })),
      read: () => (node.value === "" ? undefined : Number(node.value)),
    };
  }
  if (rules.type === "array" && rules.items?.enum) {
    const boxes = rules.items.enum.map((one) => make("input", { type: "checkbox", value: one, checked: (value ?? []).includes(one) }));
    return {
      node: make("div", { className: "checks small" }, ...boxes.map((box) => make("label", {}, box, ` ${named(rules.items, box.value)}`))),
      read: () => boxes.filter((box) => box.checked).map((box) => box.value),
    };
  }
  if (rules.enum) {
    const node = make("select", { className: "input", id }, ...rules.enum.map((one, at) => new Option(named(rules, one), at)));
    node.value = Math.max(0, rules.enum.indexOf(value));
    return { node, read: () => rules.enum[node.value] };
  }
  if (rules.type === "boolean") {
    const node = make("input", { type: "checkbox", id, checked: Boolean(value) });
    return { node, read: () => node.checked };
  }
  const node = make(rules["x-multiline"] ? "textarea" : "input", { className: "input", id, value: value ?? "" });
  if (rules.maxLength) node.maxLength = rules.maxLength;
  return { node, read: () => (node.value === "" ? undefined : node.value) };
}

function build({ schema, params }) {
  const rows = Object.entries(schema.properties ?? {}).map(([name, rules]) => {
    const made = input(name, rules, params[name]);
    const heading = make("label", { textContent: rules.title ?? label(name) });
    heading.htmlFor = `param-${name}`;
    const row = make("div", { className: "field" }, heading, made.node, make("small", { textContent: limits(rules) }));
    return { name, row, read: made.read };
  });
  if (!rows.length) part("params").replaceChildren(make("p", { className: "small muted", textContent: "This action has no parameters; only the words can change." }));
  else part("params").replaceChildren(...rows.map((one) => one.row));
  return () => Object.fromEntries(rows.map((one) => [one.name, one.read()]).filter(([, value]) => value !== undefined));
}

function say(error) {
  part("error").textContent = error?.message ?? "";
  part("error").hidden = !error;
}

async function open(card) {
  const { proposal: id, digest } = card.dataset;
  try {
    const asked = await api(`/api/v1/proposals/${id}/revise`);
    form = { id, digest, card, read: build(asked) };
    part("what").textContent = asked.title;
    part("sign").hidden = !asked.editor_may_sign;
    part("other").hidden = asked.editor_may_sign;
    part("again").hidden = !asked.reauthenticate;
  } catch (error) {
    toast(error.message, "high");
    return;
  }
  for (const name of ["rationale", "reason", "password", "otp"]) field(name).value = "";
  field("approve").checked = false;
  part("signing").hidden = true;
  say(null);
  dialog.showModal();
  (part("params").querySelector("input, select, textarea") ?? field("rationale")).focus();
}

async function send(event) {
  event.preventDefault();
  const wrong = [...part("params").querySelectorAll("input, select, textarea")].find((one) => !one.checkValidity());
  if (wrong) {
    say({ message: `${wrong.validationMessage}` });
    wrong.focus();
    return;
  }
  const body = { digest: form.digest, params: form.read(), rationale: field("rationale").value, approve: field("approve").checked };
  if (body.approve) for (const name of ["reason", "password", "otp"]) body[name] = field(name).value;
  part("go").disabled = true;
  try {
    const made = await api(`/api/v1/proposals/${form.id}/revise`, { method: "POST", body });
    dialog.close();
    const signed = made.state === "approved" ? " It is signed and goes to the plant." : made.state === "pending" ? " It waits for a signature." : "";
    toast(`Proposal ${form.id} was replaced by ${made.id}.${signed}`, "ok");
    for (const id of [form.id, made.id]) document.dispatchEvent(new CustomEvent("proposal-changed", { detail: { id: String(id) } }));
    if (location.pathname === `/approvals/${form.id}/`) location.assign(`/approvals/${made.id}/`);
  } catch (error) {
    if (/^reauthentication/.test(error.code)) part("again").hidden = false;
    say(error);
  } finally {
    part("go").disabled = false;
  }
}

if (dialog) {
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-revise]");
    if (button) open(button.closest("[data-proposal]"));
  });
  field("approve").addEventListener("change", () => {
    part("signing").hidden = !field("approve").checked;
    part("go").textContent = field("approve").checked ? "Propose and sign" : "Propose the change";
  });
  part("close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => {
    for (const name of ["password", "otp"]) field(name).value = "";
    if (form?.card.isConnected) form.card.focus({ preventScroll: true });
  });
  dialog.querySelector("form").addEventListener("submit", send);
}
