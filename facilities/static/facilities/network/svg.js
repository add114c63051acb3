// Small helpers to draw SVG without inline styles.

const NAMESPACE = "http://www.w3.org/2000/svg";

/** An SVG element with attributes and children (elements or text). */
export function svg(name, attributes = {}, ...children) {
  const element = document.createElementNS(NAMESPACE, name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined) element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
}

/** An HTML element with a class and children. */
export function html(name, className, ...children) {
  const element = document.createElement(name);
  if (className) element.className = className;
  element.append(...children);
  return element;
}

/** How a link is coloured: by its state first, then by its load. */
export function tone(link) {
  if (link.state === "down") return "down";
  if (link.state === "degraded" || link.state === "errors") return "degraded";
  if (link.util > 0.8) return "full";
  return link.util > 0.3 ? "busy" : "idle";
}

export const gbps = (value) => (value >= 1000 ? `${(value / 1000).toFixed(1)} Tb/s` : `${Math.round(value)} Gb/s`);
export const percent = (share, digits = 0) => `${(share * 100).toFixed(digits)} %`;
