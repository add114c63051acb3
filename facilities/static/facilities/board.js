// The board: a link to a cell opens it, so that evidence and lists can point at one.

function open() {
  const cell = location.hash.length > 1 ? document.getElementById(location.hash.slice(1)) : null;
  if (cell instanceof HTMLDetailsElement) {
    cell.open = true;
    cell.scrollIntoView({ block: "center" });
  }
}

addEventListener("hashchange", open);
open();
