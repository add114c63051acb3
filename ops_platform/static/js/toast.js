/**
 * Show a short message for a few seconds; tone: info, ok, high, critical. With `href` it is a link
 * and stays longer: it leads to what it tells of.
 */
export function toast(text, tone = "info", seconds = 6, href = "") {
  const holder = document.querySelector(".toasts");
  const node = document.createElement(href ? "a" : "div");
  node.className = "toast";
  node.dataset.tone = tone;
  node.textContent = text;
  if (href) node.href = href;
  holder.append(node);
  const leave = () => (node.matches(":hover, :focus") ? setTimeout(leave, 2000) : node.remove());
  setTimeout(leave, seconds * 1000);
}
