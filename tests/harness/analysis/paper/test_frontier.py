"""The largest input that fits: more memory never takes less, and a leaner policy never less than the paper's."""

from hypothesis import given, settings
from hypothesis import strategies as st

from harness.analysis.paper.frontier import Input, frontier_table
from harness.units import GIB

INPUTS = [
    Input(
        backbone=name,
        frames=frames,
        resolution=side,
        paper_bytes=int(paper * GIB),
        lean_bytes=int(lean * GIB),
        lean_host_bytes=int(2 * lean * GIB),
    )
    for name, frames, side, paper, lean in (
        ("videomae-l", 768, 160, 11.0, 3.0),
        ("videomae-l", 768, 224, 20.0, 4.0),
        ("videomae-g", 768, 160, 29.9, 6.0),
        ("videomae-g", 1536, 224, 110.0, 9.0),
    )
]


def lines(cards):
    return {(row[0].text, row[1].text): row for row in frontier_table(INPUTS, cards).rows}


def test_the_largest_input_of_each_card():
    found = lines({"small": 2 * GIB, "middle": 12 * GIB, "large": 80 * GIB})
    assert [cell.text for cell in found["small", "videomae-l"][2:]] == ["does not fit", "", "does not fit", "", "", ""]
    assert [cell.text for cell in found["middle", "videomae-l"][2:]] == [
        *("768 frames of 160²", "11.0", "768 frames of 224²", "4.0", "8.0", "2.0"),
    ]
    assert [cell.text for cell in found["middle", "videomae-g"][2:5]] == ["does not fit", "", "1,536 frames of 224²"]
    assert [cell.text for cell in found["large", "videomae-g"][2:]] == [
        *("768 frames of 160²", "29.9", "1,536 frames of 224²", "9.0", "18.0", "3.9"),
    ]


def test_the_note_names_the_input_that_the_paper_could_not_train():
    card = {"one": 80 * GIB}
    note = frontier_table(INPUTS, card).note
    assert "no input larger than 1,536 frames of 224²" in note
    assert "run out of memory on 80 GB with 1,536 frames of 224², where 110.0 GiB are predicted" in note
    assert "out of memory" not in frontier_table(INPUTS[:3], card).note


@given(st.integers(1, 200), st.integers(0, 100))
@settings(max_examples=50, deadline=None)
def test_a_larger_card_never_takes_less(gib, more):
    found = lines({"one": gib * GIB, "larger": (gib + more) * GIB})
    for name in ("videomae-l", "videomae-g"):
        one, larger = found["one", name], found["larger", name]
        assert one[2].value <= larger[2].value
        assert one[4].value <= larger[4].value
        assert one[2].value <= one[4].value
