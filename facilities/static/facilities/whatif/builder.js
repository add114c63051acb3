// The form that builds the sequence: asset by search, what may happen to it with its limits, when.

import { api } from "/static/js/api.js";
import { num } from "/static/js/format.js";

const UNITS = { Cel: "°C", 1: "" };
const GROUPS = { action: "Actions", fault: "Faults", outside: "From outside" };
const ROLES = { command: "Any setpoint", health: "Any fault", boundary: "Any outside condition" };
export const minutes = (seconds) => (seconds < 120 ? `${num(seconds, 0)} s` : `${num(seconds / 60, seconds % 60 ? 1 : 0)} min`);

export class Builder {
  constructor(root, assets, { changed, most }) {
    this.assets = new Map(assets.map((asset) => [asset.tag, asset]));
    this.byName = new Map(assets.map((asset) => [asset.name.toLowerCase(), asset.tag]));
    this.changed = changed;
    this.most = most;
    this.changes = [];
    this.titles = new Map();
    this.catalogue = null;
    this.list = root.querySelector("[data-sequence]");
    this.none = root.querySelector("[data-sequence-empty]");
    this.form = root.querySelector("[data-adder]");
    this.hint = root.querySelector("[data-adder-hint]");
    const options = root.querySelector("datalist");
    for (const asset of assets) {
      const option = document.createElement("option");
      option.value = asset.tag;
      option.label = asset.name;
      options.append(option);
    }
    this.form.asset.addEventListener("change", () => this.#pickAsset());
    this.form.what.addEventListener("change", () => this.#pickWhat());
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#add();
    });
    this.#names();
  }

