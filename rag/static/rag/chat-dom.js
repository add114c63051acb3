// Small DOM helpers of the chat. Text only ever enters as textContent.

/** An element with a class and text. */
export function element(name, className, text) {
  const node = document.createElement(name);
  if (className) node.className = className;
  if (text !== undefined && text !== null) node.textContent = String(text);
  return node;
}

/** Only paths of this site are linked, whatever the data says. */
export function sitePath(url) {
  return typeof url === "string" && /^\/(?![/\\])/.test(url) ? url : null;
}

/** A link, or plain text where the address is none of this site. */
export function siteLink(text, url, className) {
  const path = sitePath(url);
  const node = element(path ? "a" : "span", className, text);
  if (path) node.href = path;
  return node;
}

/** A button with a text and what it does. */
export function button(text, className, onClick) {
  const node = element("button", className, text);
  node.type = "button";
  node.addEventListener("click", onClick);
  return node;
}
