"""`tadscale evaluate` from the command line: published numbers, what programs get, mistakes in one sentence."""

import csv
import gzip
import json
import random
from pathlib import Path

import pytest

from harness.cli.tadscale import main
from harness.detection import read_document

pytestmark = pytest.mark.timeout(60)


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as end:
        main(["evaluate", *map(str, arguments)])
    assert isinstance(end.value.code, int)
    return end.value.code


@pytest.fixture
def evaluated(capsys: pytest.CaptureFixture[str]):
    """Return the JSON of a run that ends well."""

    def evaluate(*arguments: object) -> dict:
        assert run(*arguments, "--json") == 0
        return json.loads(capsys.readouterr().out)

    return evaluate


def scnn(shared_data: Path) -> list[object]:
    return [
        "--predictions",
        shared_data / "predictions/scnn_c3d/detections_nms0.4_tiebroken.json.gz",
        "--on",
        "thumos14",
    ]


def test_scnn_scores_what_the_readme_of_the_data_says(shared_data, evaluated):
    path = shared_data / "annotations/thumos14/derived_thumos14_activitynet_schema.json.gz"
    found = evaluated("--annotations", path, *scnn(shared_data), "--tiou", "0.1:0.7:0.1")
    assert (found["protocol"], found["videos"], found["instances"]) == ("activitynet", 213, 3358)
    printed = {"0.1": 42.98, "0.2": 40.41, "0.3": 36.20, "0.4": 30.27, "0.5": 21.58, "0.6": 11.84, "0.7": 3.93}
    assert {tiou: 100 * value for tiou, value in found["map_at"].items()} == pytest.approx(printed, abs=0.0075)
    assert len(found["ap"]) == 20
    assert len(found["video_list"]) == 213
    usual = evaluated("--annotations", path, *scnn(shared_data))
    assert 100 * usual["map_avg"] == pytest.approx(20.76, abs=0.0075)
    assert list(usual["map_at"]) == ["0.3", "0.4", "0.5", "0.6", "0.7"]


def test_the_public_ground_truths_differ_as_tabled(shared_data, evaluated):
    gtad = evaluated("--annotations", shared_data / "annotations/thumos14/gtad_thumos_gt.json.gz", *scnn(shared_data))
    assert (gtad["videos"], gtad["instances"]) == (210, 3311)
    assert 100 * gtad["map_avg"] == pytest.approx(21.01, abs=0.0075)
    assert gtad["detections"]["in_other_videos"] > 0
    path = shared_data / "annotations/thumos14/derived_thumos14_activitynet_schema.json.gz"
    blocked = evaluated("--annotations", path, *scnn(shared_data), "--leave-out", "video_test_0000270")
    assert (blocked["videos"], blocked["instances"]) == (212, 3329)
    assert 0.2091 < blocked["map_avg"] < 0.2105


def test_thumos14_s_own_protocol_leaves_ambiguous_stretches_out(shared_data, tmp_path, evaluated):
    """They come from a file of their own in the challenge's folder, as a label in JSON."""
    folder = shared_data / "annotations/thumos14"
    options = (*scnn(shared_data), "--protocol", "thumos14")
    of_text = evaluated("--annotations", folder / "annotation_test", *options)
    document = read_document(folder / "derived_thumos14_activitynet_schema.json.gz")
    without = evaluated("--annotations", folder / "derived_thumos14_activitynet_schema.json.gz", *options)
    for line in (folder / "annotation_test/Ambiguous_test.txt").read_text().splitlines():
        video, *segment = line.split()
        document["database"][video]["annotations"].append({"segment": segment, "label": "Ambiguous"})
    (tmp_path / "annotations.json").write_text(json.dumps(document))
    of_json = evaluated("--annotations", tmp_path / "annotations.json", *options)
    assert of_text["protocol"] == "thumos14"
    assert of_text["ap"] == of_json["ap"]
    assert without["map_avg"] < of_text["map_avg"]


