import torch
from hypothesis import given
from hypothesis import strategies as st

from models.segments import centre_width, diou, iou

SEGMENT = st.tuples(st.floats(-50, 50), st.floats(0.01, 30)).map(lambda pair: (pair[0], pair[0] + pair[1]))


def tensor(*segments: tuple[float, float]) -> torch.Tensor:
    return torch.tensor(segments, dtype=torch.float64)


def test_known_overlaps() -> None:
    first = tensor((0, 2), (0, 2), (0, 2), (0, 2))
    second = tensor((0, 2), (1, 3), (2, 4), (5, 6))
    assert iou(first, second).tolist() == [1, 1 / 3, 0, 0]
    # hull and distance of centres: (2, 0), (3, 1), (4, 2), (6, 4.5)
    torch.testing.assert_close(diou(first, second), torch.tensor([1, 1 / 3 - 1 / 9, -1 / 4, -(0.75**2)]).double())


def test_every_pair_by_broadcasting() -> None:
    first, second = tensor((0, 1), (0, 4)), tensor((0, 1), (1, 2), (0, 2))
    assert iou(first[:, None], second).tolist() == [[1, 0, 0.5], [0.25, 0.25, 0.5]]


def test_empty_segments_give_numbers() -> None:
    empty = tensor((3, 3))
    assert iou(empty, empty).item() == 0
    assert diou(empty, empty).item() == 0


@given(SEGMENT, SEGMENT)
def test_iou_is_symmetric_bounded_and_blind_to_shift_and_scale(a: tuple[float, float], b: tuple[float, float]) -> None:
    first, second = tensor(a), tensor(b)
    value = iou(first, second)
    assert 0 <= value.item() <= 1 + 1e-12
    torch.testing.assert_close(value, iou(second, first))
    torch.testing.assert_close(value, iou(first * 2 + 7, second * 2 + 7), rtol=0, atol=1e-6)


@given(SEGMENT, SEGMENT)
def test_diou_equals_its_definition(a: tuple[float, float], b: tuple[float, float]) -> None:
    shared = max(0.0, min(a[1], b[1]) - max(a[0], b[0]))
    union = (a[1] - a[0]) + (b[1] - b[0]) - shared
    hull = max(a[1], b[1]) - min(a[0], b[0])
    distance = (a[0] + a[1]) / 2 - (b[0] + b[1]) / 2
    expected = shared / union - distance**2 / hull**2
    assert abs(diou(tensor(a), tensor(b)).item() - expected) < 1e-9
    assert -1 < expected <= 1


@given(SEGMENT)
def test_centre_and_width_determine_the_segment(a: tuple[float, float]) -> None:
    centre, width = centre_width(tensor(a))
    torch.testing.assert_close(torch.stack((centre - width / 2, centre + width / 2), -1), tensor(a))
