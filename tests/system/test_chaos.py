"""Random kills and interrupts of a study and of everything it consists of: no number may change, no row be lost.

    uv run pytest -m chaos      30 disturbances of a study of six trials, then four of one on a shared cluster: half an
                                hour and 13 minutes on two cores with a load of 100 to 200

Seeded: `TADSCALE_SEED` chooses other moments, `TADSCALE_KILLS` another number of them. After every disturbance the
tables on disk are read, after every end of the study its log and the processes that it began.
"""

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from harness.tables.query import best, load, read_curves

ROOT = Path(__file__).resolve().parents[2]
KILLS = int(os.environ.get("TADSCALE_KILLS", "30"))
SEED = int(os.environ.get("TADSCALE_SEED", "0"))
TRIALS, EPOCHS = 6, 40
GRID = [
    *("--set", "data.window.span=64", "--set", "data.window.features=32", "--set", "model.head.levels=3"),
    *("--set", "data.window.frames=16,32,64", "--set", "data.window.resolution=32", "--seeds", "2"),
    *("--set", f"training.epochs={EPOCHS}", "--set", f"training.cosine_epochs={EPOCHS}"),
]
KINDS = {"worker": 8, "relay": 7, "board": 2, "raylet": 2, "head": 2, "study": 4, "Ctrl-C": 3, "Ctrl-C twice": 2}
"""How often each is done in 30; the study outlives the first two and says what became of it after all others."""
OUTLIVED = ("worker", "relay")
PROCESSES = {
    "worker": "ray::RayTrainWorker",
    "relay": "ray::ImplicitFunc",
    "board": "ray::BoardActor",
    "raylet": "raylet",
    "head": "gcs_server",
}
"""How the processes are called that are killed."""
CODES = {
    "study": -signal.SIGKILL,
    **dict.fromkeys(("Ctrl-C", "Ctrl-C twice"), 130),
    **dict.fromkeys(("board", "raylet", "head"), 1),
}
"""With what the study ends after each; with 0 as well, if it was done before it noticed."""
GIVES_UP_AT = 3
"""Deaths of its workers after which a trial is not started again."""
LONGEST_PAUSE_S = 25.0
PATIENCE_S = 300.0
"""How long a process of the study is waited for; a start takes a minute where four of them share two cores."""
LONGEST_RUN_S = 900.0
"""All six trials take a minute on two idle cores, and many on two that twenty others share."""
ENDS_WITHIN_S = 60.0
GIVEN_BACK_WITHIN_S = 90.0
AGENTS_END_WITHIN_S = 240.0
BAD_WORDS = ("Traceback", "Segmentation fault", "Fatal Python error", "Exception ignored", "terminate called")

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(4 * 3600), pytest.mark.filterwarnings("ignore")]


