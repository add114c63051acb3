// Fields that make a JSON object: a rule's parts, a window's match. Empty fields are left out.

/** Make an element: h("p", {className: "x"}, "text", child). */
export function h(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (name === "data") Object.assign(node.dataset, value);
    else if (name.startsWith("aria-") || name === "list" || name === "role") node.setAttribute(name, value);
    else node[name] = value;
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

const words = (name) => name.replaceAll("_", " ");
let serial = 0;

/** One field of a kind; returns {node, read} where read() is the value, or undefined for nothing said. */
const MAKERS = {
  choices(field, value) {
    const given = new Set(value ?? []);
    const boxes = field.options.map(([code, label]) => {
      const box = h("input", { type: "checkbox", value: String(code), checked: given.has(code) });
      return { box, code, node: h("label", { className: "choice" }, box, h("span", {}, label)) };
    });
    const node = h("fieldset", { className: "field-set" }, h("legend", {}, field.label), h("div", { className: "choices" }, ...boxes.map((one) => one.node)));
    const read = () => {
      const chosen = boxes.filter((one) => one.box.checked).map((one) => one.code);
      return chosen.length ? chosen : undefined;
    };
    return { node, read };
  },
  list(field, value) {
    const input = h("input", { className: "input", value: (value ?? []).join(", "), placeholder: field.hint ?? "", maxLength: 500 });
    const read = () => {
      const parts = input.value.split(",").map((part) => part.trim()).filter(Boolean);
      return parts.length ? parts : undefined;
    };
    return { node: labelled(field, input), read };
  },
  number(field, value) {
    const scale = field.scale ?? 1;
    const input = h("input", { className: "input", type: "number", min: field.min ?? 0, step: field.step ?? 1, value: value === undefined ? "" : value / scale, placeholder: field.hint ?? "–" });
    return { node: labelled(field, input), read: () => (input.value === "" ? undefined : Number(input.value) * scale) };
  },
  text(field, value) {
    const input = h("input", { className: "input", value: value ?? "", placeholder: field.hint ?? "", maxLength: field.max ?? 300, type: field.type ?? "text" });
    if (field.list) input.setAttribute("list", field.list);
    return { node: labelled(field, input), read: () => (input.value.trim() === "" ? undefined : input.value.trim()) };
  },
  pick(field, value) {
    const select = h("select", { className: "input" }, ...field.options.map(([code, label]) => h("option", { value: JSON.stringify(code ?? null), selected: (value ?? null) === (code ?? null) }, label)));
    return { node: labelled(field, select), read: () => JSON.parse(select.value) ?? undefined };
  },
};

function labelled(field, input) {
  input.id = `f${++serial}`;
  return h("label", { className: "field", htmlFor: input.id }, h("span", {}, field.label), input);
}

/** Fields for an object. Returns {node, read}; read() leaves out what is empty. */
export function objectForm(fields, value, className = "form-cells") {
  const made = fields.map((field) => ({ name: field.name, ...MAKERS[field.kind](field, value?.[field.name]) }));
  const node = h("div", { className }, ...made.map((one) => one.node));
  const read = () => {
    const found = {};
    for (const one of made) {
      const said = one.read();
      if (said !== undefined) found[one.name] = said;
    }
    return found;
  };
  return { node, read };
}

const DAYS = [[0, "Mon"], [1, "Tue"], [2, "Wed"], [3, "Thu"], [4, "Fri"], [5, "Sat"], [6, "Sun"]];

/** What an action is: the fields that rules and windows share. */
export function placeFields(data) {
  return [
    { name: "risks", kind: "choices", label: "Risk", options: [["low", "Low"], ["medium", "Medium"], ["high", "High"]] },
    { name: "authors", kind: "choices", label: "Asked for by", options: [["agent", "The agent"], ["person", "A person"], ["outside", "An outside agent"]] },
    { name: "halls", kind: "choices", label: "Hall", options: data.halls.map((hall) => [hall, hall]) },
    { name: "target_kinds", kind: "choices", label: "On any", options: data.target_kinds.map((kind) => [kind, words(kind)]) },
    { name: "kinds", kind: "choices", label: "Action", options: data.kinds.map((kind) => [kind.name, kind.title]) },
    { name: "targets", kind: "list", label: "Assets by tag (* and ?, comma between)", hint: "crac-*, rack-1-0?" },
  ];
}

export const timeFields = () => [
  { name: "weekdays", kind: "choices", label: "On", options: DAYS },
  { name: "from", kind: "text", type: "time", label: "From" },
  { name: "to", kind: "text", type: "time", label: "To" },
  { name: "zone", kind: "text", label: "Time zone", hint: "UTC", list: "zones", max: 60 },
];

export const weeklyFields = () => [{ ...timeFields()[0], name: "days" }, ...timeFields().slice(1)];