@pytest.mark.parametrize(
    ("options", "percent", "instances"),
    [
        ((), "100.00", 7654),
        (("--protocol", "opentad", "--ties", "file"), "99.88", 7630),
        (("--protocol", "opentad"), "99.86", 7630),
    ],
)
def test_activitynet_s_sample_scores_what_its_readme_says(shared_data, evaluated, options, percent, instances):
    found = evaluated(
        "--annotations", shared_data / "annotations/activitynet13/derived_activitynet13_schema.json.gz",
        "--predictions", shared_data / "predictions/activitynet_sample_detection_prediction.json.gz",
        "--on", "activitynet-1.3", *options,
    )  # fmt: skip
    assert f"{100 * found['map_avg']:.2f}" == percent
    assert found["instances"] == instances
    assert len(found["map_at"]) == 10


def test_ids_are_joined_with_and_without_v(shared_data, evaluated):
    folder = shared_data / "predictions/mmaction2_eval_localization"
    found = evaluated("--annotations", folder / "gt.json", "--predictions", folder / "result.json", "--on", "anet")
    assert found["map_avg"] == pytest.approx(0.6177579365079365, abs=1e-12)


def test_order_of_the_files_changes_nothing(shared_data, tmp_path, evaluated):
    folder, draw = shared_data / "predictions/mmaction2_eval_localization", random.Random(0)
    results = read_document(folder / "result.json")["results"]
    shuffled = {
        name: draw.sample(results[name], len(results[name])) for name in draw.sample(list(results), len(results))
    }
    for rows in shuffled.values():
        for row in rows:
            row["score"] = round(row["score"], 1)
    outcomes = []
    for number in range(3):
        path = tmp_path / f"{number}.json"
        path.write_text(
            json.dumps({"results": {name: draw.sample(rows, len(rows)) for name, rows in shuffled.items()}})
        )
        outcomes.append(evaluated("--annotations", folder / "gt.json", "--predictions", path, "--on", "anet"))
    assert outcomes[0] == outcomes[1] == outcomes[2]


