// Network: leaf to spine links between the racks that hold the switches, by utilisation.

import { num } from "/static/js/format.js";
import { legend, share } from "./scale.js";
import { mark, node, set } from "./svg.js";

const ERRORS_PER_S = 10;

export class NetworkLayer {
  constructor(map) {
    this.map = map;
    this.group = node("g", { class: "network" });
    map.layers.over.append(this.group);
    this.links = map.plan.lines.map((line, number) => this.draw(line, number));
    const switches = [...new Map(map.plan.lines.flatMap((line) => line.ends.map((end, at) => [end, line.racks[at]]))).entries()];
    this.group.replaceChildren(...this.links.flatMap((link) => [link.path, link.text]), ...switches.flatMap(([tag, rack]) => this.drawSwitch(tag, rack)));
  }

  centre(rack) {
    const { unit } = this.map.units.get(rack);
    return { x: unit.x_m, y: unit.y_m - unit.front * 0.32 };
  }

  draw(line, number) {
    const [from, to] = line.racks.map((rack) => this.centre(rack));
    const bow = 0.35 + 0.16 * (number % 4);
    const middle = { x: (from.x + to.x) / 2, y: (from.y + to.y) / 2 + (from.y === to.y ? (from.y < this.map.room.depth / 2 ? bow : -bow) : 0) };
    const path = node("path", { class: "link", d: `M ${from.x} ${from.y} Q ${middle.x} ${middle.y} ${to.x} ${to.y}` });
    path.append(node("title", {}, line.name));
    const t = 0.34 + 0.09 * (number % 4);
    const at = (axis) => (1 - t) ** 2 * from[axis] + 2 * t * (1 - t) * middle[axis] + t * t * to[axis];
    return { line, path, text: node("text", { class: "link__text", x: at("x"), y: at("y") + 0.05 }) };
  }

  drawSwitch(tag, rack) {
    const { x, y } = this.centre(rack);
    const dot = node("circle", { class: "switch", cx: x, cy: y, r: 0.13 });
    dot.append(node("title", {}, tag));
    return [dot, node("text", { class: "switch__text", x, y: y + 0.055 }, tag.startsWith("spine") || tag.includes("spine") ? "S" : "L")];
  }

  show(shown) {
    this.group.toggleAttribute("hidden", !shown);
  }

  legend(holder) {
    legend(holder, share, 5);
  }

  paint(frame) {
    for (const { line, path, text } of this.links) {
      const busy = frame.get(`${line.tag}.util_pct`);
      const errors = frame.get(`${line.tag}.error_rate`);
      const down = frame.get(`${line.tag}.up`) < 0.5;
      const state = down ? "down" : errors > ERRORS_PER_S ? "errors" : Number.isFinite(busy) ? "" : "stale";
      mark(path, "state", state);
      set(path, { stroke: down || !Number.isFinite(busy) ? "currentColor" : share.colour(busy), "stroke-width": 0.04 + Math.min(line.capacity_gbps / 400, 2) * 0.06 });
      text.textContent = down ? "down" : Number.isFinite(busy) ? `${num(busy, 0)} %` : "";
      path.firstChild.textContent = `${line.name}: ${down ? "down" : `${num(busy)} % of ${num(line.capacity_gbps, 0)} Gb/s`}${errors > 0.5 ? `, ${num(errors)} symbol errors a second` : ""}`;
    }
  }
}
