// Airflow: from the CRACs to the racks, through them, and back; recirculation around a rack.
// Amounts are the twin's (m³/s); which CRAC reaches which rack is drawn by distance.

import { num } from "/static/js/format.js";
import { SIZE } from "./plan.js";
import { node, set } from "./svg.js";

const REACH_M = 2.2;
const WIDTH_PER_M3S = 0.075;
const LEAST = 0.02;

const width = (flow) => (Number.isFinite(flow) && flow > 0.01 ? Math.min(LEAST + flow * WIDTH_PER_M3S, 0.42) : 0);

export class AirLayer {
  constructor(map) {
    this.map = map;
    this.group = node("g", { class: "air" });
    map.layers.over.append(this.group);
    const of = (kind) => [...map.units.values()].map((drawn) => drawn.unit).filter((unit) => unit.kind === kind && unit.x_m !== null);
    this.racks = of("rack");
    this.cracs = of("crac");
    this.draw();
  }

  draw() {
    const { racks, cracs } = this;
    this.supplies = [];
    for (const crac of cracs) {
      const facing = racks.filter((rack) => rack.front === -crac.front || cracs.length === 1);
      const near = (facing.length ? facing : racks).map((rack) => ({ rack, pull: Math.exp(-Math.abs(rack.x_m - crac.x_m) / REACH_M) }));
      for (const { rack, pull } of near) {
        const from = crac.y_m + crac.front * (SIZE.crac.depth / 2);
        const to = rack.y_m + rack.front * (SIZE.rack.depth / 2 + 0.04);
        const middle = (from + to) / 2;
        const path = node("path", { class: "flow flow--cold", d: `M ${crac.x_m} ${from} C ${crac.x_m} ${middle}, ${rack.x_m} ${middle}, ${rack.x_m} ${to}` });
        this.supplies.push({ crac, rack, pull, path });
      }
    }
    this.through = racks.map((rack) => {
      const back = rack.y_m - rack.front * (SIZE.rack.depth / 2 + 0.03);
      const side = rack.x_m + SIZE.rack.width * 0.32;
      const ahead = rack.y_m + rack.front * (SIZE.rack.depth / 2 + 0.02);
      const exhaust = node("path", { class: "flow flow--hot", d: `M ${rack.x_m} ${back} v ${-rack.front * 0.42}` });
      const bow = rack.front * 0.3;
      const loop = node("path", { class: "flow flow--loop", d: `M ${side} ${back} C ${side + 0.24} ${back - bow}, ${side + 0.24} ${ahead + bow}, ${side} ${ahead}` });
      return { rack, exhaust, loop };
    });
    const xs = racks.map((rack) => rack.x_m);
    const ends = { left: Math.min(...xs) - 1.6, right: Math.max(...xs) + 1.6 };
    this.returns = cracs.map((crac) => {
      const own = racks.filter((rack) => rack.front === -crac.front);
      const rows = own.length ? own : racks;
      const hot = rows.length ? rows[0].y_m - rows[0].front * 1.2 : crac.y_m;
      const middle = (ends.left + ends.right) / 2;
      const end = crac.x_m < middle ? ends.left : ends.right;
      const path = node("path", { class: "flow flow--hot", d: `M ${(middle + end) / 2} ${hot} C ${end} ${hot}, ${end} ${hot}, ${end} ${(hot + crac.y_m) / 2} S ${end} ${crac.y_m}, ${crac.x_m + (crac.x_m < middle ? -1 : 1) * (SIZE.crac.width / 2)} ${crac.y_m}` });
      return { crac, path };
    });
    const all = [...this.returns.map((flow) => flow.path), ...this.supplies.map((flow) => flow.path), ...this.through.flatMap((flow) => [flow.exhaust, flow.loop])];
    for (const path of all) path.append(node("title"));
    this.group.replaceChildren(...all);
  }

  show(shown) {
    this.group.toggleAttribute("hidden", !shown);
  }

  legend(holder) {
    const line = document.createElement("p");
    line.className = "tiny muted keys";
    for (const [key, text] of [["cold", "supply"], ["hot", "exhaust and return"], ["loop", "recirculation"]]) {
      const part = document.createElement("span");
      part.dataset.key = key;
      part.textContent = text;
      line.append(part);
    }
    line.append("Width: m³/s by the twin; which CRAC reaches a rack is drawn by distance.");
    holder.replaceChildren(line);
  }

  /** Air through a CRAC: the twin's, or the fan law on the measured speed (flow ∝ speed). */
  flowOf(crac, frame) {
    const running = frame.get(`${crac.tag}.running`);
    if (running < 0.5) return 0;
    const twin = frame.twin(`${crac.tag}.airflow_m3s`);
    return Number.isFinite(twin) ? twin : (crac.rated * frame.get(`${crac.tag}.fan_speed_pct`)) / 100;
  }

  paint(frame) {
    for (const { crac, path } of this.returns) {
      const flow = this.flowOf(crac, frame);
      set(path, { "stroke-width": width(flow) * 0.4 });
      path.firstChild.textContent = `${crac.name}: ${num(flow)} m³/s`;
      const own = this.supplies.filter((supply) => supply.crac === crac);
      const wants = own.map((supply) => supply.pull * (frame.twin(`${supply.rack.tag}.airflow_m3s`) || 1));
      const total = wants.reduce((sum, want) => sum + want, 0);
      own.forEach((supply, number) => {
        const part = total ? (flow * wants[number]) / total : 0;
        set(supply.path, { "stroke-width": width(part) });
        supply.path.firstChild.textContent = `${crac.name} to ${supply.rack.name}: about ${num(part, 2)} m³/s`;
      });
    }
    for (const { rack, exhaust, loop } of this.through) {
      const flow = frame.twin(`${rack.tag}.airflow_m3s`);
      const back = frame.twin(`${rack.tag}.recirculation`);
      set(exhaust, { "stroke-width": width(flow) });
      set(loop, { "stroke-width": back > 0.005 ? width(flow * back) : 0 });
      exhaust.firstChild.textContent = `${rack.name}: ${num(flow, 2)} m³/s`;
      loop.firstChild.textContent = `${rack.name}: ${num(back * 100)} % of its inlet air is its own exhaust`;
    }
  }
}
