// One-line diagram: sources → UPS → PDUs → loads, with load, margin and what a loss would do.

import { api } from "/static/js/api.js";
import { num, watts } from "/static/js/format.js";

const SVG = "http://www.w3.org/2000/svg";
const BOX = { width: 176, height: 58 };
const GAP = { x: 74, y: 16 };
const EVERY_MS = 15000;
const SAID = { holds: ["holds", "ok"], overload: ["overloaded", "high"], loses: ["loses loads", "critical"] };

function svg(name, attributes = {}, text = "") {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text) made.textContent = text;
  return made;
}

/** Columns of boxes: level 0 sources, then UPS, PDUs, and loads one column after their feeds. */
function arranged(chain) {
  const level = new Map(chain.nodes.map((node) => [node.tag, node.level]));
  const boxes = chain.nodes.map((node) => ({ ...node, id: node.tag, name: node.tag, feeds: [] }));
  for (const [source, target] of chain.edges) boxes.find((box) => box.id === target)?.feeds.push(source);
  for (const group of chain.groups) {
    const below = group.feeds.length ? Math.max(...group.feeds.map((tag) => level.get(tag) ?? 0)) + 1 : 1;
    boxes.push({ ...group, id: group.tags.join(","), name: group.label, level: below, isLoad: true, state: group.powered ? "on" : "off", detail: group.powered < group.tags.length ? `${group.powered} of ${group.tags.length} on` : group.tags.length > 1 ? `${group.tags[0]} …` : "" });
  }
  const columns = [];
  for (const box of boxes) (columns[box.level] ??= []).push(box);
  const tallest = Math.max(...columns.map((column) => column?.length ?? 0));
  const height = tallest * (BOX.height + GAP.y) - GAP.y + 16;
  columns.forEach((column, x) => {
    const used = column.length * (BOX.height + GAP.y) - GAP.y;
    column.forEach((box, y) => {
      box.x = 8 + x * (BOX.width + GAP.x);
      box.y = 8 + (height - 16 - used) / 2 + y * (BOX.height + GAP.y);
    });
  });
  return { boxes, width: 16 + columns.length * (BOX.width + GAP.x) - GAP.x, height };
}

function tone(share) {
  if (share > 1) return "critical";
  return share > 0.8 ? "high" : "normal";
}

function drawnBox(box, contingency) {
  const loading = contingency?.loadings.find((item) => item.tag === box.id);
  const group = svg("g", { class: "box", transform: `translate(${box.x} ${box.y})`, "data-state": box.state });
  if (contingency?.lost === box.id) group.dataset.after = "lost";
  else if (box.tags?.some((tag) => contingency?.dropped.includes(tag))) group.dataset.after = "dropped";
  else if (box.tags?.some((tag) => contingency?.interrupted.includes(tag))) group.dataset.after = "interrupted";
  group.append(svg("rect", { class: "frame", width: BOX.width, height: BOX.height, rx: 6 }));
  group.append(svg("text", { x: 10, y: 20 }, box.name));
  group.append(svg("text", { x: BOX.width - 10, y: 20, class: "value" }, watts(box.power_w)));
  const state = box.state === "on" ? box.detail : [box.state, box.detail].filter(Boolean).join(" · ");
  group.append(svg("text", { x: 10, y: 38, class: "quiet" }, state));
  if (box.share !== null && box.share !== undefined) {
    const full = BOX.width - 20;
    group.append(svg("rect", { class: "bar-back", x: 10, y: 46, width: full, height: 5, rx: 2.5 }));
    group.append(svg("rect", { class: "bar", "data-tone": tone(box.share), x: 10, y: 46, width: Math.max(1, full * Math.min(box.share, 1)), height: 5, rx: 2.5 }));
    const after = loading ? `→ ${num(loading.share * 100, 0)} %` : `${num(box.share * 100, 0)} %`;
    group.append(svg("text", { x: BOX.width - 10, y: 38, class: loading ? "after" : "quiet value" }, after));
    const worst = loading?.share ?? box.failover_share;
    if (worst !== null && worst !== undefined) {
      const x = 10 + full * Math.min(worst, 1);
      group.append(svg("path", { class: "bar-after", d: `M${x} 43v11` }));
    }
  }
  return group;
}

function said(contingency, element, badge) {
  const [word, colour] = SAID[contingency.verdict];
  const parts = [element("h3", { text: `If ${contingency.lost} is lost` }), badge(word, colour)];
  const list = element("ul");
  const some = (tags) => tags.slice(0, 6).join(", ") + (tags.length > 6 ? ` and ${tags.length - 6} more` : "");
  if (contingency.dropped.length) list.append(element("li", { text: `Goes off: ${some(contingency.dropped)}` }));
  else list.append(element("li", { text: "Every load stays on or comes back within 90 s." }));
  if (contingency.interrupted.length) list.append(element("li", { text: `Off until the generator takes over: ${some(contingency.interrupted)}` }));
  const worst = contingency.worst;
  if (worst) {
    const trips = worst.trips_after_s === null ? "" : `; its protection acts after ${num(worst.trips_after_s / 60, 0)} min`;
    list.append(element("li", { text: `Most loaded then: ${worst.tag} at ${num(worst.share * 100, 0)} % of its rating${trips}.` }));
  }
  if (contingency.lowest_charge !== null && contingency.lowest_charge < 0.999) list.append(element("li", { text: `Batteries fall to ${num(contingency.lowest_charge * 100, 1)} %.` }));
  parts.push(list);
  return parts;
}

