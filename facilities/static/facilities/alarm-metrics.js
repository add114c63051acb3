// Alarms per ten minutes: gaps between slots are zeros, not lines across.

import { lineChart } from "/static/js/chart.js";

const data = JSON.parse(document.getElementById("slot-data").textContent);
const holder = document.querySelector("#slots .chart__plot");
if (holder) {
  const step = 600;
  const counted = new Map(data.ts.map((at, index) => [Math.round(at), data.counts[index]]));
  const origin = Math.round(data.ts[0]) % step;
  const start = Math.ceil((data.now - data.hours * 3600 - origin) / step) * step + origin;
  const ts = [];
  for (let at = start; at <= data.now; at += step) ts.push(at);
  lineChart(holder, [ts, ts.map((at) => counted.get(at) ?? 0)], { height: 220, floor: 0 });
}