class Disturbed:
    """A study that is started again whenever it ended, and what there is to complain of."""

    def __init__(self, arguments: Sequence[str], results: Path, chance: random.Random) -> None:
        self.results = results
        self.complaints: list[str] = []
        self.agents: list[psutil.Process] = []
        """What may live on for a while after the study."""
        self.starts = 0
        self._arguments = arguments
        self._chance = chance
        self._study: subprocess.Popen[bytes] | None = None
        self._seen: dict[int, psutil.Process] = {}
        self._finished: set[str] = set()

    @property
    def is_done(self) -> bool:
        return len(self._finished) == TRIALS

    @property
    def num_finished(self) -> int:
        return len(finished_on_disk(self.results))

    @property
    def said(self) -> str:
        return self._log.read_text(errors="replace")

    @property
    def running(self) -> bool:
        return self._study is not None and self._study.poll() is None

    def start(self) -> None:
        """Start the study in a session of its own; anew where all trials are done."""
        fresh = ["--fresh"] if self.is_done else []
        self._finished = set() if fresh else self._finished
        self.starts += 1
        command = [sys.executable, str(ROOT / "studies/scale_frames.py"), *self._arguments, *fresh]
        with self._log.open("wb") as file:
            self._study = subprocess.Popen(
                [*command, "--results", str(self.results)],
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                # Ray gives workers the least of a busy machine's time, and this test would wait for them.
                env={**os.environ, "RAY_worker_niceness": "0"},
                # A shell without job control starts what is in the background deaf to Ctrl-C, and pytest with it.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            )
        self._seen = {}

    def wait_for(self, happened: Callable[[], object], timeout_s: float) -> bool:
        """Wait until something happened or the study ended; say whether it happened."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if happened():
                return True
            if not self.running:
                return False
            time.sleep(0.2)
        return False

    def has_worker(self) -> bool:
        return bool(self.family("worker"))

    def family(self, kind: str) -> list[psutil.Process]:
        """Return the study's processes of one kind."""
        assert self._study is not None
        found = []
        try:
            children = psutil.Process(self._study.pid).children(recursive=True)
        except psutil.Error:
            children = []
        for child in children:
            self._seen[child.pid] = child
            try:
                if is_kind(kind, child):
                    found.append(child)
            except psutil.Error:
                continue
        return found

    def disturb(self, kind: str) -> bool:
        """Do one thing to the study; say whether there was something to do it to."""
        assert self._study is not None
        victims = self.family(kind)
        if kind == "study":
            self._study.kill()
        elif kind.startswith("Ctrl-C"):
            # A terminal interrupts every process of the session's group; `kill -INT` only the study.
            send = self._chance.choice([os.kill, os.killpg])
            send(self._study.pid, signal.SIGINT)
            if kind == "Ctrl-C twice":
                time.sleep(self._chance.uniform(0.1, 3.0))
                if self.running:
                    send(self._study.pid, signal.SIGINT)
        elif victims:
            self._chance.choice(victims).kill()
        else:
            return False
        return True

    def end(self, what: str, codes: Sequence[int]) -> int:
        """Wait for the study to end and look at what it leaves behind."""
        assert self._study is not None
        try:
            code = self._study.wait(timeout=LONGEST_RUN_S)
        except subprocess.TimeoutExpired:
            self.complain(f"after {what} it did not end within {LONGEST_RUN_S:g} s")
            code = codes[0]
            os.killpg(self._study.pid, signal.SIGKILL)
        if code not in codes:
            self.complain(f"after {what} its exit code was {code}, expected one of {codes}")
        for word in BAD_WORDS:
            if word in self.said:
                self.complain(f"after {what} it said {word}")
        self._look_for_processes(what)
        return code

    def _look_for_processes(self, what: str) -> None:
        assert self._study is not None
        family = {process.pid: process for process in of_session(self._study.pid)} | self._seen
        deadline = time.monotonic() + ENDS_WITHIN_S
        while left := [process for process in alive(family.values()) if not is_agent(process)]:
            if time.monotonic() > deadline:
                self.complain(f"after {what} it left {[' '.join(process.cmdline()) for process in left]}")
                break
            time.sleep(0.2)
        self.agents += alive(family.values())

    def check_rows(self, what: str) -> None:
        """Every finished trial is still there, and once."""
        times = Counter(finished_on_disk(self.results))
        if lost := self._finished - times.keys():
            self.complain(f"after {what} {len(lost)} finished trials were gone")
        if twice := [digest for digest, count in times.items() if count > 1]:
            self.complain(f"after {what} {twice} were finished twice")
        self._finished = set(times)

    def complain(self, text: str) -> None:
        self.complaints.append(f"start {self.starts}: {text} (log: {self._log})")
        print(self.complaints[-1], flush=True)

    @property
    def _log(self) -> Path:
        return self.results.with_name(f"{self.results.name}-{self.starts}.log")


def is_kind(kind: str, process: psutil.Process) -> bool:
    """Return whether a process is what is called a kind here."""
    name = PROCESSES.get(kind)
    return name is not None and (process.name() == name or " ".join(process.cmdline()).startswith(name))


def alive(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    found = []
    for process in processes:
        try:
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


def of_session(session: int) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == session:
                found.append(process)
        except OSError:
            continue
    return found


def is_agent(process: psutil.Process) -> bool:
    """Ray's two agents of a node go on for a minute after all else died: they want to tell the head of it."""
    try:
        return any(agent in " ".join(process.cmdline()) for agent in ("ray::DashboardAgent", "ray::RuntimeEnvAgent"))
    except psutil.Error:
        return False


def finished_on_disk(results: Path) -> list[str]:
    """Return the digests of all finished rows as they stand in the files: reading through `load` hides repeats."""
    digests = []
    for path in results.glob("scale_frames/*.parquet"):
        table = pq.read_table(path, columns=["digest", "state"])
        digests += [row["digest"] for row in table.to_pylist() if row["state"] == "finished"]
    return digests


def scores(results: Path) -> dict[str, tuple[float, str]]:
    """Return each finished trial's mAP and its values at all thresholds."""
    return {row["digest"]: (row["map_avg"], str(row["map_at"])) for row in best(load(results)).to_pylist()}


def curves(results: Path) -> set[tuple]:
    """Return every measurement of the attempts that finished, without the number of the attempt."""
    finished: pa.Table = best(load(results)).select(["digest", "attempt"])
    points = read_curves(results).table.join(finished, ["digest", "attempt"], join_type="inner").to_pylist()
    return {(point["digest"], point["epoch"], point["step"], point["name"], point["value"]) for point in points}


def schedule(chance: random.Random, count: int) -> list[str]:
    """Return kinds of disturbance in random order, each as often as it is its turn."""
    kinds: list[str] = []
    while len(kinds) < count:
        deck = [kind for kind, times in KINDS.items() for _ in range(times)]
        chance.shuffle(deck)
        kinds += deck
    return kinds[:count]


@pytest.fixture
def arguments(small_world, tmp_path: Path) -> list[str]:
    import torch

    from models.backbones.videomae import VideoMAE
    from models.checkpoints import save_backbone
    from models.config import VIDEOMAE

    torch.manual_seed(0)
    save_backbone(tmp_path / "videomae-tiny.pth", VideoMAE(VIDEOMAE["videomae-tiny"]).state_dict())
    source = ["--on", "custom", "--data-root", str(small_world.root), "--preset", "tiny"]
    return [*source, "--weights", str(tmp_path / "videomae-tiny.pth"), *GRID]


def soak(study: Disturbed, kinds: Sequence[str], chance: random.Random, compare: Callable[[], None]) -> None:
    """Disturb a study, starting it again whenever it has ended; its last start is left to end in peace."""
    outlived: list[str] = []

    def ended(what: str, codes: Sequence[int]) -> None:
        code = study.end(what, codes)
        study.check_rows(what)
        if study.is_done:
            compare()
        elif code == 0:
            study.complain(f"after {what} its exit code was 0 with {study.num_finished} trials finished")
        outlived.clear()

    def ended_by_itself() -> None:
        # A trial whose worker is killed for the third time ends as failed, and the study with 1.
        ended(f"an end of its own after {outlived}", [0, 1] if outlived.count("worker") >= GIVES_UP_AT else [0])

    def wait_for_the_moment(kind: str) -> bool:
        if not outlived and (kind in OUTLIVED or chance.random() < 0.6):
            study.wait_for(study.has_worker, PATIENCE_S)
        study.wait_for(lambda: False, chance.uniform(0.25, LONGEST_PAUSE_S))
        if kind in PROCESSES:
            study.wait_for(lambda: study.family(kind), PATIENCE_S)
        return study.running and study.disturb(kind)

    study.start()
    for number, kind in enumerate(kinds, 1):
        while not wait_for_the_moment(kind):
            if not study.running:
                ended_by_itself()
                study.start()
        print(f"{number}: {kind} in start {study.starts}, {study.num_finished} trials finished", flush=True)
        if kind in OUTLIVED:
            outlived.append(kind)
            study.check_rows(kind)
        else:
            ended(kind, [CODES[kind], 0])
            study.start()
    if outlived:
        ended_by_itself()
        study.start()
    ended_by_itself()
    assert study.is_done


def test_kills_at_random_change_no_number_and_lose_no_row(arguments: list[str], tmp_path: Path) -> None:
    chance = random.Random(SEED)
    whole = Disturbed(arguments, tmp_path / "whole", chance)
    whole.start()
    whole.end("nothing", [0])
    expected, expected_curves = scores(whole.results), curves(whole.results)
    assert whole.complaints == []
    assert len(expected) == TRIALS
    assert len(expected_curves) >= TRIALS * EPOCHS
    study = Disturbed(arguments, tmp_path / "parts", chance)

    def compare() -> None:
        if scores(study.results) != expected:
            study.complain("the scores differ")
        if curves(study.results) != expected_curves:
            study.complain("the curves differ")

    soak(study, schedule(chance, KILLS), chance, compare)
    assert psutil.wait_procs(study.agents, timeout=AGENTS_END_WITHIN_S)[1] == []
    assert study.complaints == []


@pytest.fixture
def shared_cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Start a cluster of one node that outlives the studies on it, and join it; give its address."""
    import ray
    from ray.cluster_utils import Cluster

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.setenv("RAY_worker_niceness", "0")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    head = {"num_cpus": 2, "include_dashboard": True, "dashboard_port": port}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    ray.init(address=cluster.address, log_to_driver=False)
    yield str(cluster.address)
    ray.shutdown()
    cluster.shutdown()


def held_on_cluster() -> list[str]:
    """Return the placement groups and actors' processes that a study left on the cluster of this process."""
    from ray.util.placement_group import placement_group_table

    groups = [group["placement_group_id"] for group in placement_group_table().values() if group["state"] != "REMOVED"]
    titles = ("ray::RayTrainWorker", "ray::ImplicitFunc", "ray::BoardActor", "ray::TrainController")
    actors = []
    for child in psutil.Process().children(recursive=True):
        try:
            title = " ".join(child.cmdline())
        except psutil.Error:
            continue
        if title.startswith(titles):
            actors.append(title)
    return [*groups, *actors]


def test_a_study_that_leaves_a_shared_cluster_gives_back_what_it_held(
    arguments: list[str], shared_cluster: str, tmp_path: Path
) -> None:
    study = Disturbed([*arguments, "--address", shared_cluster], tmp_path / "parts", random.Random(SEED))
    for kind in ("study", "Ctrl-C", "study", "Ctrl-C twice"):
        study.start()
        assert study.wait_for(lambda: "\nstarted " in study.said, PATIENCE_S)
        assert held_on_cluster()
        study.disturb(kind)
        study.end(kind, [CODES[kind], 0])
        study.check_rows(kind)
        deadline = time.monotonic() + GIVEN_BACK_WITHIN_S
        while (held := held_on_cluster()) and time.monotonic() < deadline:
            time.sleep(0.5)
        if held:
            study.complain(f"after {kind} the cluster still held {held}")
    study.start()
    study.end("no kill", [0])
    study.check_rows("the end")
    assert study.is_done
    assert study.complaints == []
