"""The recipes for clusters: in the form that their tools read, with study commands that the studies accept."""

import contextlib
import json
import os
import re
import shlex
import signal
import subprocess
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from harness.cli.arguments import study_parser
from studies.scale_frames import STUDY

FOLDER = Path(__file__).resolve().parents[2] / "harness/clusters"


def documents(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((FOLDER / name).read_text()))


def test_kuberay_pods_all_have_the_project_the_data_and_a_card() -> None:
    claim, cluster = documents("kuberay.yaml")
    assert (claim["kind"], cluster["kind"]) == ("PersistentVolumeClaim", "RayCluster")
    assert cluster["apiVersion"] == "ray.io/v1"
    spec = cluster["spec"]
    assert spec["rayVersion"] == version("ray")
    assert spec["authOptions"] == {"mode": "token"}
    assert spec["headGroupSpec"]["rayStartParams"]["dashboard-host"] == "127.0.0.1"
    pods = [group["template"]["spec"] for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"])]
    for pod in pods:
        (container,) = pod["containers"]
        assert container["image"] == pods[0]["containers"][0]["image"]
        assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"
        assert {mount["mountPath"] for mount in container["volumeMounts"]} == {"/data", "/dev/shm"}
        assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        assert volumes["data"]["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]


def test_ray_up_reads_its_file_by_rays_own_schema() -> None:
    import ray.autoscaler

    schema = json.loads((Path(ray.autoscaler.__file__).parent / "ray-schema.json").read_text())
    (config,) = documents("ray_up.yaml")
    jsonschema.validate(config, schema)
    assert config["head_node_type"] in config["available_node_types"]
    card = config["available_node_types"]["card"]
    assert card["min_workers"] == card["max_workers"] == config["max_workers"], "a study is planned for what is there"
    assert any("--dashboard-host=127.0.0.1" in command for command in config["head_start_ray_commands"])


@pytest.mark.parametrize("name", ["kuberay.yaml", "ray_up.yaml", "slurm.sh", "README.md"])
def test_the_study_commands_in_the_files_are_accepted(name: str) -> None:
    text = (FOLDER / name).read_text().replace("\\\n", " ")
    begin, end = r"(?:python (?:studies/\w+\.py|\"\$study\")|then the study with `)", r"(?:`|\"$|\"\$@\"|$)"
    commands = re.findall(rf"{begin}([^`&#]*?){end}", text, re.MULTILINE)
    assert commands, "the file names no study command"
    for command in commands:
        words = [word.replace("$", "") for word in shlex.split(command.rstrip('"'))]
        given = study_parser(STUDY).parse_args(words)
        assert given.address
        assert given.storage


def test_the_image_has_every_package() -> None:
    copied = re.findall(r"^COPY (\w+) \1$", (FOLDER / "Dockerfile").read_text(), re.MULTILINE)
    assert set(copied) == {"harness", "models", "studies"}


class Slurm:
    """A job of `slurm.sh` with stand-ins for what a Slurm cluster would bring."""

    def __init__(self, folder: Path, study: str) -> None:
        self.calls = folder / "calls"
        tools = folder / "tools"
        tools.mkdir()
        project = folder / "project"
        (project / ".venv/bin").mkdir(parents=True)
        (project / ".venv/bin/activate").touch()
        log = f'echo "$(basename "$0") $*" >> {self.calls}\n'
        self._tool(tools / "srun", log + 'case "$*" in *hostname*) echo 10.0.0.1 10.0.0.9;; *) sleep 30;; esac')
        self._tool(tools / "scontrol", log + 'case "$1" in show) printf "node-1\\nnode-2\\nnode-3\\n";; esac')
        self._tool(tools / "sleep", '[ "$1" = 15 ] || exec /bin/sleep "$1"')
        which = 'case "$1" in -c) echo 0123456789;; -) cat >/dev/null;; *) '
        self._tool(tools / "python", log + which + study + ";; esac")
        names = {"PROJECT": project, "DATA": "/data", "WEIGHTS": "/weights", "RESULTS": "s3://bucket/lab"}
        job = {"SLURM_JOB_ID": "7", "SLURM_JOB_NUM_NODES": "3", "SLURM_JOB_NODELIST": "node-[1-3]"}
        self.environment = {
            **{name: str(value) for name, value in {**names, **job, "SLURM_CPUS_PER_TASK": 16}.items()},
            "PATH": f"{tools}:{os.environ['PATH']}",
        }

    @staticmethod
    def _tool(path: Path, body: str) -> None:
        path.write_text(f"#!/bin/bash\n{body}\n")
        path.chmod(0o755)

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        command = ["bash", str(FOLDER / "slurm.sh"), "studies/scale_frames.py", *words]
        return subprocess.Popen(command, env=self.environment, start_new_session=True)

    def said(self) -> str:
        return self.calls.read_text() if self.calls.exists() else ""


@pytest.fixture
def reaped():
    """End what a job leaves behind: the stand-ins of Ray that wait."""
    jobs: list[subprocess.Popen[bytes]] = []
    yield jobs.append
    for job in jobs:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(job.pid, signal.SIGKILL)
        job.wait()


def test_the_slurm_script_is_bash() -> None:
    assert subprocess.run(["bash", "-n", str(FOLDER / "slurm.sh")], check=False).returncode == 0
    missing = subprocess.run(["bash", str(FOLDER / "slurm.sh")], env={"PATH": os.environ["PATH"]},
                             capture_output=True, text=True, check=False)  # fmt: skip
    assert missing.returncode != 0
    assert "the folder of the project" in missing.stderr


def test_a_slurm_job_starts_ray_on_its_nodes_and_the_study_on_the_first(tmp_path: Path, reaped) -> None:
    slurm = Slurm(tmp_path, "exit 1")
    job = slurm.start("--seeds", "3")
    reaped(job)
    assert job.wait(timeout=60) == 1
    said = slurm.said()
    assert "srun --nodes=1 --ntasks=1 --nodelist=node-1 ray start --head --node-ip-address=10.0.0.1 --port=6379" in said
    assert "srun --nodes=2 --ntasks=2 --exclude=node-1 ray start --address=10.0.0.1:6379 --num-cpus=16" in said
    assert "python studies/scale_frames.py" in said
    assert "--address 10.0.0.1:6379 --storage s3://bucket/lab --seeds 3" in said
    assert "requeue" not in said


def test_a_slurm_job_whose_time_is_up_stops_its_study_and_queues_itself_again(tmp_path: Path, reaped) -> None:
    heard = f"trap 'echo heard >> {tmp_path}/calls; /bin/sleep 1; exit 130' TERM"
    study = f"{heard}; echo waiting >> {tmp_path}/calls; for i in $(seq 300); do /bin/sleep 0.1; done"
    slurm = Slurm(tmp_path, study)
    job = slurm.start()
    reaped(job)
    end = time.monotonic() + 60
    while "waiting" not in slurm.said() and time.monotonic() < end:
        time.sleep(0.1)
    job.send_signal(signal.SIGTERM)
    assert job.wait(timeout=60) == 130
    assert slurm.said().splitlines()[-2:] == ["heard", "scontrol requeue 7"]
