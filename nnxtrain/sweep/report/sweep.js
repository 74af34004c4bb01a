// A table is sorted by the head that is pressed, again: the other way. Cells without a number, or without anything, come last.
for (const table of document.querySelectorAll(".ranking table")) {
  const body = table.tBodies[0];
  const number = (text) => parseFloat(text.replace("(", ""));
  const before = (a, b) => {
    if (!a || !b) return (a ? 0 : 1) - (b ? 0 : 1);
    const [x, y] = [number(a), number(b)];
    return Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b) : x - y;
  };
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const button = document.createElement("button");
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const of = (row) => row.cells[column].textContent.trim();
      const rows = [...body.rows].sort((a, b) => before(of(a), of(b)) * (down && of(a) && of(b) ? -1 : 1));
      body.append(...rows);
    });
  });
}
// The trial under the pointer is lit up in every picture and in the table, and told at the foot of the window.
const told = document.createElement("div");
told.className = "told";
document.body.append(told);
document.addEventListener("pointerover", (event) => {
  const found = event.target.closest("[data-trial], [data-trials]");
  const numbers = found ? (found.dataset.trial ?? found.dataset.trials).split(" ") : [];
  for (const item of document.querySelectorAll(".here")) item.classList.remove("here");
  document.body.classList.toggle("lit", numbers.length > 0);
  for (const number of numbers) {
    for (const item of document.querySelectorAll(`[data-trial="${number}"], [data-trials~="${number}"]`)) item.classList.add("here");
  }
  told.textContent = found?.querySelector("title")?.textContent ?? "";
});
