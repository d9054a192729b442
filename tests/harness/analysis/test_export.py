"""Tables as Markdown and LaTeX: readers get back what went in, whatever signs it holds."""

import html
import re

from hypothesis import given
from hypothesis import strategies as st

from harness.analysis.export import LATEX, MARKDOWN, Cell, Column, Table, to_latex, to_markdown, write_tables

SIGNS = "ab1 é\"'" + "".join(LATEX) + "".join(MARKDOWN)
TEXTS = st.text(st.sampled_from(SIGNS), max_size=12)


def table(rows, heads=("setting", "mAP %"), **more):
    columns = tuple(Column(key=f"k{i}", head=head, numeric=i > 0) for i, head in enumerate(heads))
    return Table(name="some table", title="A title.", columns=columns, rows=rows, **more)


def words(text):
    return " ".join(text.split())


def read_markdown(line):
    """Return the cells of a table's line: a backslash makes the next sign plain, an entity is its sign."""
    cells, escaped = [""], False
    for sign in line:
        if sign == "|" and not escaped:
            cells.append("")
        elif sign == "\\" and not escaped:
            escaped = True
            continue
        else:
            cells[-1] += sign
        escaped = False
    return [html.unescape(cell.strip()) for cell in cells[1:-1]]


@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=4))
def test_markdown_cells_read_back_as_they_were(texts):
    lines = to_markdown(table(tuple(tuple(map(Cell, row)) for row in texts))).splitlines()
    body = [line for line in lines if line.startswith("|")][2:]
    assert [read_markdown(line) for line in body] == [list(map(words, row)) for row in texts]
    assert not any("<" in line for line in body)


@given(TEXTS)
def test_latex_holds_no_sign_that_tex_would_act_on(text):
    row = to_latex(table(((Cell(text), Cell("1")),))).split("\\midrule\n")[1].split("\n")[0]
    cell = row.removesuffix(" & 1 \\\\")
    known = r"\\(textbackslash|textasciitilde|textasciicircum|textless|textgreater|textbar|textdagger|dots)\{\}"
    known += r"|\\[&%$#_{}]|\$(\\pm|\\times|\^2|-|\\leq|\\geq|\\rightarrow)\$"
    assert not set(re.sub(known, "", cell)) & set(LATEX)


def test_the_table_of_a_paper_looks_like_one():
    text = to_latex(table(((Cell("128 frames, 48² px"), Cell("33.6 ± 2.6", best=True)),), note="± is the range"))
    assert text == (
        "\\begin{table}\n\\centering\n\\caption{A title. $\\pm$ is the range.}\n\\label{tab:some-table}\n"
        "\\begin{tabular}{lr}\n\\toprule\nsetting & mAP \\% \\\\\n\\midrule\n"
        "128 frames, 48$^2$ px & \\textbf{33.6 $\\pm$ 2.6} \\\\\n\\bottomrule\n\\end{tabular}\n\\end{table}\n"
    )


def test_the_table_of_a_note_looks_like_one():
    text = to_markdown(table(((Cell("a|b_c"), Cell("33.6", best=True)), (Cell("<x>"), Cell("", best=True)))))
    assert text == (
        "**A title.**\n\n| setting | mAP % |\n| :--- | ---: |\n| a\\|b\\_c | **33.6** |\n| &lt;x&gt; |  |\n"
    )


def test_columns_without_a_word_go():
    full = table(((Cell("a"), Cell("")), (Cell("b"), Cell(""))))
    assert [column.head for column in full.without_empty_columns().columns] == ["setting"]
    assert full.without_empty_columns().rows == ((Cell("a"),), (Cell("b"),))


def test_every_table_is_written_in_both_forms(tmp_path):
    written = write_tables([table(((Cell("a"), Cell("1")),))], tmp_path / "deep")
    assert [path.name for path in written] == ["some table.md", "some table.tex"]
    assert written[0].read_text() == to_markdown(table(((Cell("a"), Cell("1")),)))


def test_a_wide_table_goes_across_the_page_and_long_texts_are_broken():
    wide = to_latex(table(((Cell("x" * 100), Cell("1")),)))
    assert "\\begin{table*}" in wide
    assert "\\begin{tabular}{p{24em}r}" in wide
    assert "resizebox" not in wide
    widest = to_latex(table(((Cell("x" * 40),) * 4,), heads="abcd"))
    assert "\\resizebox{\\textwidth}{!}{%\n\\begin{tabular}{lrrr}" in widest
    assert widest.endswith("\\end{tabular}}\n\\end{table*}\n")
