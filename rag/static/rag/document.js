// Marks the section that is being read in the outline.
const links = new Map(
  [...document.querySelectorAll(".doc__outline a")].map((link) => [link.hash.slice(1), link]),
);

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
