/** Choose all rows, confirm what cannot be undone, insert a ready map into the editor. */

for (const box of document.querySelectorAll("[data-choose-all]")) {
  box.addEventListener("change", () => {
    for (const row of document.querySelectorAll("input[data-row]")) row.checked = box.checked;
  });
}

for (const button of document.querySelectorAll("button[data-confirm]")) {
  button.addEventListener("click", (event) => {
    if (!window.confirm(button.dataset.confirm)) event.preventDefault();
  });
}

const editor = document.querySelector("textarea[data-editor]");
for (const button of document.querySelectorAll("button[data-use]")) {
  button.addEventListener("click", () => {
    const name = button.dataset.use;
    const used = /^use:\s*\[(.*)\]\s*$/m.exec(editor.value);
    if (used) {
      const names = used[1].split(",").map((word) => word.trim()).filter(Boolean);
      if (!names.includes(name)) names.push(name);
      editor.value = editor.value.replace(used[0], `use: [${names.join(", ")}]`);
    } else {
      editor.value = `use: [${name}]\n${editor.value}`;
    }
    editor.focus();
  });
}
editor?.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    editor.form.querySelector("button[value=preview]").click();
  }
});
