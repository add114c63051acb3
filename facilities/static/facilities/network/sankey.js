// Capacity from servers to storage as a Sankey diagram (d3-sankey): bands are as high as what a
// link can carry, filled as far as it is loaded. A node that is higher on one side is a mismatch.

import { gbps, percent, svg, tone } from "./svg.js";

const MARGIN = { top: 24, right: 118, bottom: 12, left: 118 };

/** Servers of one leaf become one node, so a band is readable. */
function graph(data) {
  const tier = new Map(data.nodes.map((node) => [node.tag, node.tier]));
  const host = new Map(data.nodes.filter((node) => node.tier === 4).map((node) => [node.tag, node.group]));
  const names = new Map();
  const bands = new Map();
  const add = (tag, label, depth) => {
    if (!names.has(tag)) names.set(tag, { id: tag, label, depth, tier: tier.get(tag) });
    return tag;
  };
  const counts = new Map();
  for (const group of host.values()) counts.set(group, (counts.get(group) ?? 0) + 1);
  for (const link of data.links) {
    // from the servers towards storage: higher tier number first
    const [low, high] = (tier.get(link.a) ?? 4) >= (tier.get(link.b) ?? 4) ? [link.a, link.b] : [link.b, link.a];
    if (tier.get(low) === tier.get(high)) continue;
    const group = host.get(low);
    const source = group ? add(`servers:${group}`, `${counts.get(group)} server${counts.get(group) > 1 ? "s" : ""}`, 0) : add(low, low, 4 - tier.get(low));
    const target = add(high, high, 4 - tier.get(high));
    const key = `${source}>${target}`;
    const band = bands.get(key) ?? { source, target, value: 0, load: 0, rated: 0, links: [] };
    band.value += Math.max(link.capacity_gbps, 1);
    band.rated += link.rated_gbps;
    band.load += link.load_gbps;
    band.links.push(link);
    bands.set(key, band);
  }
  const depths = [...new Set([...names.values()].map((node) => node.depth))].sort((a, b) => a - b);
  for (const node of names.values()) node.column = depths.indexOf(node.depth);
  return { nodes: [...names.values()], links: [...bands.values()], columns: depths.length };
}

const worst = (band) => band.links.reduce((found, link) => (["down", "degraded", "full", "busy", "idle"].indexOf(tone(link)) < ["down", "degraded", "full", "busy", "idle"].indexOf(found) ? tone(link) : found), "idle");

/** Draw into `holder`; a sentence about the narrowest place goes into `note`. */
export function drawSankey(holder, note, data) {
  const { d3 } = window;
  const found = graph(data);
  if (!found.links.length) {
    holder.replaceChildren();
    return;
  }
  const width = Math.max(holder.clientWidth, 640);
  const height = Math.max(240, Math.min(640, 46 * Math.max(...[0, 1, 2, 3, 4].map((column) => found.nodes.filter((node) => node.column === column).length))) + 60);
  const shape = d3.sankey().nodeId((node) => node.id).nodeAlign((node) => node.column).nodeSort(null).nodeWidth(10).nodePadding(16)
    .extent([[MARGIN.left, MARGIN.top], [width - MARGIN.right, height - MARGIN.bottom]])({ nodes: found.nodes, links: found.links });
  const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, class: "net-svg" });
  const line = d3.sankeyLinkHorizontal();
  for (const band of shape.links) {
    const group = svg("g", { class: "net-band", "data-tone": worst(band) });
    const share = Math.min(band.load / band.value, 1);
    group.append(
      svg("title", {}, `${band.links.map((link) => link.label).join(", ")}: ${gbps(band.load)} of ${gbps(band.value)} (${percent(share)})`),
      svg("path", { d: line(band), class: "net-band__capacity", "stroke-width": Math.max(1, band.width) }),
      svg("path", { d: line(band), class: "net-band__load", "stroke-width": Math.max(0.75, band.width * share) }),
    );
    root.append(group);
  }
  for (const node of shape.nodes) {
    const into = node.targetLinks.reduce((sum, band) => sum + band.value, 0);
    const out = node.sourceLinks.reduce((sum, band) => sum + band.value, 0);
    const narrow = into && out && node.tier === 3 ? into / out : 1;
    root.append(svg("rect", { x: node.x0, y: node.y0, width: node.x1 - node.x0, height: Math.max(2, node.y1 - node.y0), rx: 2, class: "net-bar", "data-mismatch": narrow > 1.05 || narrow < 0.95 ? "" : null },
      svg("title", {}, `${node.label}: ${gbps(into)} in, ${gbps(out)} out`)));
    const first = node.column === 0;
    const last = node.column === found.columns - 1;
    const middle = (node.y0 + node.y1) / 2;
    const text = svg("text", { x: first ? node.x0 - 8 : last ? node.x1 + 8 : (node.x0 + node.x1) / 2, y: first || last ? middle - 2 : node.y0 - 5, class: "net-bar__text", "data-side": first ? "left" : last ? "right" : "above" }, node.label);
    root.append(text);
    if (first || last) root.append(svg("text", { x: first ? node.x0 - 8 : node.x1 + 8, y: middle + 12, class: "net-bar__sub", "data-side": first ? "left" : "right" }, gbps(first ? out : into)));
    node.narrow = narrow;
    node.into = into;
    node.out = out;
  }
  holder.replaceChildren(root);
  const tightest = shape.nodes.filter((node) => node.into && node.out).sort((a, b) => b.narrow - a.narrow)[0];
  const nvlink = data.jobs.find((job) => job.nvlink_gbps)?.nvlink_gbps;
  const parts = [];
  if (tightest && tightest.narrow > 1.05) parts.push(`${tightest.label} takes ${gbps(tightest.into)} from its servers and has ${gbps(tightest.out)} upwards: ${tightest.narrow.toFixed(1)} to 1 oversubscribed.`);
  const port = Math.min(...data.links.filter((link) => data.nodes.some((node) => node.kind === "server" && (node.tag === link.a || node.tag === link.b))).map((link) => link.rated_gbps));
  if (nvlink && Number.isFinite(port)) parts.push(`A GPU has ${gbps(nvlink)} to its neighbours over NVLink, its whole server ${gbps(port)} to others: ${(nvlink / port).toFixed(0)} times less.`);
  note.textContent = parts.join(" ");
}
