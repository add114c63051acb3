// Values of the hall by time: measured frames in chunks, the live values, and the twin's.

import { api } from "/static/js/api.js";

const CHUNK = 60;
const FRESH_MS = 30_000;
const KEPT_CHUNKS = 60;

const iso = (seconds) => new Date(seconds * 1000).toISOString();

/** One block of frames as the API gives it; values by tag. */
class Block {
  constructor(answer) {
    Object.assign(this, answer);
  }

  index(time) {
    const index = Math.floor((time - this.start) / this.step_s + 1e-6);
    return index >= 0 && index < this.count ? index : -1;
  }

  get(tag, time) {
    const index = this.index(time);
    return index < 0 ? NaN : (this.values[tag]?.[index] ?? NaN);
  }

  flag(tag, time) {
    const index = this.index(time);
    return this.flags[tag]?.find(([first, length]) => index >= first && index < first + length)?.[2] ?? 1;
  }
}

export class Frames {
  constructor(slug) {
    this.path = `/api/v1/halls/${encodeURIComponent(slug)}`;
    this.chunks = new Map();
    this.latest = new Map();
    this.future = null;
    this.past = null;
    this.step = 10;
    this.loading = new Map();
  }

  /** Take another distance of frames; what was loaded with the old one is of no use. */
  setStep(step) {
    if (step === this.step) return;
    this.step = step;
    this.chunks.clear();
  }

  chunkOf(time) {
    return Math.floor(time / (CHUNK * this.step));
  }

  /** Load the chunk around a time; resolves when it is there. One request per chunk at a time. */
  load(time) {
    const { step } = this;
    const number = this.chunkOf(time);
    const start = number * CHUNK * step;
    const now = Date.now() / 1000;
    if (start >= now) return Promise.resolve(null);
    const known = this.chunks.get(number);
    if (known && (known.full || now - known.at < Math.max(step, 5))) return Promise.resolve(known.block);
    const key = `${step}:${number}`;
    if (!this.loading.has(key)) {
      const full = start + CHUNK * step < now - 2 * step;
      const end = Math.min(start + (CHUNK - 1) * step, now);
      const asked = api(`${this.path}/frames?start=${start}&end=${Math.max(end, start + 1)}&step_s=${step}`)
        .then((answer) => {
          const block = new Block(answer);
          if (step === this.step) {
            this.chunks.set(number, { block, full, at: now });
            while (this.chunks.size > KEPT_CHUNKS) this.chunks.delete(this.chunks.keys().next().value);
          }
          return block;
        })
        .finally(() => this.loading.delete(key));
      this.loading.set(key, asked);
    }
    return this.loading.get(key);
  }

  /** Load everything from start to end, one chunk after another, until `goOn()` says no. */
  async prefetch(start, end, goOn) {
    for (let time = start; time <= end + CHUNK * this.step && goOn(); time += CHUNK * this.step) {
      try {
        await this.load(Math.min(time, end));
      } catch {
        return; // the frame that is looked at is asked for again and tells what is wrong
      }
    }
  }

  isLoaded(time) {
    const number = this.chunkOf(time);
    return this.chunks.has(number) || number * CHUNK * this.step >= Date.now() / 1000;
  }

  /** The twin's next half hour; throws ApiError where the site has no twin. */
  async loadFuture() {
    this.future = new Block(await api(`${this.path}/prediction?step_s=${Math.min(Math.max(this.step, 10), 300)}`));
    return this.future;
  }

  /** The twin over a past period of at most two hours. */
  async loadPast(start, end) {
    const step = Math.max(Math.ceil((end - start) / 180 / 5) * 5, 10);
    this.past = new Block(await api(`${this.path}/replay?start=${encodeURIComponent(iso(start))}&end=${encodeURIComponent(iso(end))}&step_s=${step}`));
    return this.past;
  }

  hasPast(time) {
    return Boolean(this.past && this.past.index(time) >= 0);
  }

  twinAt(time) {
    if (this.past && this.past.index(time) >= 0) return this.past;
    return this.future;
  }

  /** New readings from the WebSocket. */
  take(readings) {
    for (const reading of readings) {
      const at = Date.parse(reading.ts);
      const before = this.latest.get(reading.point);
      if (!before || before.at <= at) this.latest.set(reading.point, { at, value: reading.value, flag: reading.quality ?? 1 });
    }
  }

  /** A frame: get(tag), flag(tag), twin(tag), and where it comes from. */
  at(time, { live = false } = {}) {
    if (live) return this.liveFrame();
    const { future } = this;
    if (time > Date.now() / 1000 || (future && time > future.start && !this.chunks.has(this.chunkOf(time)))) {
      const get = (tag) => future?.get(tag, time) ?? NaN;
      return { kind: "prediction", time, get, flag: () => 1, twin: get };
    }
    const block = this.chunks.get(this.chunkOf(time))?.block;
    const twin = this.twinAt(time);
    return {
      kind: "measured",
      time,
      get: (tag) => block?.get(tag, time) ?? NaN,
      flag: (tag) => block?.flag(tag, time) ?? 1,
      twin: (tag) => twin?.get(tag, Math.max(time, twin === this.future ? twin.start : time)) ?? NaN,
    };
  }

  liveFrame() {
    const now = Date.now();
    const fresh = (tag) => {
      const reading = this.latest.get(tag);
      return reading && now - reading.at < FRESH_MS ? reading : null;
    };
    const { future } = this;
    const twinTime = future ? Math.min(Math.max(now / 1000, future.start), future.start + future.step_s * (future.count - 1)) : 0;
    return {
      kind: "live",
      time: now / 1000,
      get: (tag) => fresh(tag)?.value ?? NaN,
      flag: (tag) => fresh(tag)?.flag ?? 1,
      twin: (tag) => future?.get(tag, twinTime) ?? NaN,
    };
  }
}
