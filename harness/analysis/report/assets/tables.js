"use strict";
// Tables stand in the page as HTML; here they are sorted, filtered and copied. A cell carries what it is sorted by in
// data-v where its text is not that number, a row its identity in data-id.

const tableViews = new Map();

function setUpTable(table) {
  const section = table.closest("section");
  const name = table.dataset.table;
  const heads = [...table.tHead.rows[0].cells];
  const rows = [...table.tBodies[0].rows].map((row, index) => ({
    row, index, cells: [...row.cells].map(readCell), text: [...row.cells].map(cell => cell.textContent).join(" ").toLowerCase(),
  }));
  const view = { name, table, section, heads, rows, shown: rows, all: false, column: -1, descending: false, filter: "" };
  Object.assign(view, remembered(name));
  view.rowsAtOnce = Number(table.dataset.rows);
  heads.forEach((head, column) => head.firstChild.addEventListener("click", () => sortBy(view, column)));
  const input = section.querySelector("input[type=search]");
  if (input) {
    input.value = view.filter;
    input.addEventListener("input", () => { view.filter = input.value; update(view); });
  }
  for (const button of section.querySelectorAll("button[data-copy]")) {
    button.addEventListener("click", () => copy(button, tableText(name, button.dataset.copy)));
  }
  tableViews.set(name, view);
  arrange(view);
  update(view);
}

function readCell(cell) {
  const text = cell.textContent;
  const number = "v" in cell.dataset ? Number(cell.dataset.v) : text ? Number(text.replaceAll(",", "")) : NaN;
  return { text, number, key: text.toLowerCase(), best: cell.firstElementChild !== null };
}

function sortBy(view, column) {
  const numeric = view.heads[column].classList.contains("number");
  // The first click shows the largest number first, the first word first.
  if (view.column === column) view.descending = !view.descending;
  else { view.column = column; view.descending = numeric; }
  arrange(view);
  update(view);
}

function arrange(view) {
  const { column, descending } = view;
  const order = descending ? -1 : 1;
  view.rows.sort((a, b) => {
    if (column < 0) return a.index - b.index;
    const [one, other] = [a.cells[column], b.cells[column]];
    if (!one.text || !other.text) return (one.text ? 0 : 1) - (other.text ? 0 : 1) || a.index - b.index;
    const both = !Number.isNaN(one.number) && !Number.isNaN(other.number);
    const difference = both ? one.number - other.number : one.key.localeCompare(other.key, undefined, { numeric: true });
    return order * difference || a.index - b.index;
  });
  view.table.tBodies[0].append(...view.rows.map(item => item.row));
  view.heads.forEach((head, index) => {
    if (index === column) head.setAttribute("aria-sort", descending ? "descending" : "ascending");
    else head.removeAttribute("aria-sort");
  });
}

function update(view) {
  const tests = view.filter.toLowerCase().split(/\s+/).filter(Boolean).map(term => rowTest(view, term));
  view.shown = view.rows.filter(item => tests.every(test => test(item)));
  const limit = view.all ? Infinity : view.rowsAtOnce;
  const visible = new Set(view.shown.slice(0, limit));
  for (const item of view.rows) item.row.hidden = !visible.has(item);
  count(view, visible.size);
  remember(view);
  view.section.dispatchEvent(new CustomEvent("tableupdate", { bubbles: true, detail: view }));
}

function count(view, visible) {
  const place = view.section.querySelector(".count");
  place.textContent = (view.shown.length === view.rows.length ? "" : `${said(view.shown.length)} of `)
    + `${said(view.rows.length)} row${view.rows.length === 1 ? "" : "s"}`;
  if (visible < view.shown.length) {
    const more = document.createElement("button");
    more.type = "button";
    more.textContent = `show all (${visible} shown)`;
    more.addEventListener("click", () => { view.all = true; update(view); });
    place.append(" ", more);
  }
}

function said(number) {
  return number.toLocaleString("en");
}

// `frames>=64`, `state=finished`, or a piece of text anywhere in the row.
function rowTest(view, term) {
  const parts = /^([^<>=!]+)(>=|<=|!=|=|>|<)(.+)$/.exec(term);
  const column = parts ? view.heads.findIndex(head => head.dataset.key.toLowerCase() === parts[1]) : -1;
  if (column < 0) return item => item.text.includes(term);
  const [, , sign, wanted] = parts;
  const number = Number(wanted);
  return item => {
    const cell = item.cells[column];
    if (sign === "=" || sign === "!=") {
      const same = Number.isNaN(number) || Number.isNaN(cell.number) ? cell.key === wanted : cell.number === number;
      return same === (sign === "=");
    }
    if (Number.isNaN(cell.number)) return false;
    return { ">": cell.number > number, "<": cell.number < number, ">=": cell.number >= number, "<=": cell.number <= number }[sign];
  };
}

// What a page that loads itself anew must not lose.
function remember(view) {
  const { column, descending, filter, all } = view;
  try {
    sessionStorage.setItem(`${location.pathname} ${view.name}`, JSON.stringify({ column, descending, filter, all }));
  } catch { /* storage may be forbidden for files */ }
}

