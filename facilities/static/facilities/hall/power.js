// Power: both feeds to each rack, what each carries, and load against rating.

import { num, watts } from "/static/js/format.js";
import { level, SIZE } from "./plan.js";
import { mark, node, set } from "./svg.js";

const SIDE = { a: -1, b: 1 };

export class PowerLayer {
  constructor(map) {
    this.map = map;
    this.group = node("g", { class: "power" });
    map.layers.under.append(this.group);
    this.pdus = [...map.units.values()].filter((drawn) => drawn.unit.kind === "pdu");
    this.feeds = this.pdus.map((drawn, number) => this.draw(drawn, number));
    this.group.replaceChildren(...this.feeds.map((feed) => feed.path));
  }

  draw(drawn, number) {
    const { unit } = drawn;
    const feed = unit.role.toLowerCase() === "b" ? "b" : "a";
    const racks = [...this.map.units.values()].map((other) => other.unit).filter((other) => other.kind === "rack" && other.feeds.includes(unit.tag));
    const reach = SIZE.rack.depth / 2 + 0.12 + 0.05 * Math.floor(number / 4);
    const parts = [];
    const rows = new Map();
    for (const rack of racks) rows.set(rack.y_m, [...(rows.get(rack.y_m) ?? []), rack]);
    for (const [y, row] of rows) {
      const line = y + SIDE[feed] * reach;
      const xs = row.map((rack) => rack.x_m);
      const far = unit.x_m < Math.min(...xs) ? Math.max(...xs) : Math.min(...xs);
      parts.push(`M ${unit.x_m} ${unit.y_m} V ${line} H ${far}`);
      for (const rack of row) parts.push(`M ${rack.x_m + SIDE[feed] * 0.12} ${line} V ${y + SIDE[feed] * (SIZE.rack.depth / 2)}`);
    }
    const path = node("path", { class: `feed feed--${feed}`, d: parts.join(" ") });
    path.append(node("title", {}, unit.name));
    return { drawn, path };
  }

  show(shown) {
    this.group.toggleAttribute("hidden", !shown);
  }

  legend(holder) {
    const line = document.createElement("p");
    line.className = "tiny muted keys";
    for (const [key, text] of [["feed-a", "feed A"], ["feed-b", "feed B"], ["dead", "no power"]]) {
      const part = document.createElement("span");
      part.dataset.key = key;
      part.textContent = text;
      line.append(part);
    }
    line.append("Filling: load against rating. Width: kW of the feed.");
    holder.replaceChildren(line);
  }

  paint(frame, { compare }) {
    for (const { drawn, path } of this.feeds) {
      const { unit } = drawn;
      const power = frame.get(`${unit.tag}.power_w`);
      const dead = frame.get(`${unit.tag}.breaker_closed`) < 0.5;
      const part = power / unit.rated;
      set(path, { "stroke-width": 0.03 + (Number.isFinite(part) ? Math.min(part, 1.2) * 0.1 : 0) });
      mark(path, "state", dead ? "dead" : part > 0.8 ? "high" : "");
      path.firstChild.textContent = `${unit.name}: ${watts(power)}${unit.rated ? ` of ${watts(unit.rated)}` : ""}`;
      drawn.value.textContent = dead ? "OPEN" : num(power / 1000, 0);
      mark(drawn.link, "tone", dead ? "critical" : part > 0.8 ? "high" : "");
      level(drawn, part);
    }
    for (const drawn of this.map.units.values()) {
      const { unit } = drawn;
      if (unit.kind !== "rack") continue;
      const power = frame.get(`${unit.tag}.power_w`);
      const gap = power - frame.twin(`${unit.tag}.power_w`);
      const part = power / unit.rated;
      drawn.value.textContent = compare ? (Number.isFinite(gap) ? `${gap > 0 ? "+" : ""}${num(gap / 1000, 2)}` : "–") : num(power / 1000);
      mark(drawn.link, "tone", !Number.isFinite(power) ? "stale" : part > 0.9 ? "high" : "");
      level(drawn, part);
      drawn.title.textContent = `${unit.name}: ${watts(power)} of ${watts(unit.rated)} (${num(part * 100, 0)} %), fed by ${unit.feeds.join(" and ")}`;
    }
  }
}
