// The chart of one point: line and band, readings that are not good, alarms, and the quality strip.

import uPlot from "/static/vendor/uplot/uPlot.esm.js";

const token = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const SUSPECT = 3;
const FAIL = 4;
const BAD_FLAGS = new Set([4, 9]);
const FLAG_TOKENS = { 1: "--ok", 2: "--neutral", 3: "--medium", 4: "--critical", 9: "--high" };
const SEVERITIES = { critical: "--critical", high: "--high", medium: "--medium", low: "--low" };

const two = (value) => String(value).padStart(2, "0");

/** Labels as fine as the distance between them asks for. */
function labels(_plot, splits, _axis, _space, step) {
  return splits.map((seconds) => {
    const at = new Date(seconds * 1000);
    if (step >= 28 * 86400) return `${two(at.getMonth() + 1)}.${at.getFullYear()}`;
    if (step >= 86400) return `${two(at.getDate())}.${two(at.getMonth() + 1)}.`;
    const minutes = `${two(at.getHours())}:${two(at.getMinutes())}`;
    return step < 60 ? `${minutes}:${two(at.getSeconds())}` : minutes;
  });
}

/** A gap in time becomes a gap in the line: a row of nulls between two samples far apart. */
function withGaps(series, intervalS) {
  const { ts, values, flags, low, high } = series;
  const banded = low.length > 0;
  const usual = series.step_s > 0 ? (banded ? series.step_s : series.step_s / 2) : intervalS;
  const limit = Math.max(usual * 3.5, (ts.at(-1) - ts[0]) / 600 || 0);
  const columns = [[], [], [], [], [], []]; // time, low, high, line, suspect, bad
  ts.forEach((at, n) => {
    if (n && limit > 0 && at - ts[n - 1] > limit) {
      columns[0].push((at + ts[n - 1]) / 2);
      for (const column of columns.slice(1)) column.push(null);
    }
    const bad = !banded && BAD_FLAGS.has(flags[n]);
    columns[0].push(at);
    columns[1].push(banded ? low[n] : null);
    columns[2].push(banded ? high[n] : null);
    columns[3].push(bad ? null : values[n]);
    columns[4].push(!banded && flags[n] === SUSPECT && series.step_s === 0 ? values[n] : null);
    columns[5].push(bad ? values[n] : null);
  });
  return columns;
}

/** Draws into `holder` and `strip` (a canvas below it). `select(start, end)` is told of a drag. */
export class Plot {
  constructor(holder, strip, { select, move }) {
    this.holder = holder;
    this.strip = strip;
    this.select = select;
    this.move = move;
    this.range = [0, 1];
    this.alarms = [];
    this.series = null;
    this.uplot = this.#make();
    new ResizeObserver(() => this.#resize()).observe(holder);
    document.addEventListener("themechange", () => this.uplot.redraw());
    holder.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    this.#panByPointer();
  }

  #height() {
    return window.innerWidth < 700 ? 240 : 340;
  }

