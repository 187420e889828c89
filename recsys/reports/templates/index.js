const table = document.getElementById("reports");
const heads = table ? [...table.tHead.rows[0].cells] : [];
const key = (row, column) => row.cells[column].dataset.by ?? row.cells[column].textContent.trim();
heads.forEach((head, column) => {
  const button = document.createElement("button");
  button.append(...head.childNodes);
  head.append(button);
  button.addEventListener("click", () => {
    const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    heads.forEach((each) => each.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
    const order = (a, b) => (a - b) || String(a).localeCompare(b);
    const rows = [...table.tBodies[0].rows];
    rows.sort((a, b) => sign * order(key(a, column), key(b, column)));
    table.tBodies[0].append(...rows);
  });
});