  async #names() {
    try {
      const all = await api("/api/v1/twin/whatif/catalogue");
      for (const entry of all.entries) this.titles.set(entry.name, entry);
      this.show();
    } catch {
      // Rows then show the entry's plain name.
    }
  }

  set(changes) {
    this.changes = changes.map((change) => ({ ...change }));
    this.show();
  }

  /** Pick an asset in the form, as a link from an alarm asks. */
  offer(tag) {
    this.form.asset.value = tag;
    this.#pickAsset();
  }

  #tag() {
    const typed = this.form.asset.value.trim();
    if (this.assets.has(typed)) return typed;
    return this.byName.get(typed.toLowerCase()) ?? typed;
  }

  async #pickAsset() {
    const tag = this.#tag();
    const select = this.form.what;
    select.disabled = true;
    this.catalogue = null;
    if (!tag) return;
    this.hint.textContent = "";
    try {
      this.catalogue = await api(`/api/v1/twin/whatif/catalogue?asset=${encodeURIComponent(tag)}`);
    } catch (error) {
      this.hint.textContent = error.message;
      return;
    }
    this.form.asset.value = tag;
    select.replaceChildren();
    for (const [group, label] of Object.entries(GROUPS)) {
      const entries = this.catalogue.entries.filter((entry) => entry.group === group);
      this.#options(select, label, entries.map((entry) => [`what:${entry.name}`, entry.title]));
    }
    for (const [role, label] of Object.entries(ROLES)) {
      const drives = this.catalogue.drives.filter((drive) => drive.role === role);
      this.#options(select, label, drives.map((drive) => [`drive:${drive.quantity}`, `${drive.quantity} (${drive.meaning})`]));
    }
    select.disabled = !select.options.length;
    if (!select.options.length) this.hint.textContent = `Nothing can happen to ${tag} in the twin.`;
    this.#pickWhat();
    select.focus();
  }

  #options(select, label, items) {
    if (!items.length) return;
    const group = document.createElement("optgroup");
    group.label = label;
    for (const [value, text] of items) group.append(new Option(text, value));
    select.append(group);
  }

  #chosen() {
    const [how, name] = this.form.what.value.split(/:(.*)/s);
    if (!this.catalogue || !name) return null;
    if (how === "what") return { how, ...this.catalogue.entries.find((entry) => entry.name === name) };
    const drive = this.catalogue.drives.find((each) => each.quantity === name);
    return { how, asks: true, default: drive.now, ramp_s: 0, ...drive };
  }

  #pickWhat() {
    const chosen = this.#chosen();
    const value = this.form.querySelector("[data-value-field]");
    const ramp = this.form.querySelector("[data-ramp-field]");
    value.hidden = !chosen?.asks;
    ramp.hidden = !chosen?.asks;
    this.hint.textContent = "";
    if (!chosen) return;
    this.form.ramp.value = chosen.ramp_s ? chosen.ramp_s / 60 : "";
    if (!chosen.asks) return;
    const unit = UNITS[chosen.unit] ?? chosen.unit;
    value.querySelector("[data-value-label]").textContent = `${chosen.relative ? "Change" : "Value"}${unit ? `, ${unit}` : ""}`;
    const input = this.form.value;
    input.min = chosen.low;
    input.max = chosen.high;
    input.value = chosen.default ?? "";
    const now = Number.isFinite(chosen.now) ? `, now ${+chosen.now.toPrecision(4)}` : "";
    this.hint.textContent = `${+chosen.low.toPrecision(4)} to ${+chosen.high.toPrecision(4)} ${unit}${now}`;
  }

  #add() {
    const chosen = this.#chosen();
    if (!chosen) {
      this.#pickAsset();
      return;
    }
    if (this.changes.length >= this.most) {
      this.hint.textContent = `At most ${this.most} changes.`;
      return;
    }
    const change = { asset: this.#tag(), at_s: Math.round(Number(this.form.at.value || 0) * 60) };
    change[chosen.how === "what" ? "what" : "quantity"] = chosen.how === "what" ? chosen.name : chosen.quantity;
    if (chosen.asks) {
      const value = this.form.value.valueAsNumber;
      if (!Number.isFinite(value) || value < chosen.low || value > chosen.high) {
        this.hint.textContent = `Give a value from ${+chosen.low.toPrecision(4)} to ${+chosen.high.toPrecision(4)}.`;
        this.form.value.focus();
        return;
      }
      change.value = value;
      if (this.form.ramp.value !== "") change.ramp_s = Math.round(this.form.ramp.valueAsNumber * 60);
    }
    this.changes.push(change);
    this.show();
    this.changed(this.changes);
    this.form.asset.focus();
    this.form.asset.select();
  }

  /** One row per change, in order of time. */
  show() {
    this.changes.sort((a, b) => (a.at_s ?? 0) - (b.at_s ?? 0));
    this.none.hidden = this.changes.length > 0;
    this.list.replaceChildren(...this.changes.map((change, at) => this.#row(change, at)));
  }

  #row(change, at) {
    const row = document.createElement("li");
    const entry = this.titles.get(change.what);
    row.dataset.group = entry?.group ?? "action";
    const time = document.createElement("span");
    time.className = "sequence__time num";
    time.textContent = change.at_s ? `+${minutes(change.at_s)}` : "now";
    const text = document.createElement("span");
    text.className = "sequence__text";
    const name = document.createElement("b");
    name.textContent = this.assets.get(change.asset)?.name ?? change.asset;
    const unit = entry ? (UNITS[entry.unit] ?? entry.unit) : "";
    const value = change.value === undefined || (entry && !entry.asks) ? "" : ` ${change.value}${unit ? ` ${unit}` : ""}`;
    text.append(name, ` ${entry?.title ?? change.what ?? change.quantity}${value}`);
    const remove = document.createElement("button");
    remove.className = "btn btn-ghost";
    remove.type = "button";
    remove.textContent = "×";
    remove.setAttribute("aria-label", `Remove: ${text.textContent}`);
    remove.addEventListener("click", () => {
      this.changes.splice(at, 1);
      this.show();
      this.changed(this.changes);
    });
    row.append(time, text, remove);
    return row;
  }
}
