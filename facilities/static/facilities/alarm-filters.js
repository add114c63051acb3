// The console's filters: form ↔ address bar ↔ query, and the same test for alarms that arrive live.

const NAMES = ["search", "state", "hall", "asset", "assignee", "shelved", "suppressed"];

export function shelved(alarm) {
  return Boolean(alarm.shelved_until) && new Date(alarm.shelved_until) > new Date();
}

export class Filters {
  constructor(form, me, onChange) {
    this.form = form;
    this.me = me;
    this.values = new URLSearchParams(location.search);
    this.severities = new Set((this.values.get("severity") ?? "").split(",").filter(Boolean));
    for (const name of NAMES) {
      if (form.elements[name]) form.elements[name].value = this.values.get(name) ?? "";
    }
    this.show();
    let waiting;
    const changed = () => {
      clearTimeout(waiting);
      waiting = setTimeout(() => {
        this.read();
        onChange();
      }, 200);
    };
    form.addEventListener("input", changed);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      changed();
    });
    form.addEventListener("reset", () => {
      this.severities.clear();
      setTimeout(changed);
    });
    for (const chip of form.querySelectorAll("[data-severity]")) {
      chip.addEventListener("click", () => {
        const value = chip.dataset.severity;
        if (!this.severities.delete(value)) this.severities.add(value);
        changed();
      });
    }
  }

  read() {
    this.values = new URLSearchParams();
    if (this.severities.size) this.values.set("severity", [...this.severities].sort().join(","));
    for (const name of NAMES) {
      const value = this.form.elements[name]?.value.trim();
      if (value) this.values.set(name, value);
    }
    const query = this.values.toString();
    history.replaceState(null, "", (query ? `?${query}` : location.pathname) + location.hash);
    this.show();
  }

  show() {
    for (const chip of this.form.querySelectorAll("[data-severity]")) {
      chip.setAttribute("aria-pressed", String(this.severities.has(chip.dataset.severity)));
    }
    this.form.querySelector("[type=reset]").hidden = !this.any;
  }

  get any() {
    return [...this.values.keys()].length > 0;
  }

  query() {
    return this.values.toString();
  }

  /** Whether an alarm that arrived live belongs on this list; the same rules as the API's. */
  fits(alarm) {
    const get = (name) => this.values.get(name);
    if (this.severities.size && !this.severities.has(alarm.severity)) return false;
    if (get("state") && alarm.state !== get("state")) return false;
    if (get("hall") && alarm.hall !== get("hall")) return false;
    if (get("asset") && alarm.asset !== get("asset")) return false;
    if (get("suppressed") && String(alarm.suppressed) !== get("suppressed")) return false;
    if (get("shelved") && String(shelved(alarm)) !== get("shelved")) return false;
    if (get("assignee") === "me" && alarm.assignee !== this.me) return false;
    if (get("assignee") === "none" && alarm.assignee) return false;
    const text = `${alarm.point} ${alarm.message} ${alarm.rule}`.toLowerCase();
    return (get("search") ?? "").toLowerCase().split(/\s+/).every((word) => text.includes(word));
  }
}
