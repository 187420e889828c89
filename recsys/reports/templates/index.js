const key = (row, column) => row.cells[column].dataset.by ?? row.cells[column].textContent.trim();
const order = (a, b) => (a - b) || String(a).localeCompare(b);
for (const table of document.querySelectorAll(".reports")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      heads.forEach((each) => each.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
      const rows = [...table.tBodies[0].rows];
      rows.sort((a, b) => sign * order(key(a, column), key(b, column)));
      table.tBodies[0].append(...rows);
    });
  });
}
document.getElementById("search")?.addEventListener("input", (event) => {
  const words = event.target.value.toLowerCase().split(" ").filter(Boolean);
  for (const section of document.querySelectorAll("main > section")) {
    const name = section.querySelector("h2").firstChild.textContent;
    const rows = [...section.querySelectorAll("tbody tr")];
    for (const row of rows) {
      const text = (name + " " + row.textContent).toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
    }
    for (const fold of section.querySelectorAll("details")) {
      fold.open = words.length > 0 && [...fold.querySelectorAll("tbody tr")].some((row) => !row.hidden);
    }
    section.hidden = rows.every((row) => row.hidden);
  }
});
