// The overview page: figures, hall map, alarms and proposals, kept live.

import { api } from "../api.js";
import { ago, num, watts } from "../format.js";
import { doubts, drawHall } from "./hall.js";
import { connect } from "../live.js";

const byId = (id) => document.getElementById(id);
const REFRESH_MS = 2000;
const SHOWN = 6;

/** `doubt` names values behind the figure whose quality flag is not good; the figure gets a ?. */
function tile(id, text, tone = "", doubt = "") {
  byId(id).textContent = doubt ? `${text}?` : text;
  byId(id).title = doubt && `not to be trusted: ${doubt}`;
  const holder = byId(id).closest(".tile");
  if (tone) holder.dataset.tone = tone;
  else delete holder.dataset.tone;
}

function inletTone(celsius) {
  if (celsius > 32) return "critical";
  return celsius > 27 ? "high" : "";
}

async function refreshHall() {
  const overview = await api("/api/v1/facility/overview");
  byId("hall-name").textContent = overview.name ?? "Overview";
  const own = (name) => doubts(overview.flags, `${overview.slug}.${name}`);
  tile("it-power", watts(overview.it_power_w), "", own("it_power_w"));
  tile("facility-power", watts(overview.facility_power_w), "", own("facility_power_w"));
  tile("pue", num(overview.pue, 3), "", own("pue"));
  const known = overview.racks.filter((rack) => Number.isFinite(rack.inlet_c));
  const hottest = known.reduce((best, rack) => (!best || rack.inlet_c > best.inlet_c ? rack : best), null);
  tile("max-inlet", hottest ? `${num(hottest.inlet_c)} °C` : "–", hottest ? inletTone(hottest.inlet_c) : "", hottest ? doubts(overview.flags, `${hottest.tag}.inlet_c`) : "");
  byId("max-inlet-rack").textContent = hottest ? hottest.tag : "no readings yet";
  drawHall(byId("hall"), overview);
}

function item({ href, tone, title, detail, side }) {
  const link = document.createElement("a");
  link.className = "item";
  link.href = href;
  link.dataset.tone = tone;
  const main = document.createElement("span");
  main.textContent = title;
  const right = document.createElement("small");
  right.textContent = side;
  const below = document.createElement("small");
  below.textContent = detail;
  link.append(main, right, below);
  return link;
}

function list(holder, items, emptyText) {
  if (items.length) {
    holder.replaceChildren(...items);
    return;
  }
  const empty = document.createElement("div");
  empty.className = "empty small";
  empty.textContent = emptyText;
  holder.replaceChildren(empty);
}

async function refreshAlarms() {
  const page = await api("/api/v1/alarms/?open=true&suppressed=false");
  const alarms = page.results;
  const count = page.count;
  const worst = ["critical", "high", "medium", "low"].find((tone) => alarms.some((alarm) => alarm.severity === tone));
  tile("alarm-count", String(count), count ? worst : "");
  const unseen = alarms.filter((alarm) => !alarm.acknowledged_at).length;
  byId("alarm-detail").textContent = count ? `${unseen} not acknowledged` : "all clear";
  list(
    byId("alarms"),
    alarms.slice(0, SHOWN).map((alarm) =>
      item({ href: "/alarms/", tone: alarm.severity, title: alarm.point, detail: alarm.message, side: ago(alarm.raised_at) }),
    ),
    "No open alarms",
  );
}

async function refreshProposals() {
  const page = await api("/api/v1/proposals/?state=pending");
  tile("proposal-count", String(page.count), page.count ? "accent" : "");
  list(
    byId("proposals"),
    page.results.slice(0, SHOWN).map((proposal) =>
      item({ href: `/approvals/${proposal.id}/`, tone: "accent", title: proposal.title, detail: proposal.rationale.slice(0, 120), side: ago(proposal.created_at) }),
    ),
    "Nothing waits for a signature",
  );
}

/** Run one refresh after another, never two at once; a lost server shows in the link state. */
function keepFresh(refresh, everyMs) {
  let soon = false;
  let busy = false;
  const run = async () => {
    if (busy) {
      soon = true;
      return;
    }
    busy = true;
    try {
      await refresh();
    } catch {
      // The next round tries again; live.js shows that the connection is lost.
    }
    busy = false;
    if (soon) {
      soon = false;
      run();
    }
  };
  run();
  setInterval(run, everyMs);
  return run;
}

keepFresh(refreshHall, REFRESH_MS);
const alarmsChanged = keepFresh(refreshAlarms, 15000);
const proposalsChanged = keepFresh(refreshProposals, 15000);
connect("/ws/alarms/", alarmsChanged);
connect("/ws/approvals/", proposalsChanged);

const tick = () => {
  byId("clock").textContent = new Date().toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "medium" });
};
tick();
setInterval(tick, 1000);
