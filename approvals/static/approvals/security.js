// Own authenticators: prove who you are, scan the key, type the first code, keep the recovery codes.

import { api } from "/static/js/api.js";
import { toast } from "/static/js/toast.js";

const BASE = "/api/v1/security/totp";
const proof = document.getElementById("proof");
const enrol = document.getElementById("enrol");
const codes = document.getElementById("codes");
const part = (dialog, name) => dialog.querySelector(`[data-${name}]`);
const field = (dialog, name) => dialog.querySelector(`[name=${name}]`);

function say(dialog, error) {
  const place = part(dialog, "error");
  place.textContent = error ? error.message : "";
  place.hidden = !error;
}

/** Ask for password or code, then run `act(body)` with it; stays open with the gate's sentence. */
function prove({ title, says, go, name = false, act }) {
  part(proof, "title").textContent = title;
  part(proof, "says").textContent = says;
  part(proof, "go").textContent = go;
  part(proof, "name-field").hidden = !name;
  for (const input of proof.querySelectorAll("input")) input.value = "";
  say(proof, null);
  proof.querySelector("form").onsubmit = async (event) => {
    event.preventDefault();
    const body = { password: field(proof, "password").value, otp: field(proof, "otp")?.value ?? "" };
    if (name) body.name = field(proof, "name").value;
    part(proof, "go").disabled = true;
    try {
      await act(body);
      proof.close();
    } catch (error) {
      say(proof, error);
      field(proof, "password").select();
    } finally {
      part(proof, "go").disabled = false;
    }
  };
  proof.showModal();
  field(proof, name ? "name" : "password").focus();
}

function showCodes(list) {
  part(codes, "codes").replaceChildren(
    ...list.map((code) => Object.assign(document.createElement("li"), { textContent: code })),
  );
  part(codes, "copy").onclick = async () => {
    try {
      await navigator.clipboard.writeText(list.join("\n"));
      toast("Copied. Keep them where your phone is not.", "ok");
    } catch {
      toast("The browser does not let this page copy; write them down.", "high");
    }
  };
  part(codes, "kept").onclick = () => codes.close();
  codes.onclose = () => location.reload();
  codes.showModal();
}

function scan(made) {
  const drawn = new DOMParser().parseFromString(made.qr, "image/svg+xml").documentElement;
  part(enrol, "qr").replaceChildren(document.adoptNode(drawn));
  part(enrol, "secret").textContent = made.secret.match(/.{1,4}/g).join(" ");
  field(enrol, "code").value = "";
  say(enrol, null);
  enrol.querySelector("form").onsubmit = async (event) => {
    event.preventDefault();
    try {
      const body = { code: field(enrol, "code").value };
      const done = await api(`${BASE}/${made.device}/confirm`, { method: "POST", body });
      enrol.close();
      if (done.recovery_codes.length) showCodes(done.recovery_codes);
      else location.reload();
    } catch (error) {
      say(enrol, error);
      field(enrol, "code").select();
    }
  };
  enrol.onclose = () => part(enrol, "qr").replaceChildren();
  enrol.showModal();
  field(enrol, "code").focus();
}

document.querySelector("[data-add]").addEventListener("click", () =>
  prove({
    title: "Add an authenticator",
    says: "First prove that it is you.",
    go: "Show the key",
    name: true,
    act: async (body) => scan(await api(BASE, { method: "POST", body })),
  }),
);
document.querySelector("[data-recovery]")?.addEventListener("click", () =>
  prove({
    title: "New recovery codes",
    says: "The codes that you have now end.",
    go: "Make them",
    act: async (body) => showCodes((await api(`${BASE}/recovery-codes`, { method: "POST", body })).recovery_codes),
  }),
);
for (const button of document.querySelectorAll("[data-remove]"))
  button.addEventListener("click", () =>
    prove({
      title: `Remove ${button.dataset.name}`,
      says: "Its codes are worth nothing afterwards. With the last authenticator the recovery codes go as well.",
      go: "Remove it",
      act: async (body) => {
        await api(`${BASE}/${button.dataset.remove}/remove`, { method: "POST", body });
        location.reload();
      },
    }),
  );
for (const button of document.querySelectorAll("[data-close]"))
  button.addEventListener("click", () => button.closest("dialog").close());
