// What another policy would have changed, as counts and a table.

import { h } from "./match-form.js";

const by = (id) => document.getElementById(id);
const plural = (number, one, many) => `${number} ${number === 1 ? one : many}`;

const asks = (r) => {
  const parts = [plural(r.signatures, "signature", "signatures")];
  if (r.distinct_roles > 1) parts.push(`${r.distinct_roles} roles`);
  if (r.least_role !== "operator") parts.push(`${r.least_role} or above`);
  if (r.reason) parts.push("reason");
  if (r.reauthenticate) parts.push("password or code");
  if (r.maintenance_only) parts.push("in a window");
  if (r.editor_may_sign) parts.push("editor may sign");
  return parts.join(", ");
};

/** Fill the side card and the table. */
export function showSimulation(found) {
  const c = found.counts;
  const lines = [
    [c.stricter, "would have needed more"],
    [c.looser, "would have needed less"],
    [c.too_few_signatures, "were executed with signatures that would not have been enough"],
    [c.denied, "would have been held up"],
    [c.freed, "would not have been held up any more"],
  ].filter(([number]) => number > 0);
  const head = `${plural(found.looked_at, "proposal", "proposals")} in ${found.days} days${found.is_cut ? " (the newest; there were more)" : ""}`;
  const rules = Object.entries(found.by_rule);
  by("simulation").replaceChildren(h("div", { className: "stack-s" },
    h("p", { className: "small muted" }, head),
    lines.length
      ? h("dl", { className: "kv" }, ...lines.flatMap(([number, text]) => [h("dt", { className: "num" }, String(number)), h("dd", {}, text)]))
      : h("p", { className: "small" }, found.looked_at ? "Nothing would have been different." : "Nothing was proposed in that time."),
    rules.length ? h("div", {}, h("h3", { className: "small muted" }, "By rule"), h("ul", { className: "plain small" }, ...rules.map(([name, number]) => h("li", {}, `${name}: ${number}`)))) : null,
  ));
  by("found").hidden = found.cases.length === 0;
  by("cases").replaceChildren(...found.cases.slice(0, 200).map(row));
}

function row(found) {
  const tone = { stricter: "info", looser: "high", same: "neutral" }[found.change];
  const held = [...found.denied_by, ...found.freed_from.map((text) => `No longer: ${text}`)];
  return h("tr", {},
    h("td", {}, h("a", { href: `/approvals/${found.proposal}/` }, `#${found.proposal} ${found.title}`)),
    h("td", {}, new Date(found.at).toLocaleString("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" })),
    h("td", {}, asks(found.was)),
    h("td", {}, h("span", { className: `badge badge--${tone}` }, found.change), ` ${asks(found.now)}`, found.missing ? h("div", { className: "small warn-text" }, found.missing) : null),
    h("td", {}, held.length ? h("ul", { className: "plain small" }, ...held.map((text) => h("li", {}, text))) : h("span", { className: "muted" }, "–")),
  );
}
