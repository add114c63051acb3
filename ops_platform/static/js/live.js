// One WebSocket a path, shared by the page's modules, reconnecting with growing pauses.

const sockets = new Map();

function show(state) {
  for (const node of document.querySelectorAll("[data-link-state]")) {
    node.dataset.state = state;
    node.textContent = state === "live" ? "Live" : state === "lost" ? "Connection lost, retrying…" : "Connecting…";
  }
}

class LiveSocket {
  constructor(path) {
    this.path = path;
    this.listeners = new Set();
    this.pause = 500;
    this.open();
  }

  open() {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    this.socket = new WebSocket(`${scheme}://${location.host}${this.path}`);
    this.socket.addEventListener("open", () => {
      const again = this.opened === true;
      this.opened = true;
      this.pause = 500;
      show("live");
      for (const listener of this.listeners) listener({ type: again ? "reconnected" : "connected" });
    });
    this.socket.addEventListener("message", (event) => {
      const message = JSON.parse(event.data);
      for (const listener of this.listeners) listener(message);
    });
    this.socket.addEventListener("close", (event) => {
      if (event.code === 4401) {
        location.assign(`/login/?next=${encodeURIComponent(location.pathname)}`);
        return;
      }
      show("lost");
      setTimeout(() => this.open(), this.pause + Math.random() * 300);
      this.pause = Math.min(this.pause * 2, 10000);
    });
  }

  send(message) {
    const { socket } = this;
    if (socket.readyState === WebSocket.CONNECTING) {
      socket.addEventListener("open", () => socket.send(JSON.stringify(message)), { once: true });
      return true;
    }
    if (socket.readyState !== WebSocket.OPEN) return false;
    socket.send(JSON.stringify(message));
    return true;
  }
}

/**
 * Listen on a WebSocket path. The listener gets every message, plus {type: "connected"} and,
 * after a break, {type: "reconnected"} (reload what may have been missed).
 * Returns {send(message) -> bool, close()}.
 */
export function connect(path, onMessage) {
  if (!sockets.has(path)) sockets.set(path, new LiveSocket(path));
  const socket = sockets.get(path);
  socket.listeners.add(onMessage);
  return {
    send: (message) => socket.send(message),
    close: () => socket.listeners.delete(onMessage),
  };
}
