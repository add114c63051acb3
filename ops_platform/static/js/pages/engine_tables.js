// The engine page's two tables. Rows stay in place between updates, so that focus stays too.

import { num } from "../format.js";

const TONES = { running: "info", waiting: "neutral", swapped: "medium", preempted: "medium" };

/** Bytes as people read them. */
export function bytes(value) {
  if (value >= 1 << 30) return `${num(value / (1 << 30), 2)} GiB`;
  return value >= 1 << 20 ? `${num(value / (1 << 20), 1)} MiB` : `${num(value / 1024, 0)} KiB`;
}

function cell(row, text, className = "") {
  const made = row.insertCell();
  made.textContent = text;
  made.className = className;
  return made;
}

/** Running and waiting by priority. */
export function showQueues(body, queues) {
  const rows = queues.map((queue) => {
    const row = document.createElement("tr");
    cell(row, String(queue.priority), "num-left");
    cell(row, String(queue.running), "num");
    cell(row, String(queue.waiting), "num");
    cell(row, queue.waiting ? `${num(queue.longest_wait_s, 1)} s` : "–", "num");
    return row;
  });
  if (!rows.length) {
    const row = document.createElement("tr");
    cell(row, "Nothing runs or waits", "muted").colSpan = 4;
    rows.push(row);
  }
  body.replaceChildren(...rows);
}

class Row {
  constructor(id, onPick) {
    this.node = document.createElement("tr");
    this.button = document.createElement("button");
    this.button.type = "button";
    this.button.className = "pick";
    this.button.textContent = `#${id}`;
    this.button.setAttribute("aria-label", `Show the blocks of sequence ${id}`);
    cell(this.node, "").append(this.button);
    this.badge = document.createElement("span");
    cell(this.node, "").append(this.badge);
    const tokens = cell(this.node, "", "num-left num-plain");
    this.bar = document.createElement("span");
    this.bar.className = "progress";
    this.bar.append(document.createElement("i"));
    this.tokens = document.createElement("span");
    tokens.append(this.bar, this.tokens);
    this.cells = ["num", "num", "num", "mono", "num", "num", "num"].map((name) => cell(this.node, "", name));
    this.node.addEventListener("click", () => onPick(id));
  }

  show(sequence, selected) {
    this.badge.className = `badge badge--${TONES[sequence.state] ?? "neutral"}`;
    this.badge.textContent = sequence.state;
    this.bar.firstChild.style.width = `${(100 * sequence.tokens) / Math.max(sequence.limit, 1)}%`;
    this.tokens.textContent = `${sequence.tokens} of ${sequence.limit}`;
    const values = [
      sequence.cached ? `${sequence.cached}` : "–",
      String(sequence.blocks),
      sequence.swapped_bytes ? bytes(sequence.swapped_bytes) : "–",
      [sequence.client, sequence.adapter].filter(Boolean).join(" · ") || "–",
      String(sequence.priority),
      `${num(sequence.age_s, 1)} s`,
      num(sequence.joules, 1),
    ];
    this.cells.forEach((node, index) => {
      node.textContent = values[index];
    });
    const chosen = sequence.id === selected;
    this.button.setAttribute("aria-pressed", String(chosen));
    this.node.setAttribute("aria-selected", String(chosen));
  }
}

export class SequenceTable {
  constructor(body, onPick) {
    this.body = body;
    this.onPick = onPick;
    this.rows = new Map();
    this.none = document.createElement("tr");
    cell(this.none, "No sequence runs or waits. Ask something in the chat and watch.", "none").colSpan = 10;
  }

  show(sequences, selected) {
    const present = new Set(sequences.map((sequence) => sequence.id));
    for (const [id, row] of this.rows) {
      if (!present.has(id)) {
        row.node.remove();
        this.rows.delete(id);
      }
    }
    sequences.forEach((sequence, index) => {
      let row = this.rows.get(sequence.id);
      if (!row) {
        row = new Row(sequence.id, this.onPick);
        this.rows.set(sequence.id, row);
      }
      row.show(sequence, selected);
      if (this.body.rows[index] !== row.node) this.body.insertBefore(row.node, this.body.rows[index] ?? null);
    });
    if (sequences.length) this.none.remove();
    else this.body.append(this.none);
  }
}
