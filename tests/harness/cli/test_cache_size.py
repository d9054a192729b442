"""`--cache-size`: what is read, what a trial is told, and what is refused."""

import pytest

from harness.cli.options import DEFAULT_CACHE_BYTES, UserError, read_options
from studies.scale_frames import STUDY


@pytest.mark.parametrize(
    ("argv", "expected"),
    [((), DEFAULT_CACHE_BYTES), (("--cache-size", "0"), 0), (("--cache-size", "1.5GiB"), 3 * 2**29)],
)
def test_a_size_is_read(argv: tuple[str, ...], expected: int) -> None:
    assert read_options(STUDY, argv).cache_size == expected


@pytest.mark.parametrize("text", ["lots", "-1GiB", "0GiB", "12"])
def test_what_is_no_size_is_refused_by_its_name(text: str) -> None:
    with pytest.raises(UserError, match=f"--cache-size.*{text}"):
        read_options(STUDY, [f"--cache-size={text}"])
