// The stretch of time that is shown: live (up to now) or fixed; kept in the address, so it can be shared.

const MIN_S = 10;
const MAX_S = 10 * 366 * 86400;

/** `span` seconds up to now while `end` is null, otherwise up to `end` (epoch seconds). */
export class Window {
  constructor(span = 3600, end = null) {
    this.span = Math.min(Math.max(span, MIN_S), MAX_S);
    this.end = end;
  }

  static fromAddress(hash = location.hash) {
    const read = new URLSearchParams(hash.slice(1));
    const span = Number(read.get("span"));
    const end = Number(read.get("end"));
    return new Window(span > 0 ? span : 3600, end > 0 ? end : null);
  }

  get live() {
    return this.end === null;
  }

  /** [start, end] in epoch seconds at this moment. */
  range(now = Date.now() / 1000) {
    const end = this.end ?? now;
    return [end - this.span, end];
  }

  /** Moved by a share of its length; moving past now makes it live again. */
  panned(share, now = Date.now() / 1000) {
    const end = (this.end ?? now) + share * this.span;
    return new Window(this.span, end >= now ? null : end);
  }

  /** Lengthened (factor > 1) or shortened around its middle; a live one keeps its right end. */
  zoomed(factor, now = Date.now() / 1000) {
    if (this.live) return new Window(this.span * factor);
    const end = this.end + ((factor - 1) * this.span) / 2;
    return new Window(this.span * factor, end >= now ? null : end);
  }

  toAddress() {
    const end = this.end === null ? "" : `&end=${this.end.toFixed(3)}`;
    history.replaceState(null, "", `#span=${Math.round(this.span)}${end}`);
  }
}