@pytest.fixture(scope="module")
def epic(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return EPIC's real annotations, and detections that copy all verbs and every second noun."""
    annotations = shared_data / "annotations/epic100/EPIC_100_validation.csv.gz"
    results: dict[str, list] = {}
    for number, row in enumerate(csv.DictReader(gzip.decompress(annotations.read_bytes()).decode().splitlines())):
        times = [
            sum(float(part) * unit for part, unit in zip(row[name].split(":"), (3600, 60, 1), strict=True))
            for name in ("start_timestamp", "stop_timestamp")
        ]
        noun = int(row["noun_class"]) if number % 2 else 299
        verb = int(row["verb_class"])
        detection = {"segment": times, "verb": verb, "noun": noun, "action": f"{verb},{noun}", "score": 0.5}
        results.setdefault(row["video_id"], []).append(detection)
    path = tmp_path_factory.mktemp("epic") / "action.json"
    path.write_text(json.dumps({"version": "0.2", "challenge": "action_detection", "results": results}))
    return annotations, path


def test_epic_is_scored_by_verb_noun_and_action(epic, evaluated):
    found = evaluated("--annotations", epic[0], "--predictions", epic[1], "--on", "epic100")
    assert list(found["tasks"]) == ["verb", "noun", "action"]
    assert found["tasks"]["verb"]["map_avg"] == pytest.approx(1.0, abs=0.01)
    assert 0.3 < found["tasks"]["noun"]["map_avg"] < 0.7
    assert found["map_avg"] == found["tasks"]["action"]["map_avg"] < found["tasks"]["verb"]["map_avg"]
    assert list(found["map_at"]) == ["0.1", "0.2", "0.3", "0.4", "0.5"]
    nouns = evaluated("--annotations", epic[0], "--predictions", epic[1], "--on", "epic100", "--task", "noun")
    assert nouns == found["tasks"]["noun"]


def test_epic_s_tables_name_their_task(epic, capsys):
    assert run("--annotations", epic[0], "--predictions", epic[1], "--on", "epic100") == 0
    text = capsys.readouterr().out
    assert [f"action.json, {task}s" in text for task in ("verb", "noun", "action")] == [True] * 3


GOOD_ANNOTATIONS = {
    "database": {
        "v": {"subset": "validation", "duration": 9.0, "annotations": [{"segment": [1.0, 2.0], "label": "a"}] * 2},
        "w": {"subset": "validation", "duration": 9.0, "annotations": [{"segment": ["3", "4.5"], "label": "b"}]},
    }
}
GOOD_PREDICTIONS = {
    "results": {
        "v": [{"segment": [1.0, 2.0], "label": "a", "score": 0.9}],
        "w": [{"segment": ["3", "4.5"], "label": "b", "score": "0.8"}],
    }
}


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """Return the options for two small sound files."""
    (tmp_path / "annotations.json").write_text(json.dumps(GOOD_ANNOTATIONS))
    (tmp_path / "predictions.json").write_text(json.dumps(GOOD_PREDICTIONS))
    return [
        "--annotations", str(tmp_path / "annotations.json"), "--predictions", str(tmp_path / "predictions.json")
    ]  # fmt: skip


def test_ego4d_adds_recall(files, evaluated):
    found = evaluated(*files, "--on", "ego4d")
    assert found["recall_at_kx"]["1"]["0.5"] == found["recall_at_kx"]["5"]["0.1"] == 1.0
    assert found["map_avg"] == 0.75


def test_proposals_are_scored_on_request(files, evaluated, capsys):
    found = evaluated(*files, "--metrics", "map", "proposals")
    assert found["ar_at"]["100"] == 1.0
    assert run(*files, "--metrics", "proposals") == 0
    assert "proposals: AR@1 " in capsys.readouterr().out


def test_left_out_videos_may_be_listed_in_files(files, evaluated, tmp_path):
    (tmp_path / "blocked.json").write_text('["v"]')
    (tmp_path / "blocked.txt").write_text("v\n\n")
    for given in ("v", tmp_path / "blocked.json", tmp_path / "blocked.txt"):
        assert evaluated(*files, "--leave-out", given)["video_list"] == ["w"]


def test_help_states_the_rule_for_ties(capsys):
    assert run("--help") == 0
    assert "the smaller video id, then the earlier start, then the earlier end" in capsys.readouterr().out


def mistake(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """Return the one sentence of a run that ends with the user's mistake."""
    assert run(*arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: ")
    assert said.err.count("\n") == 1
    assert "Traceback" not in said.err
    return said.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--on", "kinetics"], "--on is kinetics, expected one of custom"),
        (["--subset", "testing"], "no subset testing, only validation (2 videos)"),
        (["--tiou", "1.5"], "--tiou is 1.5"),
        (["--tiou", "high"], "--tiou is high"),
        (["--tiou", "0.5:0.3:0.1"], "--tiou is 0.5:0.3:0.1"),
        (["--tiou", "0.3:0.5"], "--tiou is 0.3:0.5"),
        (["--tiou", "0.3:0.7:0"], "--tiou is 0.3:0.7:0"),
        (["--tiou", "nan"], "--tiou is nan"),
        (["--tiou", ","], "tious are ()"),
        (["--protocol", "pascal"], "invalid choice"),
        (["--metrics", "f1"], "--metrics is f1, expected some of map, recall, proposals"),
        (["--task", "verb"], "--task is verb, which custom does not have"),
        (["--leave-out", "x"], "--leave-out names x"),
        (["--leave-out", "x.txt"], "x.txt"),
        (["--leave-out", "v", "w"], "no action"),
        (["--on", "epic100"], '"verb_label" None'),
    ],
)
def test_wrong_options_are_one_sentence(files, capsys, options, message):
    assert message in mistake(capsys, *files, *options)


def changed(document: dict, **changes: object) -> bytes:
    """Return a document with values of its first detection or annotation changed; None removes a key."""
    copy = json.loads(json.dumps(document))
    videos = copy.get("results") or {name: entry["annotations"] for name, entry in copy["database"].items()}
    for name, value in changes.items():
        videos["v"][0][name] = value
        if value is None:
            del videos["v"][0][name]
    return json.dumps(copy).encode()


DAMAGED = {
    "empty": b"",
    "only spaces": b" \n ",
    "truncated": json.dumps(GOOD_PREDICTIONS).encode()[:-20],
    "not JSON": b"video,start,end\n",
    "single quotes": b"{'database': {}, 'results': {}}",
    "trailing comma": b'{"results": {}, "database": {},}',
    "not UTF-8": b'{"results": {"\xe9": []}, "database": {"\xe9": {}}}',
    "UTF-16": json.dumps(GOOD_PREDICTIONS).encode("utf-16"),
    "a list": b"[1, 2]",
    "a number": b"3",
    "null": b"null",
    "other keys": b'{"videos": 3}',
    "a list of videos": b'{"results": [], "database": []}',
    "a video that is a number": b'{"results": {"v": 3}, "database": {"v": 3}}',
    "truncated gzip": gzip.compress(json.dumps(GOOD_PREDICTIONS).encode(), mtime=0)[:-12],
    "damaged gzip": gzip.compress(b"x" * 999, mtime=0)[:15] + b"\x00\xff" * 40,
    "deep nesting": b'{"a":' * 100_000,
    "huge number": b'{"results": ' + b"1" * 5000 + b"}",
    "binary": bytes(range(256)) * 10,
}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("side", ["--annotations", "--predictions"])
@pytest.mark.parametrize("kind", DAMAGED)
def test_damaged_files_are_one_sentence(files, capsys, tmp_path, side, kind):
    path = tmp_path / "damaged.json"
    path.write_bytes(DAMAGED[kind])
    files[files.index(side) + 1] = str(path)
    assert "damaged.json" in mistake(capsys, *files)


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    ("side", "changes", "message"),
    [
        ("--predictions", {"segment": None}, "detection 0 of v"),
        ("--predictions", {"segment": [1]}, "detection 0 of v"),
        ("--predictions", {"segment": {"start": 1}}, "detection 0 of v"),
        ("--predictions", {"segment": ["one", 2]}, "detection 0 of v"),
        ("--predictions", {"segment": [float("nan"), 2]}, "finite"),
        ("--predictions", {"segment": [0, float("inf")]}, "finite"),
        ("--predictions", {"score": None}, "score"),
        ("--predictions", {"score": [0.5]}, "score"),
        ("--predictions", {"score": float("nan")}, "finite"),
        ("--predictions", {"label": None}, "label"),
        ("--predictions", {"label": 3}, "label in words"),
        ("--annotations", {"segment": None}, "annotation 1"),
        ("--annotations", {"segment": [1, None]}, "end is None"),
        ("--annotations", {"segment": [float("-inf"), 2]}, "start is -inf"),
        ("--annotations", {"label": None}, '"label" None'),
        ("--annotations", {"label": ["a"]}, "\"label\" ['a']"),
    ],
)
def test_damaged_values_are_one_sentence(files, capsys, tmp_path, side, changes, message):
    path = tmp_path / "damaged.json"
    good = GOOD_PREDICTIONS if side == "--predictions" else GOOD_ANNOTATIONS
    path.write_bytes(changed(good, **changes))
    files[files.index(side) + 1] = str(path)
    said = mistake(capsys, *files)
    assert message in said
    assert "damaged.json" in said


