// The tiered map: storage, spines, leaves and servers in rows, links as wide as their capacity.

import { gbps, percent, svg, tone } from "./svg.js";

const ROW = 118;
const TOP = 34;
const BOX = { height: 30, server: 26 };
const LABELS = { storage: "Storage", core: "Core", spine: "Spines", leaf: "Leaves", switch: "Switches", server: "Servers" };

/** Places: tiers present from above, servers in columns under their switch. */
function layout(nodes, links) {
  const tiers = [...new Set(nodes.map((node) => node.tier))].sort((a, b) => a - b);
  const places = new Map();
  const leaves = nodes.filter((node) => node.tier === 3);
  const hosts = nodes.filter((node) => node.tier === 4);
  const perLeaf = new Map();
  for (const host of hosts) perLeaf.set(host.group, [...(perLeaf.get(host.group) ?? []), host]);
  const columns = Math.max(1, ...[...perLeaf.values()].map((list) => Math.min(list.length, 8)));
  const slot = Math.max(86, columns * 46 + 22);
  const groups = leaves.length ? leaves.map((leaf) => leaf.tag) : [...perLeaf.keys()];
  const width = Math.max(560, groups.length * slot + 90);
  const left = 74;
  const inner = width - left - 16;
  let deepest = 0;
  tiers.forEach((tier, row) => {
    const y = TOP + row * ROW;
    if (tier === 4) {
      groups.forEach((group, column) => {
        const centre = left + (inner * (column + 0.5)) / groups.length;
        (perLeaf.get(group) ?? []).forEach((host, index) => {
          const line = Math.floor(index / columns);
          const inLine = Math.min(columns, perLeaf.get(group).length - line * columns);
          const x = centre + ((index % columns) - (inLine - 1) / 2) * 46;
          places.set(host.tag, { x, y: y + line * 44, width: 40, height: BOX.server });
          deepest = Math.max(deepest, y + line * 44 + BOX.server);
        });
      });
      return;
    }
    const members = nodes.filter((node) => node.tier === tier);
    members.forEach((node, index) => {
      places.set(node.tag, { x: left + (inner * (index + 0.5)) / members.length, y, width: Math.min(96, slot - 10), height: BOX.height });
    });
    deepest = Math.max(deepest, y + BOX.height);
  });
  return { places, tiers, width, height: deepest + 18, most: Math.max(...links.map((link) => link.rated_gbps)) };
}

function curve(from, to) {
  const [upper, lower] = from.y <= to.y ? [from, to] : [to, from];
  const start = upper.y + upper.height;
  const middle = (start + lower.y) / 2;
  return `M${upper.x},${start} C${upper.x},${middle} ${lower.x},${middle} ${lower.x},${lower.y}`;
}

const short = (tag) => (tag.length > 12 ? `…${tag.slice(-10)}` : tag);

/** Draw the map. `choose(link)` is called when somebody picks a link. Returns handles by name. */
export function drawMap(holder, data, choose) {
  const { places, tiers, width, height, most } = layout(data.nodes, data.links);
  const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, class: "net-svg", width, height });
  const edges = new Map();
  const boxes = new Map();
  const kinds = new Map(data.nodes.map((node) => [node.tier, node.kind]));
  tiers.forEach((tier, row) => {
    root.append(svg("text", { x: 10, y: TOP + row * ROW + 19, class: "net-tier" }, LABELS[kinds.get(tier)] ?? kinds.get(tier)));
  });
  for (const link of data.links) {
    const from = places.get(link.a);
    const to = places.get(link.b);
    if (!from || !to) continue;
    const path = curve(from, to);
    const wide = Math.max(1.5, (9 * link.rated_gbps) / most);
    const group = svg("g", { class: "net-edge", "data-tone": tone(link), "data-label": link.label, "data-cable": link.link ? null : "" });
    const words = `${link.label}: ${gbps(link.load_gbps)} of ${gbps(link.capacity_gbps)} (${percent(link.util)}), ${link.state}`;
    group.append(
      svg("title", {}, words),
      svg("path", { d: path, class: "net-edge__rated", "stroke-width": wide }),
      svg("path", { d: path, class: "net-edge__left", "stroke-width": Math.max(2.5, (wide * link.capacity_gbps) / link.rated_gbps) }),
      svg("path", { d: path, class: "net-edge__flow", "stroke-width": 1.5 }),
    );
    if (link.link) {
      group.append(svg("path", { d: path, class: "net-edge__hit", "stroke-width": 18 }));
      group.setAttribute("tabindex", "0");
      group.setAttribute("role", "button");
      group.setAttribute("aria-label", words);
      group.addEventListener("click", () => choose(link));
      group.addEventListener("keydown", (event) => {
        if (event.key === "Enter" || event.key === " ") {
          event.preventDefault();
          choose(link);
        }
      });
    }
    edges.set(link.label, group);
    root.append(group);
  }
  const jobs = data.jobs.map((job) => job.tag);
  for (const node of data.nodes) {
    const at = places.get(node.tag);
    if (!at) continue;
    const job = jobs.indexOf(node.job);
    const box = svg("g", { class: "net-node", "data-kind": node.kind, "data-job": job >= 0 ? job % 6 : null, "data-out": node.in_service ? null : "" });
    const busy = node.util === null ? "" : `, GPUs ${percent(node.util)} busy`;
    box.append(
      svg("title", {}, `${node.tag}${node.job ? `, ${node.job}` : ""}${busy}${node.in_service ? "" : ", drained"}`),
      svg("rect", { x: at.x - at.width / 2, y: at.y, width: at.width, height: at.height, rx: 5, class: "net-node__box" }),
    );
    if (node.util !== null) {
      box.append(svg("rect", { x: at.x - at.width / 2, y: at.y + at.height - 4, width: at.width * Math.min(node.util, 1), height: 4, class: "net-node__busy" }));
    }
    box.append(svg("text", { x: at.x, y: at.y + (node.util !== null ? 15 : at.height / 2 + 4), class: "net-node__text" }, node.kind === "server" ? node.tag.split("-").at(-1) : short(node.tag)));
    boxes.set(node.tag, box);
    root.append(box);
  }
  holder.replaceChildren(root);
  return { edges, boxes };
}
