// Heat: a field between the instruments, on a canvas under the plan.
//
// Inverse-distance weighting (power 3) of inlets at the racks' fronts, outlets at their backs and
// the CRACs' supply and return; an instrument behind a row of racks counts 2 % (assumed): rows keep
// cold and hot apart.

import { num } from "/static/js/format.js";
import { heat, legend, residual } from "./scale.js";
import { SIZE } from "./plan.js";

const CELL_M = 0.15;
const THROUGH_ROW = 0.02;
const POWER = 3;

export class HeatLayer {
  constructor(map, canvas) {
    this.map = map;
    this.canvas = canvas;
    const { room } = map;
    this.columns = Math.round((room.right - room.left) / CELL_M);
    this.rows = Math.round(room.depth / CELL_M);
    canvas.width = this.columns;
    canvas.height = this.rows;
    this.context = canvas.getContext("2d");
    this.image = this.context.createImageData(this.columns, this.rows);
    this.place();
    this.sources = this.instruments();
    this.weights = this.weigh();
  }

  /** Lay the canvas exactly under the room of the drawing. */
  place() {
    const { viewBox, room } = this.map;
    const share = (length, of) => `${(100 * length) / of}%`;
    Object.assign(this.canvas.style, {
      left: share(room.left - viewBox.x, viewBox.width),
      top: share(-viewBox.y, viewBox.height),
      width: share(room.right - room.left, viewBox.width),
      height: share(room.depth, viewBox.height),
    });
  }

  instruments() {
    const found = [];
    for (const { unit } of this.map.units.values()) {
      const { x_m: x, y_m: y, front } = unit;
      if (unit.kind === "rack") {
        const reach = SIZE.rack.depth / 2 + 0.12;
        found.push({ tag: `${unit.tag}.inlet_c`, x, y: y + front * reach }, { tag: `${unit.tag}.outlet_c`, x, y: y - front * reach });
      } else if (unit.kind === "crac") {
        const reach = front * (SIZE.crac.depth / 2 + 0.1);
        found.push({ tag: `${unit.tag}.supply_c`, x, y: y + reach, running: `${unit.tag}.running` });
        found.push({ tag: `${unit.tag}.return_c`, x, y: y - reach, running: `${unit.tag}.running` });
      }
    }
    return found;
  }

  /** Rows of racks as walls: [y, from x, to x]. */
  walls() {
    const rows = new Map();
    for (const { unit } of this.map.units.values()) {
      if (unit.kind !== "rack") continue;
      const row = rows.get(unit.row) ?? { y: unit.y_m, from: Infinity, to: -Infinity };
      row.from = Math.min(row.from, unit.x_m - SIZE.rack.width / 2);
      row.to = Math.max(row.to, unit.x_m + SIZE.rack.width / 2);
      rows.set(unit.row, row);
    }
    return [...rows.values()];
  }

  weigh() {
    const walls = this.walls();
    const count = this.sources.length;
    const weights = new Float32Array(this.columns * this.rows * count);
    for (let cell = 0; cell < this.columns * this.rows; cell += 1) {
      const x = this.map.room.left + ((cell % this.columns) + 0.5) * CELL_M;
      const y = (Math.floor(cell / this.columns) + 0.5) * CELL_M;
      this.sources.forEach((source, number) => {
        const crossed = walls.some((wall) => {
          if ((y - wall.y) * (source.y - wall.y) >= 0) return false;
          const at = x + ((source.x - x) * (wall.y - y)) / (source.y - y);
          return at >= wall.from && at <= wall.to;
        });
        const distance = Math.max(Math.hypot(x - source.x, y - source.y), 0.1);
        weights[cell * count + number] = (crossed ? THROUGH_ROW : 1) / distance ** POWER;
      });
    }
    return weights;
  }

  show(shown) {
    this.canvas.hidden = !shown;
  }

  legend(holder, { compare }) {
    if (compare) legend(holder, residual, 4);
    else legend(holder, heat);
  }

  /** `compare`: show measured minus twin. */
  paint(frame, { compare }) {
    const scale = compare ? residual : heat;
    const count = this.sources.length;
    const values = new Float32Array(count);
    const known = this.sources.map((source, number) => {
      const own = frame.get(source.tag);
      values[number] = compare ? own - frame.twin(source.tag) : own;
      return Number.isFinite(values[number]) && !(source.running && frame.get(source.running) < 0.5);
    });
    const used = known.map((is, number) => (is ? number : -1)).filter((number) => number >= 0);
    const { data } = this.image;
    for (let cell = 0; cell < this.columns * this.rows; cell += 1) {
      let total = 0;
      let weight = 0;
      for (const number of used) {
        const w = this.weights[cell * count + number];
        total += w * values[number];
        weight += w;
      }
      const at = cell * 4;
      if (!weight) {
        data[at + 3] = 0;
        continue;
      }
      const [r, g, b] = scale.rgb(total / weight);
      data[at] = r;
      data[at + 1] = g;
      data[at + 2] = b;
      data[at + 3] = 240;
    }
    this.context.putImageData(this.image, 0, 0);
    if (compare) this.differences(frame);
  }

  differences(frame) {
    for (const drawn of this.map.units.values()) {
      const { unit } = drawn;
      if (unit.kind !== "rack" && unit.kind !== "crac") continue;
      const of = (quantity) => frame.get(`${unit.tag}.${quantity}`) - frame.twin(`${unit.tag}.${quantity}`);
      const gap = of(unit.kind === "rack" ? "inlet_c" : "supply_c");
      drawn.value.textContent = Number.isFinite(gap) ? `${gap > 0 ? "+" : ""}${num(gap)}` : "–";
      if (drawn.inlet) {
        drawn.inlet.setAttribute("fill", residual.colour(of("inlet_c")));
        drawn.outlet.setAttribute("fill", residual.colour(of("outlet_c")));
      }
    }
  }
}
