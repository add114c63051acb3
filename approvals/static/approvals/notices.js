// News of the gate on every page: a toast; outside the page by the Notification API, and a sound,
// where this person has asked for them. Nothing is asked for without a click.

import { connect } from "/static/js/live.js";
import { toast } from "/static/js/toast.js";

const SOUND = "holdpoint-sound";
const WAIT_MS = 1500;
const shown = new Set();
const told = new Set();

export const canNotify = () => "Notification" in window && window.isSecureContext;
export const hasSound = () => localStorage.getItem(SOUND) === "yes";
export const setSound = (on) => localStorage.setItem(SOUND, on ? "yes" : "no");

/** Ask the browser for permission. Call it from a click. Returns granted, denied or default. */
export const allow = () => Notification.requestPermission();

/** Two short tones; silent where the browser wants a click first. */
export function beep() {
  const audio = new AudioContext();
  [0, 0.18].forEach((at, index) => {
    const [tone, volume] = [audio.createOscillator(), audio.createGain()];
    tone.frequency.value = index ? 880 : 660;
    volume.gain.setValueAtTime(0.12, audio.currentTime + at);
    volume.gain.exponentialRampToValueAtTime(0.001, audio.currentTime + at + 0.16);
    tone.connect(volume).connect(audio.destination);
    tone.start(audio.currentTime + at);
    tone.stop(audio.currentTime + at + 0.16);
  });
  setTimeout(() => audio.close(), 600);
}

/** Show one note: {subject, text, tone, path}. */
export function show(notice) {
  toast(notice.subject, notice.tone, 15, notice.path);
  if (hasSound()) beep();
  if (!canNotify() || Notification.permission !== "granted" || document.visibilityState === "visible") return;
  const note = new Notification(notice.subject, { body: notice.text.slice(0, 240), tag: `holdpoint-${notice.delivery ?? notice.path}`, icon: "/static/img/holdpoint.svg" });
  note.addEventListener("click", () => {
    window.focus();
    location.assign(notice.path);
    note.close();
  });
}

/** Follow the gate: notes that rules ask for, and for everybody a word when a proposal waits. */
export function follow() {
  connect("/ws/approvals/", (message) => {
    if (message.type === "notice") {
      const { notice } = message;
      if (shown.has(notice.delivery)) return;
      shown.add(notice.delivery);
      if (notice.proposal && notice.type === "proposal.pending") told.add(notice.proposal.id);
      show(notice);
    }
    if (message.type === "proposal" && message.event === "pending") {
      const { id, title } = message.proposal;
      setTimeout(() => {
        if (!told.has(id)) toast(`Waits for a signature: ${title}`, "info", 15, `/approvals/${id}/`);
        told.delete(id);
      }, WAIT_MS);
    }
  });
}
