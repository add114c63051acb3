// The overview's hall: the plan of the hall map, drawn from `/api/v1/facility/overview`.

import { drawPlan, paintUnits } from "/static/facilities/hall/plan.js";

const STALE_MS = 30_000;
const FLAGS = { 2: "unknown", 3: "suspect", 4: "failed", 9: "missing" };

/** Names of the values that are not good, for the title; "" when all are. */
export function doubts(flags, ...tags) {
  const bad = tags.filter((tag) => flags?.[tag] > 1);
  return bad.map((tag) => `${tag.split(".").pop()} ${FLAGS[flags[tag]] ?? flags[tag]}`).join(", ");
}

const nearest = (y, cracs) => cracs.reduce((best, crac) => (best === null || Math.abs(crac.y_m - y) < Math.abs(best - y) ? crac.y_m : best), null);

function planOf({ slug, name, width_m, depth_m, racks, cracs }) {
  const unit = (asset, kind, front) => ({ role: "", rated: null, feeds: [], cools: [], ...asset, kind, front, name: asset.name ?? asset.tag });
  const front = (rack) => ((nearest(rack.y_m, cracs) ?? 0) <= rack.y_m ? -1 : 1);
  const units = [...racks.map((rack) => unit(rack, "rack", front(rack))), ...cracs.map((crac) => unit(crac, "crac", crac.y_m < depth_m / 2 ? 1 : -1))];
  return { slug, name, width_m, depth_m, units, lines: [], behind: [] };
}

let map = null;
let drawnFor = "";

/** Draw or refresh the hall in an svg element. */
export function drawHall(svg, overview) {
  const plan = planOf(overview);
  const layout = JSON.stringify(plan.units.map(({ tag, x_m, y_m }) => [tag, x_m, y_m]));
  if (layout !== drawnFor) {
    map = drawPlan(svg, plan, { hrefOf: (unit) => `/assets/${unit.tag}/`, crop: true });
    drawnFor = layout;
  }
  const values = new Map();
  for (const { tag, ...own } of [...overview.racks, ...overview.cracs]) {
    for (const [quantity, value] of Object.entries(own)) values.set(`${tag}.${quantity}`, value === null ? NaN : Number(value));
  }
  // Sensors push every 2 s; half a minute of silence means that nothing shown here is current.
  const stale = !overview.ts || Date.now() - new Date(overview.ts) > STALE_MS;
  paintUnits(map, { get: (tag) => (stale ? NaN : (values.get(tag) ?? NaN)), flag: (tag) => overview.flags?.[tag] ?? 1 });
}
