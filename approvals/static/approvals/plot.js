// The twin's prediction as a drawing, for answers that come as JSON; approvals/plot.py draws the cards'.

const [WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM] = [320, 120, 34, 4, 8, 18];
const NS = "http://www.w3.org/2000/svg";

function shape(name, attributes, text = "") {
  const node = document.createElementNS(NS, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.textContent = text;
  return node;
}

/** Smallest step of `steps` that cuts `span` into at most `most` parts. */
const stepOf = (span, most, steps) => steps.find((step) => span / step <= most) ?? steps.at(-1);

/** An <svg> with both courses, their bands and ticks; `limit` is drawn where it is near. */
export function plotOf({ times_s: times, nothing, acting, sentence }, limit = null) {
  const values = [nothing, acting].flatMap((line) => [...line.p10, ...line.p90]);
  let [low, high] = [Math.min(...values), Math.max(...values)];
  if (limit !== null && low - 3 < limit && limit < high + 3) [low, high] = [Math.min(low, limit), Math.max(high, limit)];
  if (high - low < 1) [low, high] = [(low + high - 1) / 2, (low + high + 1) / 2];
  const pad = 0.06 * (high - low);
  [low, high] = [low - pad, high + pad];
  const x = (seconds) => (LEFT + (seconds / times.at(-1)) * (WIDTH - LEFT - RIGHT)).toFixed(1);
  const y = (value) => (TOP + ((high - value) / (high - low)) * (HEIGHT - TOP - BOTTOM)).toFixed(1);
  const line = (course) => times.map((at, index) => `${x(at)},${y(course[index])}`);
  const band = ({ p10, p90 }) => [...line(p90), ...line(p10).reverse()].join(" ");
  const svg = shape("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": sentence });
  const rows = stepOf(high - low, 5, [0.5, 1, 2, 5, 10, 20, 50, 100, 1e9]);
  for (let value = Math.ceil(low / rows) * rows; value <= high; value += rows) {
    svg.append(shape("line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: y(value), y2: y(value) }));
    svg.append(shape("text", { class: "tick", x: LEFT - 4, y: y(value), dy: 3, "text-anchor": "end" }, String(Number(value.toFixed(2)))));
  }
  const minutes = times.at(-1) / 60;
  const every = stepOf(minutes, 4, [1, 5, 10, 30, 60, 1e9]);
  for (let at = 0; at <= minutes; at += every) {
    const anchor = at === 0 ? "start" : at + every > minutes ? "end" : "middle";
    svg.append(shape("text", { class: "tick", x: x(60 * at), y: HEIGHT - 4, "text-anchor": anchor }, `${at} min`));
  }
  svg.append(shape("polygon", { class: "band band--nothing", points: band(nothing) }), shape("polygon", { class: "band band--acting", points: band(acting) }));
  if (limit !== null && low <= limit && limit <= high) svg.append(shape("line", { class: "limit", x1: LEFT, x2: WIDTH - RIGHT, y1: y(limit), y2: y(limit) }));
  svg.append(shape("polyline", { class: "line line--nothing", points: line(nothing.p50).join(" ") }), shape("polyline", { class: "line line--acting", points: line(acting.p50).join(" ") }));
  return svg;
}
