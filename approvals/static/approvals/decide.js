// The decision dialog: says exactly what is signed, asks for what the policy asks for, and shows the
// gate's own sentences when it refuses.

import { api } from "/static/js/api.js";
import { toast } from "/static/js/toast.js";
import { freshCard } from "./cards.js";

const dialog = document.getElementById("decision");
const part = (name) => dialog.querySelector(`[data-${name}]`);
const field = (name) => dialog.querySelector(`[name=${name}]`);
const show = (name, text) => {
  part(name).textContent = text;
  part(name).hidden = !text;
};
const changed = (id) => document.dispatchEvent(new CustomEvent("proposal-changed", { detail: { id } }));
let asked = null;

const MAY = { approve: "canApprove", reject: "canReject", break_glass: "canBreakGlass" };
const VERB = { approve: "Approve", reject: "Reject", break_glass: "Emergency" };

/** Codes after which the card on the screen is not what the gate knows: read it again. */
const STALE = new Set(["digest_mismatch", "already_decided", "expired", "superseded", "already_signed", "another_role"]);

function minutes(seconds) {
  return seconds >= 7200 ? `${Math.round(seconds / 3600)} h` : seconds >= 120 ? `${Math.round(seconds / 60)} minutes` : `${seconds} s`;
}

function consequence(card, verdict) {
  if (verdict === "reject") return "Nothing is written to the plant. The reason stays in the audit trail; the agent learns from it.";
  const missing = Number(card.dataset.need) - Number(card.dataset.signed) - 1;
  const good = minutes(Number(card.dataset.executeWithin));
  if (verdict === "approve" && missing > 0) return `Your signature is one of ${card.dataset.need}; nothing is written until ${missing} more ${missing === 1 ? "person has" : "people have"} signed. Once complete, it is good for ${good}.`;
  return `Signed, it is written to the plant once, if every precondition still holds at that moment. The signature is good for ${good}, and for exactly this:`;
}

/** Say in the dialog what the policy forbids now; a folded card is asked for its body. */
async function warn(card, id) {
  try {
    const whole = "open" in card.dataset ? card : await freshCard(id, true);
    const denials = [...whole.querySelectorAll(".denial")].map((node) => node.textContent.trim().replace(/\s+/g, " "));
    if (asked?.id === id && asked.verdict === "approve") show("warning", denials.join(" "));
  } catch {
    // The gate says it again when the signature is sent.
  }
}

/** Open the dialog for a card when this person may decide so; says why not otherwise. */
export function ask(card, verdict) {
  if (!card) return;
  if (!(MAY[verdict] in card.dataset)) {
    const blocked = card.querySelector(".proposal__foot .muted")?.textContent.trim();
    toast(blocked && verdict !== "reject" ? blocked : `You cannot ${verdict === "reject" ? "reject" : "approve"} this one.`, "high");
    return;
  }
  const { proposal: id, digest, title } = card.dataset;
  asked = { id, digest, verdict, card };
  const approving = verdict !== "reject";
  const glass = verdict === "break_glass";
  const required = !approving || glass || "reasonRequired" in card.dataset;
  part("verb").textContent = VERB[verdict];
  part("what").textContent = title;
  part("consequence").textContent = consequence(card, verdict);
  const writes = approving ? card.dataset.writes.split("|") : [];
  part("writes").replaceChildren(...writes.map((text) => Object.assign(document.createElement("li"), { textContent: text, className: "mono" })));
  part("writes").hidden = writes.length === 0;
  show("warning", glass ? "This goes around the others. Supervisors review it, and it stays in the trail." : "");
  if (verdict === "approve") warn(card, id);
  part("optional").textContent = glass ? "(required, at least 20 characters)" : required ? "(required)" : "(optional)";
  part("digest").textContent = digest;
  part("binding").hidden = !approving;
  part("again").hidden = !(glass || (approving && "reauthenticate" in card.dataset));
  part("confirm").textContent = glass ? "Sign alone and execute" : approving ? (Number(card.dataset.need) - Number(card.dataset.signed) > 1 ? "Sign" : "Sign and execute") : "Reject";
  part("confirm").className = approving && !glass ? "btn btn-primary" : "btn btn-danger";
  part("reload").hidden = true;
  show("error", "");
  const reason = field("reason");
  reason.required = required;
  if (glass) reason.minLength = 20;
  else reason.removeAttribute("minlength");
  for (const name of ["reason", "password", "otp"]) field(name).value = "";
  dialog.showModal();
  reason.focus();
}

function refused(error) {
  let text = error.message;
  if (/^reauthentication/.test(error.code)) {
    part("again").hidden = false;
    field("password").focus();
  }
  if (STALE.has(error.code)) {
    part("reload").hidden = false;
    if (error.code === "digest_mismatch") text = "It changed since you read it, so your signature would not be for what it says now. Read it again, then decide.";
  }
  show("error", text);
}

async function send() {
  const { id, digest, verdict } = asked;
  const reason = field("reason").value;
  const body = { reason };
  if (verdict !== "reject") {
    body.digest = digest;
    for (const name of ["password", "otp"]) if (field(name).value) body[name] = field(name).value;
    if (verdict === "break_glass") body.break_glass = true;
  }
  const done = await api(`/api/v1/proposals/${id}/${verdict === "reject" ? "reject" : "approve"}`, { method: "POST", body });
  if (verdict === "reject") return "Rejected. Nothing was written.";
  return done.state === "pending" ? "Signed. It waits for the others." : "Signed. Writing to the plant…";
}

if (dialog) {
  part("cancel").addEventListener("click", () => dialog.close());
  part("reload").addEventListener("click", () => {
    dialog.close();
    changed(asked.id);
  });
  dialog.addEventListener("close", () => {
    for (const name of ["password", "otp"]) field(name).value = "";
    asked?.card.isConnected && asked.card.focus({ preventScroll: true });
  });
  dialog.querySelector("form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = part("confirm");
    if (button.disabled) return;
    button.disabled = true;
    const { id } = asked;
    try {
      const said = await send();
      dialog.close();
      toast(said, "ok");
      changed(id);
    } catch (error) {
      refused(error);
    } finally {
      button.disabled = false;
    }
  });
  dialog.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) dialog.querySelector("form").requestSubmit();
  });
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-decide]");
  if (button) ask(button.closest(".proposal"), button.dataset.decide);
});
