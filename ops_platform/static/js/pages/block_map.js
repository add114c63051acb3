// The KV pool on a canvas: one square a block, coloured and patterned by state.

const STATES = ["free", "private", "shared", "cached", "pinned"];
const TOKENS = { free: "--border", private: "--accent", shared: "--low", cached: "--neutral", pinned: "--medium" };
const LARGEST = 20;
const SMALLEST = 3;
const PATTERNED = 7; // below this many pixels a pattern is only noise

const token = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

const bytes = (text) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0));

/** Decode what GET /kv/blocks sends as typed arrays. */
export function decode(picture) {
  return {
    states: bytes(picture.states),
    owners: new Uint16Array(bytes(picture.owners).buffer),
    groups: picture.groups,
    filled: new Map(picture.partial),
    size: picture.block_size,
  };
}

/** A pattern of one state: stripes, dots, a chequer; a plain fill says private. */
function pattern(context, name, colour, ground) {
  const tile = document.createElement("canvas");
  tile.width = tile.height = 6;
  const pen = tile.getContext("2d");
  pen.fillStyle = ground;
  pen.fillRect(0, 0, 6, 6);
  pen.fillStyle = pen.strokeStyle = colour;
  if (name === "shared") {
    pen.lineWidth = 2;
    for (const start of [-6, 0, 6]) {
      pen.beginPath();
      pen.moveTo(start - 1, 7);
      pen.lineTo(start + 7, -1);
      pen.stroke();
    }
  } else if (name === "cached") {
    pen.fillRect(2, 2, 2, 2);
  } else {
    pen.fillRect(0, 0, 3, 3);
    pen.fillRect(3, 3, 3, 3);
  }
  return context.createPattern(tile, "repeat");
}

export class BlockMap {
  /** `onPoint(block, byKey)` hears what is pointed at (-1: nothing), `onPick(sequence)` a choice. */
  constructor(holder, { onPoint, onPick }) {
    this.holder = holder;
    this.canvas = holder.querySelector("canvas");
    this.context = this.canvas.getContext("2d");
    this.onPoint = onPoint;
    this.onPick = onPick;
    this.blocks = null;
    this.selected = null;
    this.cursor = -1;
    this.#listen();
    new ResizeObserver(() => this.draw()).observe(holder);
    document.addEventListener("themechange", () => this.draw());
  }

  show(blocks, selected) {
    this.blocks = blocks;
    this.selected = selected;
    this.draw();
  }

  /** What is known of a block: its state, its owners and how many positions are filled. */
  describe(block) {
    const { states, owners, groups, filled, size } = this.blocks;
    const state = STATES[states[block]];
    return { state, owners: groups[owners[block]], filled: state === "free" ? 0 : (filled.get(block) ?? size), size };
  }

  get #count() {
    return this.blocks?.states.length ?? 0;
  }

  #layout() {
    const width = Math.max(this.holder.clientWidth, 60);
    const height = this.holder.clientHeight;
    let step = LARGEST;
    while (step > SMALLEST && Math.ceil(this.#count / Math.floor(width / step)) * step > height) step -= 1;
    const columns = Math.floor(width / step);
    return { step, columns, width, height: Math.max(height, Math.ceil(this.#count / columns) * step) };
  }

  draw() {
    if (!this.blocks) return;
    this.layout = this.#layout();
    const { step, columns, width, height } = this.layout;
    const ratio = window.devicePixelRatio || 1;
    if (this.canvas.width !== Math.round(width * ratio) || this.canvas.height !== Math.round(height * ratio)) {
      this.canvas.width = Math.round(width * ratio);
      this.canvas.height = Math.round(height * ratio);
      this.canvas.style.width = `${width}px`;
      this.canvas.style.height = `${height}px`;
    }
    const pen = this.context;
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    const side = step - (step > 5 ? 2 : 1);
    const fills = this.#fills(side);
    for (let block = 0; block < this.#count; block += 1) {
      this.#square(pen, fills, block, (block % columns) * step, Math.floor(block / columns) * step, side);
    }
    pen.globalAlpha = 1;
    if (this.cursor >= 0 && this.cursor < this.#count) {
      pen.strokeStyle = token("--text");
      pen.lineWidth = 2;
      pen.strokeRect((this.cursor % columns) * step - 0.5, Math.floor(this.cursor / columns) * step - 0.5, side + 1, side + 1);
    }
  }

  #fills(side) {
    const surface = token("--surface");
    return STATES.map((name) => {
      const colour = token(TOKENS[name]);
      const ground = `color-mix(in srgb, ${colour} 40%, ${surface})`;
      const plain = name === "private" || name === "free" || side < PATTERNED;
      return { colour, fill: plain ? colour : pattern(this.context, name, colour, ground), empty: `color-mix(in srgb, ${colour} 22%, ${surface})` };
    });
  }

  #square(pen, fills, block, x, y, side) {
    const { states, owners, groups, filled, size } = this.blocks;
    const state = states[block];
    const mine = this.selected === null || groups[owners[block]].includes(this.selected);
    pen.globalAlpha = mine ? 1 : 0.28;
    const { colour, fill, empty } = fills[state];
    if (state === 0) {
      pen.strokeStyle = colour;
      pen.lineWidth = 1;
      if (side > 3) pen.strokeRect(x + 0.5, y + 0.5, side - 1, side - 1);
      else pen.strokeRect(x + 0.5, y + 0.5, side - 0.5, side - 0.5);
      return;
    }
    const share = (filled.get(block) ?? size) / size;
    if (share < 1) {
      pen.fillStyle = empty;
      pen.fillRect(x, y, side, side);
    }
    pen.fillStyle = fill;
    const height = Math.max(1, side * share);
    pen.fillRect(x, y + side - height, side, height);
    if (mine && this.selected !== null) {
      pen.strokeStyle = token("--text");
      pen.lineWidth = 1;
      pen.strokeRect(x + 0.5, y + 0.5, side - 1, side - 1);
    }
  }

  #at(event) {
    if (!this.layout) return -1;
    const box = this.canvas.getBoundingClientRect();
    const column = Math.floor((event.clientX - box.left) / this.layout.step);
    const block = Math.floor((event.clientY - box.top) / this.layout.step) * this.layout.columns + column;
    return column < this.layout.columns && block < this.#count ? block : -1;
  }

  #point(block, byKey) {
    if (block === this.cursor) return;
    this.cursor = block;
    this.draw();
    this.onPoint(block, byKey);
  }

  #pick(block) {
    const owners = block >= 0 ? this.describe(block).owners : [];
    const next = owners[(owners.indexOf(this.selected) + 1) % Math.max(owners.length, 1)];
    this.onPick(next === undefined || next === this.selected ? null : next);
  }

  #listen() {
    this.canvas.addEventListener("pointermove", (event) => this.#point(this.#at(event), false));
    this.canvas.addEventListener("pointerleave", () => this.#point(-1, false));
    this.canvas.addEventListener("blur", () => this.#point(-1, false));
    this.canvas.addEventListener("click", (event) => this.#pick(this.#at(event)));
    this.canvas.addEventListener("keydown", (event) => {
      const columns = this.layout?.columns ?? 1;
      const move = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[event.key];
      if (move) {
        const target = this.cursor < 0 ? 0 : this.cursor + move;
        if (target >= 0 && target < this.#count) this.#point(target, true);
      } else if (event.key === "Enter" || event.key === " ") this.#pick(this.cursor);
      else if (event.key === "Escape") this.onPick(null);
      else return;
      event.preventDefault();
    });
  }
}
