// Test bench: a passage is one passage in all three columns, so its marks go together.

const form = document.querySelector("[data-bench]");

if (form) {
  const boxes = [...form.querySelectorAll("input[name=passage]")];
  const note = form.querySelector("[data-marked]");
  const none = form.querySelector("[data-unanswerable]");

  const count = () => {
    const marked = new Set(boxes.filter((box) => box.checked).map((box) => box.value)).size;
    if (none.checked) note.textContent = "Kept as a question that no document answers.";
    else if (marked) note.textContent = `${marked} passage${marked === 1 ? "" : "s"} marked.`;
    else note.textContent = "Mark the passages that answer.";
  };
  for (const box of boxes) {
    box.addEventListener("change", () => {
      for (const other of boxes) if (other.value === box.value) other.checked = box.checked;
      count();
    });
  }
  none.addEventListener("change", count);

  // Point at a passage, and see where the other rankings have it.
  const rows = [...form.querySelectorAll("[data-passage]")];
  const light = (key) => {
    for (const row of rows) row.toggleAttribute("data-lit", row.dataset.passage === key);
  };
  for (const row of rows) {
    for (const event of ["pointerenter", "focusin"]) row.addEventListener(event, () => light(row.dataset.passage));
    for (const event of ["pointerleave", "focusout"]) row.addEventListener(event, () => light(null));
  }
  count();
}
