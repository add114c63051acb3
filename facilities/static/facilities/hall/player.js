// Time: a slider over a period, play and step, speeds, and the keyboard.

export const SPEEDS = [1, 10, 30, 60, 120, 300];
const TICK_MS = 100;

/**
 * `onTime(time, live)` is called whenever the time shown changes. Times are epoch seconds. The
 * slider runs from `start` to `end` in steps; `now` splits measured from predicted.
 */
export class Player {
  constructor(root, onTime) {
    this.root = root;
    this.onTime = onTime;
    this.slider = root.querySelector("[data-slider]");
    this.playButton = root.querySelector("[data-play]");
    this.speedSelect = root.querySelector("[data-speed]");
    this.liveButton = root.querySelector("[data-live]");
    this.live = true;
    this.playing = false;
    this.time = Date.now() / 1000;
    this.ready = () => true;
    this.speedSelect.replaceChildren(...SPEEDS.map((speed) => new Option(`${speed}×`, speed, speed === 30, speed === 30)));
    this.slider.addEventListener("input", () => this.seek(this.start + Number(this.slider.value) * this.step));
    this.playButton.addEventListener("click", () => this.toggle());
    this.liveButton.addEventListener("click", () => this.goLive());
    for (const [name, by] of [["[data-back]", -1], ["[data-forward]", 1]]) root.querySelector(name).addEventListener("click", () => this.skip(by));
    document.addEventListener("keydown", (event) => this.key(event));
    setInterval(() => this.tick(), TICK_MS);
  }

  setPeriod({ start, end, step, canLive }) {
    Object.assign(this, { start, end, step, canLive });
    this.slider.max = Math.max(Math.round((end - start) / step), 1);
    this.liveButton.hidden = !canLive;
    if (!canLive) this.live = false;
    this.show();
  }

  show() {
    const at = this.live ? Date.now() / 1000 : this.time;
    this.slider.value = Math.round((at - this.start) / this.step);
    this.slider.setAttribute("aria-valuetext", new Date(at * 1000).toLocaleString("en-GB"));
    this.playButton.dataset.state = this.playing ? "playing" : "paused";
    this.playButton.setAttribute("aria-label", this.playing ? "Pause" : "Play");
    this.liveButton.setAttribute("aria-pressed", String(this.live));
  }

  seek(time, { keepPlaying = false } = {}) {
    this.live = false;
    if (!keepPlaying) this.playing = false;
    this.time = Math.min(Math.max(time, this.start), this.end);
    this.show();
    this.onTime(this.time, false);
  }

  goLive() {
    if (!this.canLive) return;
    this.live = true;
    this.playing = false;
    this.show();
    this.onTime(Date.now() / 1000, true);
  }

  toggle() {
    if (this.live || this.time >= this.end - this.step / 2) {
      // From live on, forward is the prediction; at the very end, again from the start.
      this.time = this.live ? Date.now() / 1000 : this.start;
      this.live = false;
    }
    this.playing = !this.playing;
    this.show();
  }

  skip(by) {
    const from = this.live ? Date.now() / 1000 : this.time;
    this.seek((Math.round(from / this.step) + by) * this.step);
  }

  faster(by) {
    const index = SPEEDS.indexOf(Number(this.speedSelect.value));
    this.speedSelect.value = SPEEDS[Math.min(Math.max(index + by, 0), SPEEDS.length - 1)];
  }

  tick() {
    if (this.live) {
      this.show();
      return;
    }
    if (!this.playing || !this.ready(this.time)) return;
    const next = this.time + (Number(this.speedSelect.value) * TICK_MS) / 1000;
    if (next >= this.end) this.playing = false;
    const before = Math.floor(this.time / this.step);
    this.time = Math.min(next, this.end);
    this.show();
    if (Math.floor(this.time / this.step) !== before || !this.playing) this.onTime(this.time, false);
  }

  key(event) {
    const field = event.target.closest?.("input:not([type=range]), select, textarea, dialog[open]");
    if (field || event.ctrlKey || event.metaKey || event.altKey) return;
    const onControl = event.target.closest?.("button, a");
    const actions = {
      " ": () => this.toggle(),
      ArrowLeft: () => this.skip(event.shiftKey ? -10 : -1),
      ArrowRight: () => this.skip(event.shiftKey ? 10 : 1),
      Home: () => this.seek(this.start),
      End: () => this.seek(this.end),
      "+": () => this.faster(1),
      "-": () => this.faster(-1),
      l: () => this.goLive(),
    };
    const action = actions[event.key];
    if (!action || (event.key === " " && onControl)) return;
    event.preventDefault();
    action();
  }
}