@pytest.mark.parametrize("side", ["--annotations", "--predictions"])
@pytest.mark.parametrize("name", ["nothing.json", ".", "plain.json.gz"])
def test_what_cannot_be_opened_is_one_sentence(files, capsys, tmp_path, side, name):
    (tmp_path / "plain.json.gz").write_text(json.dumps(GOOD_PREDICTIONS))
    files[files.index(side) + 1] = str(tmp_path / name)
    assert str(tmp_path) in mistake(capsys, *files)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"segment": [2.0, 1.0]}, 0.25),
        ({"segment": [1.0, 1.0]}, 0.25),
        ({"label": "unheard of"}, 0.25),
        ({"score": -3}, 0.75),
        ({"segment": [-5, 2000]}, 0.25),
    ],
)
def test_odd_but_readable_detections_follow_the_stated_rule(files, tmp_path, evaluated, changes, expected):
    """What ends before it starts counts as wrong; a class without actions is ignored; scores may be negative."""
    path = tmp_path / "odd.json"
    path.write_bytes(changed(GOOD_PREDICTIONS, **changes))
    files[3] = str(path)
    value = evaluated(*files)["map_avg"]
    assert value == pytest.approx(0.5 if expected == 0.25 else expected)


def test_csv_and_folders_say_what_they_need(epic, files, capsys, tmp_path):
    files[1] = str(epic[0])
    assert "expected --on epic100 with it" in mistake(capsys, *files)
    assert "expected no --subset" in mistake(capsys, *files, "--on", "epic100", "--subset", "val")
    files[1] = str(tmp_path)
    assert "expected THUMOS14's annotation files" in mistake(capsys, *files)
