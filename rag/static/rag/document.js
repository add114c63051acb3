// The document viewer: cited passages, the outline, pages with their marks, keyboard.
const root = document.querySelector("[data-document]");
const sheet = document.getElementById("sheet");

/** A citation may point to a passage on another page or part: ask the server for that one. */
function followHash() {
  const anchor = location.hash.slice(1);
  const ordinal = anchor.match(/^p-(\d{1,6})$/)?.[1];
  if (!ordinal) return;
  const passage = document.getElementById(anchor);
  const wanted = new URLSearchParams(location.search);
  if (passage) {
    mark(anchor);
    passage.scrollIntoView({ block: "center" });
  } else if (wanted.get("at") !== ordinal) {
    for (const name of ["page", "part", "passage"]) wanted.delete(name);
    wanted.set("revision", root.dataset.revision);
    wanted.set("at", ordinal);
    location.replace(`?${wanted}#${anchor}`);
  }
}

function mark(anchor) {
  for (const element of document.querySelectorAll(".passage.is-cited, rect.is-cited")) element.classList.remove("is-cited");
  document.getElementById(anchor)?.classList.add("is-cited");
  for (const rect of document.querySelectorAll(`rect[data-anchor="${anchor}"]`)) rect.classList.add("is-cited");
}

function showMark() {
  const rect = document.querySelector("rect.is-cited");
  if (!rect || !sheet) return;
  const [place, frame] = [rect.getBoundingClientRect(), sheet.getBoundingClientRect()];
  sheet.scrollTop += place.top - frame.top - frame.height / 3;
  sheet.scrollLeft += place.left - frame.left - frame.width / 3;
}

if (sheet) {
  const image = document.getElementById("sheet-image");
  const marks = document.getElementById("sheet-marks");
  const problem = document.getElementById("sheet-problem");
  const zooms = ["1", "1.5", "2", "3"];

  // Marks are in points of the page; the picture's size and scale tell how many points it has.
  const fit = () => {
    if (!image.naturalWidth) return;
    const scale = Number(image.dataset.scale);
    marks.setAttribute("viewBox", `0 0 ${image.naturalWidth / scale} ${image.naturalHeight / scale}`);
    problem.hidden = true;
    showMark();
  };
  image.addEventListener("load", fit);
  image.addEventListener("error", async () => {
    marks.replaceChildren();
    const answer = await fetch(image.src, { credentials: "same-origin" }).catch(() => null);
    const reason = answer && answer.headers.get("Content-Type")?.startsWith("text/plain") ? await answer.text() : "";
    problem.textContent = `This page cannot be shown${reason ? `: ${reason}` : "."} Its text is beside it, and the original file can be saved.`;
    problem.hidden = false;
  });
  if (image.complete) fit();

  const zoom = (step) => {
    const next = zooms[Math.min(Math.max(zooms.indexOf(sheet.dataset.zoom) + step, 0), zooms.length - 1)];
    if (next === sheet.dataset.zoom) return;
    sheet.dataset.zoom = next;
    const scale = Number(next) > 1.5 ? "3" : next === "1.5" ? "2" : "1.5";
    if (scale !== image.dataset.scale) {
      image.dataset.scale = scale;
      image.src = `${image.dataset.src}&scale=${scale}`;
    } else showMark();
  };
  document.getElementById("zoom-in").addEventListener("click", () => zoom(1));
  document.getElementById("zoom-out").addEventListener("click", () => zoom(-1));

  const near = (anchor, on) => {
    for (const rect of marks.querySelectorAll(`rect[data-anchor="${anchor}"]`)) rect.classList.toggle("is-near", on);
  };
  for (const passage of document.querySelectorAll(".passage")) {
    passage.addEventListener("pointerenter", () => near(passage.id, true));
    passage.addEventListener("pointerleave", () => near(passage.id, false));
  }
  marks.addEventListener("click", (event) => {
    const anchor = event.target.dataset?.anchor;
    if (anchor) location.hash = anchor;
  });

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select, dialog")) return;
    const go = { ArrowLeft: "page-before", PageUp: "page-before", ArrowRight: "page-after", PageDown: "page-after" }[event.key];
    if (go) {
      const link = document.getElementById(go);
      if (link.getAttribute("aria-disabled") !== "true") link.click();
      event.preventDefault();
    } else if (event.key === "+" || event.key === "=") zoom(1);
    else if (event.key === "-") zoom(-1);
  });
}

addEventListener("hashchange", followHash);
followHash();
if (!location.hash) document.querySelector(".passage.is-cited")?.scrollIntoView({ block: "center" });

// Marks the section that is being read in the outline.
const links = new Map([...document.querySelectorAll(".doc__outline a")].map((link) => [link.hash.slice(1), link]));
const observer = new IntersectionObserver(
  (entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting || !links.has(entry.target.id)) continue;
      for (const link of links.values()) link.removeAttribute("aria-current");
      links.get(entry.target.id).setAttribute("aria-current", "location");
    }
  },
  { rootMargin: "0px 0px -75% 0px" },
);
for (const passage of document.querySelectorAll(".passage")) observer.observe(passage);
