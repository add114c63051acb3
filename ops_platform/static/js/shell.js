// The frame of every page: theme switch, live counts beside the navigation.

import { follow } from "../approvals/notices.js";
import { api } from "./api.js";
import { connect } from "./live.js";
import { toast } from "./toast.js";

document.querySelector("[data-theme-switch]")?.addEventListener("click", () => {
  const next = document.documentElement.dataset.theme === "light" ? "dark" : "light";
  document.documentElement.dataset.theme = next;
  localStorage.setItem("holdpoint-theme", next);
  document.dispatchEvent(new Event("themechange"));
});

// On a phone both are rows that scroll: show where one is.
for (const row of document.querySelectorAll(".nav, .tabs")) {
  const here = row.querySelector("[aria-current='page']");
  if (here) row.scrollLeft = here.offsetLeft - row.offsetLeft - 12;
}

const title = document.title;
const badge = (key) => document.querySelector(`[data-count="${key}"]`);

function showCount(key, count, tone) {
  const node = badge(key);
  if (!node) return;
  node.hidden = count === 0;
  node.textContent = String(count);
  node.dataset.tone = tone;
}

async function refresh() {
  try {
    const counts = await api("/api/v1/platform/counts");
    showCount("alarms", counts.alarms, counts.alarms_critical ? "critical" : "");
    showCount("approvals", counts.proposals, "accent");
    document.title = counts.proposals ? `(${counts.proposals}) ${title}` : title; // seen on a tab in the background
  } catch {
    // The counts are a convenience; the pages themselves report a lost server.
  }
}

let due = null;
function refreshSoon() {
  due ??= setTimeout(() => {
    due = null;
    refresh();
  }, 400);
}

if (document.querySelector(".side")) {
  refresh();
  connect("/ws/alarms/", (message) => {
    if (message.type === "alarm" && message.event === "raised" && message.alarm.severity === "critical") {
      toast(message.alarm.message, "critical", 15, `/alarms/#alarm-${message.alarm.id}`);
    }
    refreshSoon();
  });
  connect("/ws/approvals/", refreshSoon);
  follow();
}
