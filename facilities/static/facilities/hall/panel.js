// The side panel: one asset (or the hall) at the time shown, measured beside the twin.

import { num, watts } from "/static/js/format.js";

const FLAGS = { 2: "unknown", 3: "suspect", 4: "failed", 9: "missing" };
const NAMES = {
  inlet_c: ["Inlet", "°C"], outlet_c: ["Outlet", "°C"], power_w: ["Power", "W"], supply_c: ["Supply", "°C"], return_c: ["Return", "°C"],
  fan_speed_pct: ["Fan", "%"], flow_lps: ["Flow", "L/s"], load_pct: ["Load", "%"], battery_pct: ["Battery", "%"], leaving_c: ["Leaving water", "°C"],
  dry_bulb_c: ["Outside air", "°C"], load_cap_pct: ["Load cap", "%"], airflow_m3s: ["Airflow", "m³/s"], recirculation: ["Recirculated", "share"],
};
const STATES = { running: ["stopped", "running"], fault: ["none", "fault"], breaker_closed: ["open", "closed"], on_battery: ["on mains", "on battery"], available: ["lost", "available"] };
const LABELS = { running: "State", fault: "Fault", breaker_closed: "Breaker", on_battery: "Supply", available: "Feed" };

function shown(quantity, value) {
  if (!Number.isFinite(value)) return "–";
  if (quantity in STATES) return STATES[quantity][value >= 0.5 ? 1 : 0];
  const [, unit] = NAMES[quantity];
  if (unit === "W") return watts(value);
  if (unit === "share") return `${num(value * 100)} %`;
  return `${num(value, unit === "m³/s" ? 2 : 1)} ${unit}`;
}

function element(tag, text = "", className = "") {
  const made = document.createElement(tag);
  made.textContent = text;
  if (className) made.className = className;
  return made;
}

export class Panel {
  constructor(root, map) {
    this.root = root;
    this.map = map;
    this.selected = null;
  }

  select(tag) {
    this.selected = this.map.units.has(tag) ? tag : null;
    for (const drawn of this.map.units.values()) drawn.link.toggleAttribute("data-selected", drawn.unit.tag === this.selected);
  }

  paint(frame, alarms) {
    const parts = this.selected ? this.asset(this.map.units.get(this.selected).unit, frame, alarms) : this.hall(frame, alarms);
    this.root.replaceChildren(...parts);
  }

  facts(rows) {
    const list = element("dl", "", "kv");
    for (const [name, value] of rows) {
      const cell = element("dd", "", "num");
      cell.append(value);
      list.append(element("dt", name), cell);
    }
    return list;
  }

  hall(frame, alarms) {
    const { plan, units } = this.map;
    const racks = [...units.values()].map(({ unit }) => ({ unit, inlet: frame.get(`${unit.tag}.inlet_c`) })).filter(({ unit, inlet }) => unit.kind === "rack" && Number.isFinite(inlet));
    const hottest = racks.reduce((best, rack) => (!best || rack.inlet > best.inlet ? rack : best), null);
    const outside = plan.behind.find((unit) => unit.kind === "weather");
    const open = alarms.filter((alarm) => !alarm.suppressed).length;
    return [
      element("h2", plan.name),
      this.facts([
        ["IT power", watts(frame.get(`${plan.slug}.it_power_w`))],
        ["PUE", num(frame.get(`${plan.slug}.pue`), 3)],
        ["Hottest inlet", hottest ? `${num(hottest.inlet)} °C at ${hottest.unit.tag}` : "–"],
        ...(outside ? [["Outside air", shown("dry_bulb_c", frame.get(`${outside.tag}.dry_bulb_c`))]] : []),
        ["Alarms at this time", String(open)],
      ]),
      element("p", "Choose a rack or a unit on the map to see its values.", "small muted"),
    ];
  }

  asset(unit, frame, alarms) {
    const rows = [];
    for (const quantity of [...Object.keys(NAMES), ...Object.keys(STATES)]) {
      const tag = `${unit.tag}.${quantity}`;
      const measured = frame.get(tag);
      const twin = frame.twin(tag);
      if (!Number.isFinite(measured) && !Number.isFinite(twin)) continue;
      const flag = frame.flag(tag);
      const own = frame.kind === "prediction" ? "–" : shown(quantity, measured) + (flag > 1 ? ` (${FLAGS[flag] ?? flag})` : "");
      rows.push([LABELS[quantity] ?? NAMES[quantity][0], own, Number.isFinite(twin) ? shown(quantity, twin) : "–"]);
    }
    const table = element("table", "", "table panel__table");
    const head = document.createElement("thead");
    const line = document.createElement("tr");
    for (const text of ["", "Measured", "Twin"]) line.append(element("th", text, text ? "num" : ""));
    head.append(line);
    const body = document.createElement("tbody");
    for (const [name, measured, twin] of rows) {
      const row = document.createElement("tr");
      row.append(element("td", name, "muted"), element("td", measured, "num"), element("td", twin, "num muted"));
      body.append(row);
    }
    table.append(head, body);
    const title = element("h2", unit.name);
    const facts = [["Tag", unit.tag]];
    if (unit.rated && unit.kind !== "crac") facts.push(["Rating", watts(unit.rated)]);
    if (unit.feeds.length) facts.push(["Fed by", unit.feeds.join(", ")]);
    if (unit.cools.length) facts.push(["Cooled by", unit.cools.join(", ")]);
    if (unit.holds) facts.push(["Servers", String(unit.holds)]);
    const links = element("p", "", "row small");
    const link = (text, href) => {
      const made = element("a", text);
      made.href = href;
      links.append(made);
    };
    if (unit.kind === "rack") link("Rack page", `/racks/${encodeURIComponent(unit.tag)}/`);
    link("Asset", `/assets/${encodeURIComponent(unit.tag)}/`);
    link("Its points", `/points/?asset=${encodeURIComponent(unit.tag)}`);
    const own = alarms.filter((alarm) => alarm.asset === unit.tag || alarm.rack === unit.tag);
    const list = element("ul", "", "panel__alarms small");
    for (const alarm of own.slice(0, 8)) {
      const item = document.createElement("li");
      item.dataset.tone = alarm.severity;
      const to = element("a", `${alarm.rule}: ${alarm.point}`);
      to.href = `/alarms/#alarm-${alarm.id}`;
      item.append(to);
      list.append(item);
    }
    const close = element("button", "Show the hall", "btn btn-ghost small");
    close.type = "button";
    close.addEventListener("click", () => this.root.dispatchEvent(new CustomEvent("unselect")));
    return [title, this.facts(facts), rows.length ? table : element("p", "No values at this time.", "small muted"), ...(own.length ? [list] : []), links, close];
  }
}
