// Network page: map, Sankey, and the fault of a link.

import { api } from "../../js/api.js";
import { toast } from "../../js/toast.js";
import { drawMap } from "./map.js";
import { drawSankey } from "./sankey.js";
import { showSpread } from "./spread.js";
import { gbps, html, percent } from "./svg.js";

const data = JSON.parse(document.getElementById("network-data").textContent);
const form = document.querySelector("[data-fault]");
const detail = document.querySelector("[data-detail]");
const section = document.querySelector("[data-spread]");
let again = () => {};

function describe(link) {
  const rows = [
    ["Between", `${link.a} and ${link.b}`],
    ["Load", `${gbps(link.load_gbps)} of ${gbps(link.capacity_gbps)} (${percent(link.util)})`],
    ["Errors", link.errors === null ? "not read" : `${link.errors.toFixed(1)} a second`],
    ["Medium", `${link.medium}, ${link.layer}, ${link.private ? "private" : "public"}${link.management ? ", carries management" : ""}`],
    ["Shape", link.shape],
    ["Ways around", link.paths ? String(link.paths) : "none: a single point of failure"],
  ];
  detail.replaceChildren(...rows.flatMap(([name, value]) => [html("dt", "", name), html("dd", "", value)]));
}

function choose(link) {
  form.elements.link.value = link.link;
  for (const [label, edge] of map.edges) edge.toggleAttribute("data-chosen", label === link.label);
  describe(link);
}

const map = drawMap(document.querySelector("[data-map]"), data, choose);
const sankey = () => drawSankey(document.querySelector("[data-sankey]"), document.querySelector("[data-sankey-note]"), data);
sankey();
let waiting = 0;
addEventListener("resize", () => {
  clearTimeout(waiting);
  waiting = setTimeout(sankey, 150);
});

const picked = () => data.links.find((link) => link.link === form.elements.link.value);
form.elements.link.addEventListener("change", () => picked() && choose(picked()));
form.elements.capacity.addEventListener("input", () => {
  const left = Number(form.elements.capacity.value);
  form.querySelector("[data-left]").textContent = left > 0 ? `${left} %` : "down";
});
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = form.querySelector("button");
  button.disabled = true;
  form.setAttribute("aria-busy", "true");
  try {
    const answer = await api("/api/v1/network/spread", {
      method: "POST",
      body: { link: form.elements.link.value, capacity: Number(form.elements.capacity.value) },
    });
    again = showSpread(section, answer, map);
    section.scrollIntoView({ behavior: "smooth", block: "nearest" });
    section.focus({ preventScroll: true });
  } catch (error) {
    toast(error.message, "critical");
  } finally {
    button.disabled = false;
    form.removeAttribute("aria-busy");
  }
});
document.querySelector("[data-again]").addEventListener("click", () => again());
if (picked()) choose(picked());
