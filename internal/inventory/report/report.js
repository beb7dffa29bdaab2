"use strict";
// The page reads without this. It sorts and filters the table of all targets,
// and shows long tables from their beginning, so that 15,000 rows do not make a
// browser slow: rows that do not show are not in the document.
(() => {
  const root = document.documentElement;
  root.classList.add("js"); // see report.css: the rows after the first 200
  const first = 200, step = 1000, folded = 20;

  const number = new Intl.NumberFormat("en").format;
  const compare = new Intl.Collator("en", { numeric: true, sensitivity: "base" }).compare;
  // zurich finds Zürich.
  const plain = (text) => text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();
  const button = (text, act) => {
    const b = document.createElement("button");
    b.type = "button";
    b.className = "more";
    b.textContent = text;
    b.addEventListener("click", act);
    return b;
  };

  const setUp = () => {
    const table = document.getElementById("targets");
    const body = table.tBodies[0];
    const headers = [...table.tHead.rows[0].cells];
    const byId = (id) => document.getElementById(id);
    const controls = byId("controls"), find = byId("find"), kind = byId("kind"), action = byId("action"), order = byId("order"), found = byId("found");

    const all = [...body.rows];
    let rows = all.slice(), fitting = rows, limit = first;
    const more = document.createElement("p");
    more.className = "pages";
    table.parentElement.after(more);

    // show puts the fitting rows into the table, up to the limit.
    const show = () => {
      const shown = Math.min(limit, fitting.length);
      const part = document.createDocumentFragment();
      for (let i = 0; i < shown; i++) part.append(fitting[i]);
      body.replaceChildren(part);
      const text = `${number(fitting.length)} of ${number(all.length)} targets` + (shown < fitting.length ? `, the first ${number(shown)} shown` : "");
      if (found.textContent !== text) found.textContent = text;
      more.replaceChildren();
      if (shown === fitting.length) return;
      const grow = (to) => () => {
        const next = fitting[shown];
        limit = to;
        show();
        next.querySelector("a")?.focus(); // the button may be gone
      };
      if (fitting.length - shown > step) more.append(button(`Show ${number(step)} more`, grow(shown + step)), " ");
      more.append(button(`Show all ${number(fitting.length)}`, grow(Infinity)));
    };

    const cell = (row, column) => column === 4 ? row.cells[4].firstChild.textContent : row.cells[column].textContent;
    const words = new Map();
    const wordsOf = (row) => {
      let w = words.get(row);
      if (w === undefined) words.set(row, w = plain(row.textContent + "\n" + (row.querySelector("a")?.href ?? "")));
      return w;
    };
    const filter = () => {
      const wanted = plain(find.value).split(/\s+/).filter(Boolean);
      fitting = rows.filter((row) => (!kind.value || cell(row, 1) === kind.value) && (!action.value || cell(row, 4) === action.value) &&
        wanted.every((w) => wordsOf(row).includes(w)));
      limit = first;
      show();
    };

    // What is not known comes last, whatever the direction.
    const sort = (column, direction) => {
      const keys = new Map();
      for (const row of rows) {
        const text = cell(row, column);
        keys.set(row, text === "–" || text === "unknown" ? null : column === 2 ? Number(text) : text);
      }
      rows.sort((one, other) => {
        const a = keys.get(one), b = keys.get(other);
        if (a === null || b === null) return (a === null) - (b === null);
        return direction * (column === 2 ? a - b : compare(a, b));
      });
      for (const h of headers) h.removeAttribute("aria-sort");
      headers[column].setAttribute("aria-sort", direction > 0 ? "ascending" : "descending");
      const option = [...order.options].find((o) => o.value === String(column));
      order.value = option ? option.value : "";
      filter();
    };
    headers.forEach((header, column) => {
      const b = button(header.textContent, () => sort(column, header.getAttribute("aria-sort") === "ascending" ? -1 : 1));
      b.className = "sort";
      header.replaceChildren(b);
    });
    headers[2].setAttribute("aria-sort", "ascending");

    let waiting;
    find.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(filter, 120); });
    kind.addEventListener("change", filter);
    action.addEventListener("change", filter);
    order.addEventListener("change", () => sort(Number(order.value), 1));
    controls.addEventListener("submit", (event) => { event.preventDefault(); filter(); });
    controls.hidden = false;
    // A browser may have kept what was chosen before a reload.
    filter();

    // On paper there is all that fits.
    let before;
    addEventListener("beforeprint", () => { before = limit; limit = Infinity; show(); });
    addEventListener("afterprint", () => { limit = before; show(); });

    for (const long of document.querySelectorAll("table.cards")) {
      const rest = [...long.tBodies[0].rows].slice(folded);
      if (rest.length < 5) continue;
      for (const row of rest) row.classList.add("folded");
      const place = document.createElement("p");
      place.className = "pages";
      place.append(button(`Show all ${number(folded + rest.length)}`, () => {
        for (const row of rest) row.classList.remove("folded");
        place.remove();
        rest[0].querySelector("a")?.focus();
      }));
      long.parentElement.after(place);
    }
  };

  document.addEventListener("DOMContentLoaded", () => {
    try {
      setUp();
    } finally {
      root.classList.remove("js"); // the rows that stay out are out by now
    }
  });
})();
