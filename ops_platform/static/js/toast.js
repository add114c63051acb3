/** Show a short message for a few seconds; tone: info, ok, high, critical. */
export function toast(text, tone = "info", seconds = 6) {
  const holder = document.querySelector(".toasts");
  const node = document.createElement("div");
  node.className = "toast";
  node.dataset.tone = tone;
  node.textContent = text;
  holder.append(node);
  setTimeout(() => node.remove(), seconds * 1000);
}
