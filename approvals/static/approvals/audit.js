// The verify button: walks the chain on the server and says what it found.

import { api } from "/static/js/api.js";
import { num } from "/static/js/format.js";

const button = document.getElementById("verify");
const banner = document.getElementById("verdict");

button.addEventListener("click", async () => {
  button.disabled = true;
  try {
    const verdict = await api("/api/v1/audit/verify");
    banner.dataset.ok = verdict.ok ? "yes" : "no";
    const head = document.createElement("span");
    head.className = "mono muted";
    head.textContent = `head ${verdict.head}`;
    const said = document.createElement("b");
    said.textContent = verdict.ok
      ? `The chain holds: ${num(verdict.checked, 0)} entries, none altered, missing or reordered${
          verdict.anchors ? `, and ${num(verdict.anchors, 0)} daily anchor${verdict.anchors === 1 ? "" : "s"} agree` : ""
        }.`
      : `The chain is broken: ${verdict.detail}.`;
    banner.replaceChildren(said, head);
    const row = verdict.ok ? null : document.getElementById(`entry-${verdict.broken_seq}`);
    row?.setAttribute("aria-selected", "true");
    row?.scrollIntoView({ block: "center" });
  } catch (error) {
    banner.dataset.ok = "no";
    banner.textContent = error.message;
  } finally {
    banner.hidden = false;
    button.disabled = false;
  }
});

if ("atOnce" in button.dataset) button.click();
