"""The page: one file that loads nothing, in which every text of the tables is escaped, replaced whole."""

import base64
import gzip
import json
import re
import threading
from html.parser import HTMLParser

import pytest

from harness.analysis.report import render, write_report
from harness.analysis.report.html import Html, tag
from harness.analysis.report.plotly_js import _core_only, packed_json, plotly_js
from harness.tables import write_row


class Elements(HTMLParser):
    """Collects start tags and the text of cells."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.texts, self._open = [], [], []
        self.feed(page)

    def handle_starttag(self, name, attributes):
        self.tags.append((name, dict(attributes)))
        self._open.append(name)

    def handle_data(self, data):
        if self._open and self._open[-1] in ("td", "strong", "li"):
            self.texts.append(data)


@pytest.fixture(scope="module")
def page(hostile):
    return render(hostile)


def unpacked(page, name):
    coded = re.search(rf'id="{name}">([^<]*)<', page).group(1)
    return gzip.decompress(base64.b64decode(coded)).decode()


def test_nothing_is_loaded_from_anywhere(page):
    tags = Elements(page).tags
    for name, attributes in tags:
        assert name not in ("link", "img", "iframe", "object")
        assert "src" not in attributes
        assert "href" not in attributes
    (policy,) = [a["content"] for _, a in tags if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none';")


def test_markup_in_names_and_errors_is_text(page, simulated):
    elements = Elements(page)
    assert [name for name, _ in elements.tags].count("script") == 2 + 4
    assert simulated.EVIL in elements.texts
    assert any("RuntimeError: <script>alert(1)</script> at step 412" in text for text in elements.texts)
    assert not any(name == "b" for name, _ in elements.tags)


def test_attributes_are_escaped_and_markup_is_only_what_was_made():
    assert tag("td", "<b>", data_v='"><script>') == '<td data-v="&quot;&gt;&lt;script&gt;">&lt;b&gt;</td>'
    assert tag("p", tag("b", "x & y"), hidden=True, id=None, class_="a") == '<p hidden class="a"><b>x &amp; y</b></p>'
    assert isinstance(tag("br"), Html)


def test_figures_travel_packed_and_come_back_as_they_were(page):
    document = json.loads(unpacked(page, "report-data"))
    assert set(document["figures"]) == {"bubbles", "curves", "pareto", "predictions", "deviations"}
    assert unpacked(page, "plotly-js").lstrip().startswith("/**\n* plotly.js")


def test_what_is_no_finite_number_is_null():
    coded = packed_json({"a": [1.0, float("nan"), float("-inf")], "b": ("x", None)})
    assert json.loads(gzip.decompress(base64.b64decode(coded))) == {"a": [1.0, None, None], "b": ["x", None]}
    assert coded == packed_json({"a": [1.0, float("nan"), float("-inf")], "b": ("x", None)})


def test_plotly_is_in_the_page_once_and_small(page):
    assert len(plotly_js()) < 2_100_000
    assert page.count(plotly_js()[:1000]) == 1


def test_only_a_page_that_is_watched_loads_itself_anew(hostile, page):
    assert 'http-equiv="refresh"' not in page
    assert '<meta http-equiv="refresh" content="5">' in render(hostile, refresh_seconds=5)


def test_long_tables_show_their_first_rows(simulated, tmp_path):
    for seed in range(60):
        write_row(tmp_path, simulated.make_row({}, seed=seed))
    (path,) = write_report(tmp_path)
    rows = [
        attributes for name, attributes in Elements(path.read_text()).tags if name == "tr" and "data-id" in attributes
    ]
    assert len(rows) == 60
    assert sum("hidden" in attributes for attributes in rows) == 20


def test_a_study_without_a_result_still_has_a_page(simulated, tmp_path):
    write_row(tmp_path, simulated.make_row({}, state="failed", error="ValueError: no"))
    (path,) = write_report(tmp_path, title="Nothing & <nobody>")
    text = path.read_text()
    assert "<h1>Nothing &amp; &lt;nobody&gt;</h1>" in text
    assert "ValueError: no" in text


def test_whoever_reads_while_it_is_replaced_sees_a_whole_page(grid_folder, tmp_path):
    target = tmp_path / "report.html"
    write_report(grid_folder, target)
    torn, stop = [], threading.Event()

    def read():
        while not stop.is_set():
            torn.append(not target.read_text().endswith("</html>\n"))

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(3):
        write_report(grid_folder, target)
    stop.set()
    reader.join()
    assert torn
    assert not any(torn)
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_several_studies_of_a_folder_get_a_page_each_inside_it(simulated, tmp_path):
    folder = tmp_path / "all"
    write_row(folder, simulated.make_row({}, study="../../outside"))
    write_row(folder, simulated.make_row({}, study="inside"))
    names = sorted(path.name for path in write_report(folder))
    assert names == ["report-_outside.html", "report-inside.html"]
    assert all((folder / name).is_file() for name in names)


def test_chart_types_that_are_not_drawn_stay_asleep_and_an_unknown_build_stays_whole():
    core = _core_only("a.register(b());x.register([c(),d$1()]);return x")
    assert core == "a.register(b());x.register([]);return x"
    for script in ("x.register([c(),d.e()]);return x", "no list at all", ".register([", ""):
        assert _core_only(script) == script
