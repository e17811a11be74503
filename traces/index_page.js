// Filters, sorts and pages the questions of a run. All rows come with the page; a hundred are laid out at a
// time. It asks for nothing, and what it compares are numbers and the rows' own words.
"use strict";
(() => {
  const AT_ONCE = 100;
  const FACETS = ["outcome", "type", "function", "check"];
  const NUMBERS = new Set(["calls", "attempts", "seconds"]);
  const page = document.querySelector(".aotd");
  const form = page.querySelector("form");
  const pager = page.querySelector(".pager");
  const body = page.querySelector(".questions tbody");
  const heads = [...page.querySelectorAll("th[data-key]")];
  const rows = [...body.rows].map((node, place) => ({
    node, place, words: node.textContent.toLowerCase(),
    ...Object.fromEntries(FACETS.map((facet) => [facet, node.dataset[facet].split(" ")])),
  }));
  let ordered = rows, fitting = rows, first = 0;

  const draw = () => {
    body.replaceChildren(...fitting.slice(first, first + AT_ONCE).map((row) => row.node));
    const last = Math.min(first + AT_ONCE, fitting.length);
    pager.querySelector("output").textContent = fitting.length
      ? `${first + 1}\u2013${last} of ${fitting.length}${fitting.length < rows.length ? ` (${rows.length} in all)` : ""}`
      : `none of ${rows.length}`;
    const [back, on] = pager.querySelectorAll("[data-by]");
    back.disabled = first === 0;
    on.disabled = last >= fitting.length;
    page.querySelector(".none").hidden = fitting.length > 0;
  };
  const filter = () => {
    const words = form.elements.text.value.toLowerCase().split(/\s+/).filter(Boolean);
    const wanted = FACETS.map((facet) => [facet, form.elements[facet].value]).filter(([, value]) => value);
    fitting = ordered.filter((row) => wanted.every(([facet, value]) => row[facet].includes(value))
      && words.every((word) => row.words.includes(word)));
    first = 0;
    draw();
  };
  const keep = () => {
    const set = new URLSearchParams([...new FormData(form)].filter(([, value]) => value));
    history.replaceState(null, "", `#${set}`);
  };
  const recall = () => {
    const set = new URLSearchParams(location.hash.slice(1));
    form.elements.text.value = set.get("text") || "";
    FACETS.forEach((facet) => { form.elements[facet].value = set.get(facet) || ""; });
    FACETS.forEach((facet) => { if (form.elements[facet].selectedIndex < 0) form.elements[facet].value = ""; });
    filter();
  };

  const sort = (head) => {
    const down = head.getAttribute("aria-sort") === "ascending";
    heads.forEach((one) => one.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const key = head.dataset.key, column = head.cellIndex, compare = new Intl.Collator("en", { numeric: true }).compare;
    const value = (row) => (key === "outcome" ? Number(row.outcome[0])
      : NUMBERS.has(key) ? Number(row.node.cells[column].textContent) : row.node.cells[column].textContent);
    const keyed = rows.map((row) => [value(row), row]);
    const sign = down ? -1 : 1;
    keyed.sort(([a, one], [b, two]) =>
      sign * (typeof a === "number" ? a - b : compare(a, b)) || one.place - two.place);
    ordered = keyed.map(([, row]) => row);
    filter();
  };
  heads.forEach((head) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    button.addEventListener("click", () => sort(head));
    head.replaceChildren(button);
  });

  form.addEventListener("input", () => { filter(); keep(); });
  form.addEventListener("submit", (event) => event.preventDefault());
  pager.addEventListener("click", (event) => {
    const by = Number(event.target.dataset.by);
    if (by) { first = Math.max(0, first + by * AT_ONCE); draw(); }
    if (event.target.matches(".reset")) { form.reset(); filter(); keep(); }
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.matches("input, select")) return;
    event.preventDefault();
    form.elements.text.focus();
  });
  window.addEventListener("hashchange", recall);
  form.hidden = pager.hidden = false;
  recall();
})();
