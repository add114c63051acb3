// Colours of values. Cividis (Nuñez, Anderton, Renslow 2018) reads the same with and without colour
// blindness; the diverging scale is ColorBrewer's PuOr, which is safe too.

const CIVIDIS = ["#00224e", "#123570", "#3b496c", "#575d6d", "#707173", "#8a8678", "#a59c74", "#c3b369", "#e1cc55", "#fee838"];
const PUOR = ["#5e3c99", "#8b77b5", "#b2abd2", "#d9d6e6", "#f7f7f7", "#f9d8ae", "#fdb863", "#f18d35", "#e66101"];

const parsed = (stops) => stops.map((hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16)));

class Scale {
  constructor(stops, low, high, unit) {
    Object.assign(this, { stops: parsed(stops), low, high, unit });
  }

  /** Red, green, blue of a value, 0..255 each. */
  rgb(value) {
    const place = Math.min(Math.max((value - this.low) / (this.high - this.low), 0), 1) * (this.stops.length - 1);
    const index = Math.min(Math.floor(place), this.stops.length - 2);
    const share = place - index;
    return this.stops[index].map((from, channel) => from + (this.stops[index + 1][channel] - from) * share);
  }

  colour(value) {
    return Number.isFinite(value) ? `rgb(${this.rgb(value).map(Math.round).join(" ")})` : "none";
  }
}

/** Air in a hall: from the allowable lower limit (class A1, 15 °C) to the return alarm at 40 °C. */
export const heat = new Scale(CIVIDIS, 15, 40, "°C");
/** Measured minus twin. */
export const residual = new Scale(PUOR, -5, 5, "K");
export const share = new Scale(CIVIDIS, 0, 100, "%");

/** Draw a scale with its numbers into a canvas holder. */
export function legend(holder, scale, steps = 5) {
  const canvas = document.createElement("canvas");
  canvas.width = 240;
  canvas.height = 1;
  canvas.className = "scale__bar";
  const context = canvas.getContext("2d");
  for (let x = 0; x < canvas.width; x += 1) {
    context.fillStyle = scale.colour(scale.low + ((scale.high - scale.low) * x) / (canvas.width - 1));
    context.fillRect(x, 0, 1, 1);
  }
  const ticks = document.createElement("div");
  ticks.className = "scale__ticks tiny muted num";
  for (let step = 0; step <= steps; step += 1) {
    const tick = document.createElement("span");
    const value = scale.low + ((scale.high - scale.low) * step) / steps;
    tick.textContent = `${scale.low < 0 && value > 0 ? "+" : ""}${Math.round(value * 10) / 10}${step === steps ? ` ${scale.unit}` : ""}`;
    ticks.append(tick);
  }
  holder.replaceChildren(canvas, ticks);
}