  #make() {
    const axis = {
      stroke: () => token("--text-muted"),
      grid: { stroke: () => token("--border"), width: 1 },
      ticks: { show: false },
      font: "11px Inter, sans-serif",
    };
    const points = (name) => ({
      stroke: () => token(name),
      paths: () => null,
      points: { show: true, size: 6, fill: () => token(name), stroke: () => token(name) },
    });
    const edge = { stroke: () => token("--accent"), width: 0, points: { show: false } };
    return new uPlot(
      {
        width: Math.max(this.holder.clientWidth, 200),
        height: this.#height(),
        padding: [10, 8, 0, 0],
        cursor: { drag: { x: true, y: false, setScale: false }, points: { size: 6 } },
        scales: {
          x: { range: () => this.range },
          y: { range: (_plot, low, high) => this.#heightRange(low, high) },
        },
        axes: [
          { ...axis, values: labels, space: 70, size: 28 },
          { ...axis, size: 52, gap: 4 },
        ],
        bands: [{ series: [2, 1], fill: () => `${token("--accent")}33` }],
        series: [
          {},
          edge,
          edge,
          { stroke: () => token("--accent"), width: 1.75, points: { show: (plot) => plot.data[0].length < 60, size: 5 }, spanGaps: false },
          points("--medium"),
          points("--critical"),
        ],
        hooks: {
          drawClear: [(plot) => this.#drawAlarms(plot)],
          draw: [(plot) => this.#drawStrip(plot)],
          setCursor: [(plot) => this.move(this.#at(plot.cursor.idx))],
          setSelect: [(plot) => this.#selected(plot)],
        },
      },
      [[], [], [], [], [], []],
      this.holder,
    );
  }

  /** The measured values decide the height; a bad reading far outside must not flatten them. */
  #heightRange(low, high) {
    const measured = [1, 2, 3, 4].flatMap((n) => (this.uplot?.data[n] ?? []).filter((value) => value !== null));
    const from = measured.length ? Math.min(...measured) : low;
    const to = measured.length ? Math.max(...measured) : high;
    if (from === null || to === null) return [0, 1];
    const pad = Math.max((to - from) * 0.1, Math.abs(to) * 0.01, 0.05);
    return [from - pad, to + pad];
  }

  show(series, alarms, range, intervalS) {
    this.series = series;
    this.alarms = alarms;
    this.interval = intervalS;
    this.range = range;
    this.uplot.setData(withGaps(series, intervalS));
  }

  #at(idx) {
    if (idx === null || idx === undefined || !this.series) return null;
    const [time, low, high, line, suspect, bad] = this.uplot.data.map((column) => column[idx]);
    if (time === undefined) return null;
    return { time, low, high, value: line ?? bad, flag: bad !== null ? FAIL : suspect !== null ? SUSPECT : null };
  }

  #selected(plot) {
    const { left, width } = plot.select;
    if (width < 5) return;
    const [start, end] = [plot.posToVal(left, "x"), plot.posToVal(left + width, "x")];
    plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    this.select(start, end);
  }

  #wheel(event) {
    if (!event.ctrlKey && !event.metaKey) return; // a plain wheel scrolls the page
    event.preventDefault();
    const [start, end] = this.range;
    const share = event.offsetX / Math.max(this.uplot.over.clientWidth, 1);
    const factor = event.deltaY > 0 ? 1.25 : 0.8;
    const pivot = start + Math.min(Math.max(share, 0), 1) * (end - start);
    this.select(pivot - (pivot - start) * factor, pivot + (end - pivot) * factor);
  }

  /** Dragging with Shift moves the time instead of selecting from it. */
  #panByPointer() {
    const over = this.uplot.over;
    over.addEventListener(
      "mousedown",
      (event) => {
        if (!event.shiftKey) return;
        event.stopImmediatePropagation();
        const [start, end] = this.range;
        const perPixel = (end - start) / over.clientWidth;
        const from = event.clientX;
        const moved = (now) => (from - now.clientX) * perPixel;
        const drag = (now) => {
          this.range = [start + moved(now), end + moved(now)];
          this.uplot.redraw(false, true);
          this.uplot.setScale("x", { min: this.range[0], max: this.range[1] });
        };
        const drop = (now) => {
          document.removeEventListener("mousemove", drag);
          this.select(start + moved(now), end + moved(now));
        };
        document.addEventListener("mousemove", drag);
        document.addEventListener("mouseup", drop, { once: true });
      },
      { capture: true },
    );
  }

  #drawAlarms(plot) {
    const { ctx, bbox } = plot;
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
    for (const alarm of this.alarms) {
      const colour = token(SEVERITIES[alarm.severity] ?? "--neutral");
      const from = plot.valToPos(Date.parse(alarm.raised_at) / 1000, "x", true);
      const until = alarm.cleared_at ? Date.parse(alarm.cleared_at) / 1000 : Math.min(Date.now() / 1000, this.range[1]);
      const to = Math.max(plot.valToPos(until, "x", true), from + 2);
      ctx.fillStyle = `${colour}26`;
      ctx.fillRect(from, bbox.top, to - from, bbox.height);
      ctx.fillStyle = colour;
      ctx.fillRect(from, bbox.top, 2 * devicePixelRatio, bbox.height);
    }
    ctx.restore();
  }

  #drawStrip(plot) {
    const ratio = devicePixelRatio;
    const { left, width } = plot.bbox;
    this.strip.width = plot.ctx.canvas.width;
    this.strip.height = 10 * ratio;
    const ctx = this.strip.getContext("2d");
    ctx.fillStyle = token("--surface-3");
    ctx.fillRect(left, 0, width, this.strip.height);
    if (!this.series) return;
    const { ts, flags, counts, bad, step_s: stepS } = this.series;
    const banded = counts.length > 0;
    ts.forEach((at, n) => {
      const from = banded ? at - stepS / 2 : at;
      const reach = banded ? at + stepS / 2 : Math.min(ts[n + 1] ?? at + this.interval, at + 3 * this.interval);
      const x0 = Math.max(plot.valToPos(from, "x", true), left);
      const x1 = Math.min(plot.valToPos(reach, "x", true), left + width);
      if (x1 < left || x0 > left + width) return;
      ctx.fillStyle = token(FLAG_TOKENS[flags[n]] ?? "--neutral");
      // Where few of many were bad, the lower part says how many.
      const share = banded && flags[n] >= FAIL ? Math.max(bad[n] / counts[n], 0.3) : 1;
      if (share < 1) {
        ctx.fillStyle = token("--ok");
        ctx.fillRect(x0, 0, Math.max(x1 - x0, ratio), this.strip.height);
        ctx.fillStyle = token(FLAG_TOKENS[flags[n]]);
      }
      ctx.fillRect(x0, this.strip.height * (1 - share), Math.max(x1 - x0, ratio), this.strip.height * share);
    });
  }

  #resize() {
    this.uplot.setSize({ width: Math.max(this.holder.clientWidth, 200), height: this.#height() });
  }
}
