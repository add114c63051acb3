// Pick an action of the catalogue, a target and its parameters; fields follow the JSON schema.

import { api } from "/static/js/api.js";
import { num } from "/static/js/format.js";
import { h } from "./match-form.js";

const UNITS = { Cel: "°C", "1": "" };

/**
 * Fill `root` (with [data-kind], [data-target], [data-summary], [data-params]) from the catalogue.
 * `filled`: numbers start in the middle of their limits, so that there is an answer at once.
 */
export async function actionForm(root, changed, { filled = false } = {}) {
  const part = (name) => root.querySelector(`[data-${name}]`);
  const kinds = (await api("/api/v1/actions/")).filter((kind) => kind.targets.length);
  let fields = [];

  const kindNow = () => kinds.find((kind) => kind.name === part("kind").value);
  const targetNow = () => kindNow()?.targets.find((target) => target.tag === part("target").value);

  function showKind() {
    const kind = kindNow();
    part("summary").textContent = kind.summary;
    const before = part("target").value;
    part("target").replaceChildren(...kind.targets.map((t) => h("option", { value: t.tag }, t.name === t.tag ? t.tag : `${t.name} (${t.tag})`)));
    if (kind.targets.some((t) => t.tag === before)) part("target").value = before;
    showParams();
  }

  function showParams() {
    const schema = targetNow().schema;
    const required = new Set(schema.required ?? []);
    fields = Object.entries(schema.properties ?? {}).map(([name, spec]) => paramField(name, spec, required.has(name), filled));
    part("params").replaceChildren(...fields.map((field) => field.node));
    follow(fields);
    for (const field of fields) field.now?.();
    changed();
  }

  for (const risk of ["low", "medium", "high"]) {
    const mine = kinds.filter((kind) => kind.risk === risk);
    if (mine.length) part("kind").append(h("optgroup", { label: `${risk[0].toUpperCase()}${risk.slice(1)} risk` }, ...mine.map((kind) => h("option", { value: kind.name }, kind.title))));
  }
  part("kind").addEventListener("change", showKind);
  part("target").addEventListener("change", showParams);
  part("params").addEventListener("input", changed);

  const wanted = new URLSearchParams(location.search);
  if (kinds.some((kind) => kind.name === wanted.get("kind"))) part("kind").value = wanted.get("kind");
  showKind();
  const tag = wanted.get("target");
  if (tag && [...part("target").options].some((option) => option.value === tag)) {
    part("target").value = tag;
    showParams();
  }

  return {
    /** {kind, target, params} as the API takes it. Parameters left empty are left out. */
    read() {
      const params = {};
      for (const field of fields) {
        const value = field.read();
        if (value !== undefined) params[field.name] = value;
      }
      return { kind: part("kind").value, target: part("target").value, params };
    },
    complete: () => fields.every((field) => !field.required || field.read() !== undefined),
  };
}

/** A field that another one decides (a revision that belongs to its document) is filled, not asked. */
function follow(fields) {
  for (const field of fields) {
    const values = field.spec["x-values"];
    const leader = values && fields.find((one) => one.spec.enum?.some((code) => code in values));
    if (!leader) continue;
    const copy = () => {
      field.node.querySelector("input").value = values[leader.read()] ?? "";
    };
    field.node.querySelector("input").readOnly = true;
    leader.node.addEventListener("change", copy);
    copy();
  }
}

/** Say beside the limits what the point that is written shows now. */
async function showNow(tag, unit, note) {
  try {
    const { latest } = await api(`/api/v1/points/${encodeURIComponent(tag)}/`);
    if (latest) note.prepend(`now ${num(latest.value, 1)}${unit ? ` ${unit}` : ""}, `);
  } catch {
    // The limits stand without it.
  }
}

function paramField(name, spec, required, filled) {
  const unit = UNITS[spec["x-unit"]] ?? spec["x-unit"] ?? "";
  const names = spec["x-names"] ?? {};
  const text = spec.description || name.replaceAll("_", " ");
  const limits = spec.minimum !== undefined && spec.maximum !== undefined ? `${spec.minimum} to ${spec.maximum}${unit ? ` ${unit}` : ""}` : unit;
  const label = h("span", {}, `${text}${required ? "" : " (optional)"}`);
  if (spec.type === "array") {
    const boxes = (spec.items?.enum ?? []).map((value) => ({ value, box: h("input", { type: "checkbox" }) }));
    const choices = boxes.map(({ value, box }) => h("label", { className: "choice" }, box, h("span", {}, names[value] ?? String(value))));
    const read = () => {
      const chosen = boxes.filter((one) => one.box.checked).map((one) => one.value);
      return chosen.length ? chosen : undefined;
    };
    return { name, spec, required, read, node: h("fieldset", { className: "field-set" }, h("legend", {}, text), h("div", { className: "choices" }, ...choices)) };
  }
  if (spec.enum) {
    const select = h("select", { className: "input" }, ...(required ? [] : [h("option", { value: "" }, "–")]), ...spec.enum.map((value) => h("option", { value: JSON.stringify(value) }, names[value] ?? String(value))));
    return { name, spec, required, node: h("label", { className: "field" }, label, select), read: () => (select.value === "" ? undefined : JSON.parse(select.value)) };
  }
  const isNumber = spec.type === "number" || spec.type === "integer";
  const input = spec["x-multiline"] ? h("textarea", { className: "input", rows: 4 }) : h("input", { className: "input", type: isNumber ? "number" : spec.format === "date-time" ? "datetime-local" : "text" });
  if (isNumber) {
    Object.assign(input, { step: spec.type === "integer" ? 1 : "any", min: spec.minimum ?? "", max: spec.maximum ?? "" });
    if (spec.default !== undefined) input.value = spec.default;
    else if (filled && limits && spec.minimum !== undefined) input.value = Math.round((spec.minimum + spec.maximum) / 2);
  } else if (spec.maxLength) input.maxLength = spec.maxLength;
  input.required = required;
  const read = () => {
    if (input.value.trim() === "") return undefined;
    if (isNumber) return Number(input.value);
    return spec.format === "date-time" ? new Date(input.value).toISOString() : input.value.trim();
  };
  const note = limits ? h("span", { className: "tiny muted num" }, limits) : null;
  const now = spec["x-point"] && note ? () => showNow(spec["x-point"], unit, note) : undefined;
  return { name, spec, required, read, now, node: h("label", { className: "field" }, label, input, note) };
}