/** Draw the chain into `drawing` and keep it fresh. */
export function startChain(drawing, { side, stages, single, element, table, badge, empty }) {
  let chain = null;
  let chosen = null;

  function explain() {
    const contingency = chain.contingencies.find((item) => item.lost === chosen);
    if (contingency) {
      side.replaceChildren(...said(contingency, element, badge));
      return;
    }
    const weak = chain.contingencies.filter((item) => item.verdict !== "holds");
    const parts = [element("h3", { text: weak.length ? `${weak.length} losses the site does not ride through` : "Every single loss is carried" })];
    parts.push(element("p", { className: "muted", text: `The twin lost each of ${chain.contingencies.length} elements in turn from the present state. The mark on a bar is the highest load that any of them puts there.` }));
    const list = element("ul");
    for (const item of weak) list.append(element("li", { text: `${item.lost}: ${SAID[item.verdict][0]}` }));
    if (weak.length) parts.push(list);
    if (!chain.followed) parts.push(element("p", { className: "muted tiny", text: "From the newest readings; no tracker keeps the twin in step." }));
    side.replaceChildren(...parts);
  }

  function draw() {
    const contingency = chain.contingencies.find((item) => item.lost === chosen);
    const { boxes, width, height } = arranged(chain);
    const focused = document.activeElement?.dataset?.box;
    drawing.setAttribute("viewBox", `0 0 ${width} ${height}`);
    drawing.replaceChildren();
    const place = new Map(boxes.map((box) => [box.id, box]));
    for (const box of boxes) {
      for (const feed of box.feeds) {
        const from = place.get(feed);
        if (!from) continue;
        const x1 = from.x + BOX.width;
        const y1 = from.y + BOX.height / 2;
        const y2 = box.y + BOX.height / 2;
        const bend = box.x - GAP.x / 2;
        const live = from.state === "on" || from.state === "battery" || from.state === "bypass";
        const state = contingency?.lost === feed ? "lost" : live ? "on" : "off";
        drawing.append(svg("path", { class: "wire", "data-state": state, d: `M${x1} ${y1}C${bend} ${y1} ${bend} ${y2} ${box.x} ${y2}` }));
      }
    }
    for (const box of boxes) {
      const group = drawnBox(box, contingency);
      if (chain.contingencies.some((item) => item.lost === box.id)) {
        group.setAttribute("tabindex", "0");
        group.setAttribute("role", "button");
        group.setAttribute("aria-pressed", String(chosen === box.id));
        group.setAttribute("aria-label", `${box.name}, ${watts(box.power_w)}: what if it is lost`);
        group.dataset.box = box.id;
        const toggle = () => {
          chosen = chosen === box.id ? null : box.id;
          draw();
          explain();
        };
        group.addEventListener("click", toggle);
        group.addEventListener("keydown", (event) => {
          if (event.key !== "Enter" && event.key !== " ") return;
          event.preventDefault();
          toggle();
        });
      }
      drawing.append(group);
      if (focused && focused === box.id) group.focus();
    }
  }

  function tables() {
    if (chain.stages.length) {
      table(stages, [["Stage"], ["Units", true], ["Needed", true], ["Load", true], ["Rated", true], ["Redundancy"]],
        chain.stages.map((stage) => [stage.kind, String(stage.units), String(stage.needed), watts(stage.load_w), watts(stage.rated_w), badge(stage.label, stage.label === "short" ? "critical" : stage.label === "N" ? "medium" : "neutral")]));
    } else empty(stages, "No power chain", "Link utility, UPS, PDUs and racks in the data list.");
    if (chain.single_points.length) {
      table(single, [["Asset"], ["Kind"], ["Loads that hang on it", true]],
        chain.single_points.map((point) => [element("a", { text: point.tag, href: `/assets/${encodeURIComponent(point.tag)}/`, className: "mono" }), point.kind, element("span", { text: String(point.loads.length), title: point.loads.slice(0, 20).join(", ") })]));
    } else empty(single, "None", "Every load has a path that survives the loss of any one asset.");
  }

  async function load() {
    try {
      chain = await api("/api/v1/energy/chain");
      if (!chain.nodes.length) {
        empty(side, "No power chain", "Link utility, UPS, PDUs and racks in the data list.");
        tables();
        return;
      }
      draw();
      explain();
      tables();
    } catch (error) {
      empty(side, "The twin has no answer", error.message);
    }
  }
  load();
  setInterval(() => document.visibilityState === "visible" && load(), EVERY_MS);
}
