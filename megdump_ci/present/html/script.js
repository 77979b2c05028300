"use strict";
// Sorts a table by the column whose head is clicked. Every testcase is a <tbody> of its own, so
// that what belongs to it stays with it.
for (const table of document.querySelectorAll("table.sorts")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => sort(table, heads, column));
  });
}

function sort(table, heads, column) {
  const head = heads[column];
  const before = head.getAttribute("aria-sort");
  const numeric = head.classList.contains("number");
  // Large numbers are what somebody looks for, and the first of the names.
  const first = numeric ? "descending" : "ascending";
  const other = numeric ? "ascending" : "descending";
  const order = before === first ? other : first;
  for (const each of heads) each.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", order);
  const sign = order === "ascending" ? 1 : -1;
  const keyed = [...table.tBodies].map((body) => [key(body.rows[0].cells[column], numeric), body]);
  keyed.sort(([a], [b]) => {
    if (a === null || b === null) return (a === null) - (b === null);
    return sign * (numeric ? compare(a, b) : a.localeCompare(b, "en", { numeric: true }));
  });
  table.append(...keyed.map(([, body]) => body));
}

function compare(a, b) {
  return a === b ? 0 : a < b ? -1 : 1;
}

function key(cell, numeric) {
  const text = cell.dataset.key ?? cell.textContent.trim();
  if (text === "") return null;
  if (!numeric) return text;
  // What is no number is as bad as the largest of them.
  if (text === "inf" || text === "nan") return Infinity;
  return text === "-inf" ? -Infinity : Number(text);
}
