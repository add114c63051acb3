// Runs of a worker: start, follow with a progress bar, cancel, show, run again, delete.

import { api } from "/static/js/api.js";
import { toast } from "/static/js/toast.js";

const EVERY_MS = 700;
const BASE = "/api/v1/twin/whatif/runs/";

export class Runs {
  constructor(root, { answered, failed }) {
    this.list = root.querySelector("[data-runs]");
    this.mayRun = this.list.dataset.mayRun === "yes";
    this.holder = root.querySelector("[data-progress]");
    this.bar = this.holder.querySelector("progress");
    this.text = this.holder.querySelector("[data-progress-text]");
    this.answered = answered;
    this.failed = failed;
    this.following = null;
    root.querySelector("[data-cancel]").addEventListener("click", () => this.cancel());
  }

  async start(body) {
    const run = await api(BASE, { method: "POST", body });
    await this.refresh();
    this.follow(run.id);
  }

  /** Ask for a run until it has ended; show its progress meanwhile. */
  async follow(id) {
    this.following = id;
    let wait = 0;
    while (this.following === id) {
      if (wait) await new Promise((done) => setTimeout(done, wait));
      wait = EVERY_MS;
      let run;
      try {
        run = await api(`${BASE}${id}/`);
      } catch (error) {
        if (error.status === 0) continue; // the connection's state is in the frame; try again
        this.#ended();
        this.failed(error.message);
        return;
      }
      if (this.following !== id) return;
      this.holder.hidden = false;
      this.bar.value = run.progress;
      this.text.textContent = run.state === "queued" ? "waiting for a worker" : `${Math.round(100 * run.progress)} %`;
      if (run.state === "queued" || run.state === "running") continue;
      this.#ended();
      this.refresh();
      if (run.state === "done") this.answered(run, this.links(run));
      else this.failed(run.problem || `The run was ${run.state}.`, run);
    }
  }

  #ended() {
    this.following = null;
    this.holder.hidden = true;
  }

  async cancel() {
    if (this.following === null) return;
    try {
      await api(`${BASE}${this.following}/cancel`, { method: "POST" });
    } catch (error) {
      toast(error.message, "high");
    }
  }

  /** What can be done with a run, as links and buttons. */
  links(run) {
    const link = (text, href) => {
      const node = document.createElement("a");
      node.className = "btn btn-ghost";
      node.textContent = text;
      node.href = href;
      return node;
    };
    const button = (text, act) => {
      const node = document.createElement("button");
      node.type = "button";
      node.className = "btn btn-ghost";
      node.textContent = text;
      node.addEventListener("click", async () => {
        try {
          await act();
        } catch (error) {
          toast(error.message, "high");
        }
      });
      return node;
    };
    const made = [link("CSV", `${BASE}${run.id}/export.csv`), link("JSON", `${BASE}${run.id}/export.json`)];
    if (this.mayRun) {
      made.push(
        button("Run again from now", async () => {
          const again = await api(`${BASE}${run.id}/again`, { method: "POST" });
          await this.refresh();
          this.follow(again.id);
        }),
      );
    }
    made.push(
      button("Delete", async () => {
        await api(`${BASE}${run.id}/`, { method: "DELETE" });
        toast(`Run ${run.id} is deleted.`);
        this.refresh();
      }),
    );
    return made;
  }

  async refresh() {
    const page = await api(`${BASE}?page_size=20`);
    const list = document.createElement("ul");
    list.className = "runs";
    for (const run of page.results) {
      const row = document.createElement("li");
      row.dataset.state = run.state;
      const link = document.createElement("a");
      link.href = `?run=${run.id}`;
      link.textContent = run.title.charAt(0).toUpperCase() + run.title.slice(1);
      const about = document.createElement("span");
      about.className = "muted tiny num";
      about.textContent = `#${run.id} · ${run.requested_by ?? "–"} · ${new Date(run.created_at).toLocaleString("en-GB")} · ${run.state_label}`;
      row.append(link, about);
      if (run.problem) {
        const problem = document.createElement("span");
        problem.className = "tiny error-text";
        problem.textContent = run.problem;
        row.append(problem);
      }
      list.append(row);
    }
    if (page.results.length) this.list.replaceChildren(list);
    else this.list.replaceChildren(Object.assign(document.createElement("p"), { className: "muted small runs__none", textContent: "None yet." }));
  }
}
