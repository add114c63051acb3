// What an operator does with an alarm: dialogs in, REST calls out.

import { api } from "/static/js/api.js";
import { toast } from "/static/js/toast.js";

export class Actions {
  constructor({ changed }) {
    this.changed = changed;
    this.dialogs = Object.fromEntries(
      ["acknowledge", "shelve", "note"].map((id) => [id, document.getElementById(id)]),
    );
    this.may = Boolean(this.dialogs.acknowledge);
    for (const dialog of Object.values(this.dialogs)) {
      dialog?.querySelector("textarea")?.addEventListener("keydown", (event) => {
        if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) dialog.querySelector("[value=ok]").click();
      });
    }
  }

  /** Show a dialog about the alarm; resolve with its form's values, or null when it was cancelled. */
  ask(name, what) {
    const dialog = this.dialogs[name];
    if (!dialog || dialog.open) return Promise.resolve(null);
    const form = dialog.querySelector("form");
    form.reset();
    dialog.querySelector("[data-what]").textContent = what;
    dialog.returnValue = "";
    dialog.showModal();
    return new Promise((resolve) => {
      dialog.addEventListener(
        "close",
        () => resolve(dialog.returnValue === "ok" ? Object.fromEntries(new FormData(form)) : null),
        { once: true },
      );
    });
  }

  async send(alarm, action, body, done) {
    try {
      this.changed(await api(`/api/v1/alarms/${alarm.id}/${action}`, { method: "POST", body }));
      toast(done, "ok");
    } catch (error) {
      toast(error.message, "high");
    }
  }

  async acknowledge(alarm) {
    if (!this.may || !alarm || alarm.acknowledged_at) return;
    const said = await this.ask("acknowledge", `${alarm.point}: ${alarm.message}`);
    if (said) await this.send(alarm, "acknowledge", { note: said.note }, `${alarm.point} acknowledged`);
  }

  async acknowledgeGroup(alarm, others) {
    if (!this.may || !alarm) return;
    const ids = [...(alarm.acknowledged_at ? [] : [alarm.id]), ...others.map((one) => one.id)];
    if (!ids.length) return;
    const said = await this.ask("acknowledge", `${alarm.point} and ${others.length} consequences`);
    if (!said) return;
    try {
      const done = await api("/api/v1/alarms/acknowledge", { method: "POST", body: { ids, note: said.note } });
      for (const one of done) this.changed(one);
      toast(`${done.length} acknowledged`, "ok");
    } catch (error) {
      toast(error.message, "high");
    }
  }

  async shelveOrNot(alarm, isShelved) {
    if (!this.may || !alarm) return;
    if (isShelved) {
      await this.send(alarm, "unshelve", {}, `${alarm.point} taken from the shelf`);
      return;
    }
    const said = await this.ask("shelve", `${alarm.point}: ${alarm.rule}`);
    if (said) await this.send(alarm, "shelve", { minutes: Number(said.minutes), reason: said.reason }, `${alarm.point} shelved`);
  }

  async note(alarm) {
    if (!this.may || !alarm) return;
    const said = await this.ask("note", `${alarm.point}: ${alarm.message}`);
    if (said) await this.send(alarm, "note", { note: said.note }, "Note saved");
  }

  async assign(alarm, assignee) {
    if (!this.may || !alarm || (alarm.assignee ?? null) === assignee) return;
    await this.send(alarm, "assign", { assignee }, assignee ? `${alarm.point} is with ${assignee}` : `${alarm.point} is with nobody`);
  }
}