function remembered(name) {
  try {
    return JSON.parse(sessionStorage.getItem(`${location.pathname} ${name}`)) ?? {};
  } catch {
    return {};
  }
}

const MARKDOWN_SIGNS = { "\\": "\\\\", "|": "\\|", "<": "&lt;", ">": "&gt;", "*": "\\*", "_": "\\_", "`": "\\`" };
const LATEX_SIGNS = {
  "\\": "\\textbackslash{}", "&": "\\&", "%": "\\%", "$": "\\$", "#": "\\#", "_": "\\_", "{": "\\{", "}": "\\}",
  "~": "\\textasciitilde{}", "^": "\\textasciicircum{}", "<": "\\textless{}", ">": "\\textgreater{}",
  "|": "\\textbar{}", "\u00b1": "$\\pm$", "\u00d7": "$\\times$", "\u00b2": "$^2$", "\u2212": "$-$", "\u2013": "--",
  "\u2014": "---", "\u2026": "\\dots{}", "\u2264": "$\\leq$", "\u2265": "$\\geq$", "\u2020": "\\textdagger{}",
  "\u2192": "$\\rightarrow$",
};

function escapedFor(signs, text) {
  return [...text.trim().split(/\s+/).join(" ")].map(sign => signs[sign] ?? sign).join("");
}

// The same texts as harness/analysis/export.py, of the rows that the filter leaves, in their order.
function tableText(name, form) {
  const view = tableViews.get(name);
  const signs = form === "LaTeX" ? LATEX_SIGNS : MARKDOWN_SIGNS;
  const bold = text => (form === "LaTeX" ? `\\textbf{${text}}` : `**${text}**`);
  const write = text => escapedFor(signs, text);
  const numeric = view.heads.map(head => head.classList.contains("number"));
  const heads = view.heads.map(head => write(head.textContent));
  const rows = view.shown.map(item => item.cells.map(cell => (cell.best ? bold(write(cell.text)) : write(cell.text))));
  const title = view.table.dataset.title;
  const note = view.section.querySelector("[data-note]")?.dataset.note ?? "";
  if (form === "Markdown") return markdownText(title, note, numeric, heads, rows);
  const texts = [view.heads.map(head => head.textContent), ...view.shown.map(item => item.cells.map(cell => cell.text))];
  return latexText(name, title, note, numeric, heads, rows, texts);
}

function markdownText(title, note, numeric, heads, rows) {
  const marks = numeric.map(right => (right ? "---:" : ":---"));
  const lines = [heads, marks, ...rows].map(cells => `| ${cells.join(" | ")} |`);
  const parts = [`**${escapedFor(MARKDOWN_SIGNS, title)}**`, lines.join("\n")];
  if (note) parts.push(escapedFor(MARKDOWN_SIGNS, note));
  return parts.join("\n\n") + "\n";
}

// Letters from which a text is broken into lines, and that fit across a column and a page of ten-point type.
const LONG = 48, COLUMN = 54, PAGE = 110;

function latexText(name, title, note, numeric, heads, rows, texts) {
  const widths = heads.map((_, index) => Math.max(...texts.map(row => [...row[index]].length)));
  const width = widths.reduce((sum, letters) => sum + Math.min(letters, LONG) + 2, 0);
  const across = width > COLUMN ? "*" : "";
  const scaled = width > PAGE;
  const layout = widths.map((letters, index) => (numeric[index] ? "r" : letters <= LONG ? "l" : "p{24em}")).join("");
  const caption = [title, note].filter(Boolean).map(text => text.replace(/\.+$/, "")).join(". ");
  return [
    `\\begin{table${across}}`, "\\centering", `\\caption{${escapedFor(LATEX_SIGNS, caption)}.}`,
    `\\label{tab:${name.toLowerCase().replace(/[^a-z0-9]+/g, "-")}}`,
    ...(scaled ? ["\\resizebox{\\textwidth}{!}{%"] : []),
    `\\begin{tabular}{${layout}}`, "\\toprule", `${heads.join(" & ")} \\\\`,
    "\\midrule", ...rows.map(cells => `${cells.join(" & ")} \\\\`), "\\bottomrule",
    "\\end{tabular}" + (scaled ? "}" : ""), `\\end{table${across}}`, "",
  ].join("\n");
}

async function copy(button, text) {
  try {
    await navigator.clipboard.writeText(text);
    const said = button.textContent;
    button.textContent = "copied";
    setTimeout(() => { button.textContent = said; }, 1500);
  } catch {
    showText(text);
  }
}

function showText(text) {
  const dialog = document.createElement("dialog");
  const area = document.createElement("textarea");
  const close = document.createElement("button");
  area.readOnly = true;
  area.value = text;
  close.textContent = "close";
  close.addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => dialog.remove());
  dialog.append(area, close);
  document.body.append(dialog);
  dialog.showModal();
  area.select();
}
