"use strict";
{
  const table = document.querySelector("#pairs");
  const body = table.tBodies[0];

  const sortBy = (heading) => {
    const column = heading.cellIndex;
    const down = heading.getAttribute("aria-sort") === "ascending";
    const value = (row) => row.cells[column].dataset.sort ?? row.cells[column].textContent.trim();
    const rows = [...body.rows].sort((one, other) =>
      value(one).localeCompare(value(other), "en", { numeric: true }));
    if (down) rows.reverse();
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", down ? "descending" : "ascending");
    body.append(...rows);
  };
  for (const button of table.tHead.querySelectorAll("button"))
    button.addEventListener("click", () => sortBy(button.closest("th")));

  const filters = [...document.querySelectorAll("input[name=state]")];
  const words = document.querySelector("#words");
  const shown = document.querySelector("#shown");
  const filter = () => {
    const wanted = new Set(filters.filter((box) => box.checked).map((box) => box.value));
    const text = words.value.toLowerCase();
    let count = 0;
    for (const row of body.rows) {
      row.hidden = !(wanted.has(row.dataset.state) && row.textContent.toLowerCase().includes(text));
      if (!row.hidden) count += 1;
    }
    shown.textContent = `${count} of ${body.rows.length} shown`;
  };
  for (const box of [...filters, words]) box.addEventListener("input", filter);
  filter();
}
