"""Damaged annotation files of every format: one clear sentence each, in no time, never a traceback of another kind."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.data.annotations import mend
from harness.data.formats import source_of, sources_in
from harness.data.spec import Task

pytestmark = pytest.mark.timeout(60)

EPIC = "narration_id,video_id,start_timestamp,stop_timestamp,verb_class,noun_class\n"
C2 = "narration_id,video,start,stop,verb,noun,action\n"
INFO = "video_id,duration,fps,resolution\n"
TSP = "video-name,t-start,t-end,action-label,video-duration,filename,fps,video-frames,temporal-region-label\n"
TSP_VIDEOS = "filename,video-duration,fps,video-frames\n"
BMN = "video,numFrame,seconds,fps,rfps,subset,featureFrame\n"
BMN_JSON = '{"v_a": {"duration_second": 9.0, "annotations": [{"segment": [1, 2], "label": "run"}]}}'

# Files by name, and what the one sentence says.
DAMAGED: dict[str, tuple[dict[str, str | bytes], str]] = {
    "EPIC: no such time": ({"EPIC_train.csv": EPIC + "n,P01,1.5,00:00:02.0,0,0\n"}, "line 2 has the time '1.5'"),
    "EPIC: a class in words": (
        {"EPIC_train.csv": EPIC + "n,P01,00:00:01.0,00:00:02.0,take,0\n"},
        "line 2 has the verb 'take', expected the number of a class",
    ),
    "EPIC: a row cut off": ({"EPIC_train.csv": EPIC + "n,P01,00:00:01.0\n"}, "line 2 has 3 values, expected 6"),
    "EPIC: no video": ({"EPIC_train.csv": EPIC + "n,,00:00:01.0,00:00:02.0,0,0\n"}, "line 2 names no video"),
    "EPIC: only a header": ({"EPIC_train.csv": EPIC}, "lists no video, expected at least one"),
    "EPIC: a video in two subsets": (
        {f"EPIC_{part}.csv": EPIC + "n,P01,00:00:01.0,00:00:02.0,0,0\n" for part in ("train", "validation")},
        "puts video 'P01' in validation, but it is in training already",
    ),
    "EPIC: a duration in words": (
        {"EPIC_train.csv": EPIC + "n,P01,00:00:01.0,00:00:02.0,0,0\n", "info.csv": INFO + "P01,long,50,hd\n"},
        "info.csv line 2 has duration 'long', expected a finite number",
    ),
    "C2: frames in words": ({"train.csv": C2 + "n,P01,one,2,0,0,0\n"}, "line 2 has 'one', expected a finite number"),
    "C2: an unclosed quote": ({"train.csv": C2 + 'n,P01,1,2,0,0,"0\nn,P01,1,2,0,0,0\n'}, "is not CSV"),
    "C2: a zero byte": ({"train.csv": C2 + "n,P01,1,\x002,0,0,0\n"}, "line 2 has"),
    "TSP: no end": ({"a_train_tsp.csv": TSP + "a,1,,run,9,a.mp4,30,270,Action\n"}, "line 2 has t-end ''"),
    "TSP: an endless video": (
        {"a_train_tsp.csv": TSP + "a,1,2,run,inf,a.mp4,30,270,Action\n"},
        "has video-duration 'inf', expected a finite number of seconds",
    ),
    "TSP: a rate in words": (
        {
            "a_train_tsp.csv": TSP + "a,1,2,run,9,a.mp4,30,270,Action\n",
            "a_train_meta.csv": TSP_VIDEOS + "a.mp4,9,fast,2\n",
        },
        "has fps 'fast', expected a finite number",
    ),
    "BMN: a duration in words": (
        {"bmn.json": BMN_JSON, "bmn.csv": BMN + "v_a,9,long,30,30,training,9\n"},
        "bmn.csv line 2 has seconds 'long'",
    ),
    "THUMOS14: two numbers missing": (
        {"Diving_val.txt": "video_validation_0000001\n"},
        "expected video, start and end",
    ),
    "THUMOS14: a time in words": (
        {"Diving_test.txt": "video_test_0000001  1.0 2.0\nvideo_test_0000001  now 2.0\n"},
        "line 2 has 'now', expected a finite number of seconds",
    ),
    "THUMOS14: no row": ({"Diving_val.txt": "\n"}, "lists no video"),
    "THUMOS14: not text": ({"Diving_val.txt": b"\xff\xfe\x00\x01"}, "cannot read the annotation file"),
    "JSON: cut off": ({"a.json": '{"database": {"a": {'}, "is not JSON"),
    "JSON: half a gzip": (
        {"a.json.gz": gzip.compress(b'{"database": {}}' * 99)[:20]},
        "cannot read the annotation file",
    ),
    "JSON: a spoilt gzip": (
        {"a.json.gz": b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03" + b"\xff" * 30},
        "cannot read the",
    ),
    "JSON: a number of 5,000 digits": (
        {"a.json": '{"database": {"a": ' + "9" * 5000 + "}}"},
        "is not JSON that can be read",
    ),
    "JSON: a list": ({"a.json": "[1, 2]"}, 'has no "database" object'),
    "JSON: predictions": ({"a.json": '{"version": "1", "results": {}}'}, 'has no "database" object'),
    "JSON: a label that is a list": (
        {"a.json": '{"database": {"a": {"subset": "training", "annotations": [{"segment": [1, 2], "label": ["x"]}]}}}'},
        "annotation 1, has \"label\" ['x'], expected the name of a class",
    ),
    "JSON: no frame rate": (
        {"a.json": '{"database": {"a": {"subset": "training", "fps": "film", "annotations": []}}}'},
        "has \"fps\" 'film', expected a finite number",
    ),
    "JSON: a duration without end": (
        {"a.json": '{"database": {"a": {"subset": "training", "duration": 1e999, "annotations": []}}}'},
        'has "duration" inf, expected a finite number of seconds',
    ),
    "no annotations": ({"notes.csv": "a,b\n1,2\n"}, "has 0 sets of annotations (none), expected one"),
}


def read(folder: Path, task: Task) -> None:
    files = list(folder.iterdir())
    single = len(files) == 1 and files[0].name.startswith("a.json")
    mend(source_of(files[0] if single else folder, task).read())


@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_file_is_one_sentence_that_names_the_place(tmp_path: Path, case: str) -> None:
    files, message = DAMAGED[case]
    for name, content in files.items():
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=r"\S") as caught:
        read(tmp_path, "verb" if case.startswith(("EPIC", "C2")) else "label")
    assert type(caught.value) is ValueError
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text", "task", "message"),
    [
        ("EPIC_train.csv", EPIC, "label", "expected one of the data sets epic_verb and epic_noun"),
        ("segments.csv", EPIC, "verb", "expected train, val or test in its name"),
        ("info.csv", INFO, "verb", "only goes with other files; expected their folder"),
        (
            "notes.csv",
            "a,b\n",
            "label",
            "is no annotation file of a format that is known (ActivityNet, OpenTAD, THUMOS14",
        ),
        ("readme.txt", "hello", "label", "is no annotation file of a format that is known"),
    ],
)
def test_a_file_that_is_no_annotation_file_says_why(
    tmp_path: Path, name: str, text: str, task: Task, message: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=name) as caught:
        source_of(tmp_path / name, task)
    assert message in str(caught.value)


SOUND: dict[str, str] = {
    "annotations.json": json.dumps(
        {"database": {"a": {"subset": "training", "duration": 9, "annotations": [{"segment": [1, 2], "label": "run"}]}}}
    ),
    "Diving_val.txt": "video_validation_0000001  1.0 2.0\nvideo_validation_0000001  3.0 4.5\n",
    "EPIC_train.csv": EPIC + "n,P01,00:00:01.0,00:00:02.0,0,0\nm,P02,00:01:01.5,00:02:02.0,3,4\n",
    "a_train_tsp.csv": TSP + "a,1,2,run,9,a.mp4,30,270,Action\na,3,4,run,9,a.mp4,30,270,No action\n",
    "moments_train.json": json.dumps(
        {
            "videos": [
                {
                    "split": "train",
                    "clips": [
                        {
                            "clip_uid": "c",
                            "video_start_sec": 0,
                            "video_end_sec": 9,
                            "video_start_frame": 0,
                            "video_end_frame": 270,
                            "annotations": [
                                {
                                    "labels": [
                                        {"primary": True, "label": "x", "video_start_time": 1, "video_end_time": 2}
                                    ]
                                }
                            ],
                        }
                    ],
                }
            ]
        }
    ),
}


def spoil(text: str, cut: int, place: int, noise: bytes) -> bytes:
    data = bytearray(text.encode())
    place %= len(data)
    data[place : place + len(noise)] = noise
    return bytes(data[: max(1, cut % (len(data) + 1))])


def complaint(attempt: Callable[[], object]) -> str | None:
    try:
        attempt()
    except ValueError as error:
        return str(error)
    return None


@settings(max_examples=200, deadline=None)
@given(
    name=st.sampled_from(sorted(SOUND)),
    cut=st.integers(0, 10**6) | st.just(-1),
    place=st.integers(0, 10**6),
    noise=st.binary(max_size=4) | st.sampled_from([b"null", b"-1", b'"x"', b",,", b"{}", b"nan", b"\n"]),
)
def test_noise_in_a_file_reads_or_is_one_sentence(
    tmp_path_factory: pytest.TempPathFactory, name: str, cut: int, place: int, noise: bytes
) -> None:
    folder = tmp_path_factory.mktemp("noise")
    (folder / name).write_bytes(spoil(SOUND[name], cut, place, noise))
    attempts: list[Callable[[], object]] = [
        lambda: source_of(folder / name, "verb").read(),
        lambda: [source.read() for source in sources_in(folder, "verb")],
    ]
    for attempt in attempts:
        said = complaint(attempt)
        assert said is None or (str(folder) in said and "\n" not in said)


def test_sound_files_are_read(tmp_path: Path) -> None:
    for name, text in SOUND.items():
        (tmp_path / name).write_text(text)
        task = "verb" if "EPIC" in name else "label"
        assert sum(len(video.actions) for video in source_of(tmp_path / name, task).read().videos) in (1, 2)
