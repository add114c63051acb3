// Upload dialog of the library: one file after the other, each with its own outcome.
import { api } from "/static/js/api.js";

const byId = (id) => document.getElementById(id);
const [dialog, form, files, log, send] = ["upload", "upload-form", "upload-files", "upload-log", "upload-send"].map(byId);
let changed = false;

function line(text, tone = "") {
  const item = document.createElement("li");
  item.textContent = text;
  item.dataset.tone = tone;
  log.append(item);
  return item;
}

byId("upload-open").addEventListener("click", () => dialog.showModal());
byId("upload-close").addEventListener("click", () => dialog.close());
dialog.addEventListener("close", () => changed && location.reload());

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  send.disabled = true;
  log.replaceChildren();
  for (const file of files.files) {
    const item = line(`${file.name}: uploading…`);
    const body = new FormData();
    body.append("file", file);
    body.append("collection", byId("upload-collection").value);
    body.append("kind", byId("upload-kind").value);
    try {
      const result = await api("/api/v1/knowledge/documents", { method: "POST", body });
      changed = true;
      item.dataset.tone = "ok";
      item.textContent =
        result.status === "unchanged"
          ? `${file.name}: unchanged`
          : `${file.name}: “${result.document.title}”, ${result.passages} passages; being embedded`;
    } catch (error) {
      item.dataset.tone = "critical";
      item.textContent = error.message;
    }
  }
  send.disabled = false;
});
