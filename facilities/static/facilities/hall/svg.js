// Small helpers for drawing SVG by hand.

const SVG = "http://www.w3.org/2000/svg";

/** An SVG element with attributes and, if given, text. */
export function node(name, attributes = {}, text = "") {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text) made.textContent = text;
  return made;
}

/** Set the attributes that differ; the browser repaints only what changed. */
export function set(element, attributes) {
  for (const [key, value] of Object.entries(attributes)) {
    const text = String(value);
    if (element.getAttribute(key) !== text) element.setAttribute(key, text);
  }
}

/** Set or remove a data attribute. */
export function mark(element, name, value) {
  if (value) {
    if (element.dataset[name] !== value) element.dataset[name] = value;
  } else if (name in element.dataset) delete element.dataset[name];
}
