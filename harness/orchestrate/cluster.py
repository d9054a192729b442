"""The Ray cluster of a study: one of its own on this machine, or one that is joined by its address."""

import contextlib
import logging
import os
import secrets
import shutil
import socket
import tempfile
import threading
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from harness.orchestrate.failures import one_line

NAMESPACE = "tadscale"
FOLDER = "tad-"
PROBE_TIMEOUT_S = 5.0
START_ATTEMPTS = 3
"""How often a cluster is started that does not come up: Ray waits 30 s for its own parts, whatever the machine does."""
SLOT_THREADS, TUNE_THREAD = "slot-", "tune"
"""Names of the threads that live inside Ray: how those begin that keep slots (slots.py), and the one of tuning.py."""
OBJECT_STORE_BYTES = 100 * 2**20
"""Reports and jobs are small, so the smallest comfortable store does; Ray's default is 30 % of the memory."""

ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",
    # A loaded machine needs longer than the default of 60 s to start a process that imports torch.
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "180",
    "RAY_TRAIN_METRICS_ENABLED": "0",
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    # Trials are given absolute paths; Ray's change of folder would break relative ones.
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    # With the old output and verbosity 0, Tune prints nothing; the study has its own display.
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
"""Settings that Ray reads from the environment of the study and of every process it starts; the user's own win."""


@dataclass(kw_only=True)
class Cluster:
    """A running Ray cluster; a context manager that leaves it (or ends it, if it is the study's own)."""

    own: bool
    """Whether the cluster was started for this study and ends with it."""
    dashboard_url: str | None
    resources: dict[str, float]
    """Totals at the start: CPU, GPU, memory (bytes), ..."""
    storage: str
    """Folder for Ray's own bookkeeping."""
    _folder: Path | None = field(default=None, repr=False)
    _processes: Mapping[str, psutil.Process] = field(default_factory=dict, repr=False)
    """Ray's own on this machine, where they are the study's."""

    def count(self) -> None:
        """Look again what the cluster has."""
        import ray

        self.resources = {name: float(total) for name, total in ray.cluster_resources().items()}

    @property
    def num_cpus(self) -> int:
        """CPUs of the whole cluster."""
        return int(self.resources.get("CPU", 0))

    @property
    def num_gpus(self) -> float:
        """GPUs of the whole cluster."""
        return self.resources.get("GPU", 0.0)

    def check(self) -> None:
        """Raise RayError if the study's own cluster has lost its head or this machine's raylet.

        Calls between actors go on without a head, and a minute later Ray ends this process with words of its own.
        """
        from ray.exceptions import RayError

        for name, process in self._processes.items():
            if not _lives(process):
                raise RayError(f"RayError: its {name} process was killed")

    def close(self) -> None:
        """Leave the cluster; the study's own dies with all its processes.

        A slot that was still starting when the study ended sits inside Ray and cannot be asked to leave, and neither
        can Tune. Shutting Ray down beneath them ends this process with Ray's own exit code or a segmentation fault, so
        then the cluster is left to end with the process, as it does when a study is killed. Python's own teardown
        would do the same: who sees `in_use` then leaves by `os._exit`.
        """
        import ray

        if not in_use():
            ray.shutdown()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Self:
        """Return the cluster."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the cluster."""
        self.close()


def in_use() -> bool:
    """Whether threads of a study are still inside Ray, so that neither it nor Python can be shut down beneath them."""
    return any(thread.name.startswith((SLOT_THREADS, TUNE_THREAD)) for thread in threading.enumerate())


def connect(
    address: str | None = None,
    *,
    num_cpus: int | None = None,
    num_gpus: int | None = None,
    storage: str | None = None,
) -> Cluster:
    """Start a cluster on this machine, or join the one at `address` (or `RAY_ADDRESS`).

    Call it in the main thread: Ray's processes die with the thread that started them, which is how a study that is
    killed leaves nothing behind.

    Raises:
        ValueError: nothing answers at the address, or it does not let us in.
    """
    address = address or os.environ.get("RAY_ADDRESS") or None
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    _silence()
    _leave_uv_alone()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if address and address != "local":
            return _join(address, storage)
        return _start(num_cpus, num_gpus, storage)


def num_slots(cluster: Cluster, num_jobs: int, *, workers: int, cpus_per_worker: int, gpus_per_worker: float) -> int:
    """Return how many trials can run at once: as many as there are, if CPUs and GPUs allow it.

    Raises:
        ValueError: not even one fits.
    """
    limits = [
        ("CPU", cluster.num_cpus, workers * cpus_per_worker),
        ("GPU", cluster.num_gpus, workers * gpus_per_worker),
    ]
    for name, have, need in limits:
        if need > have:
            raise ValueError(f"one trial needs {need:g} {name}s, but the cluster has {have:g}")
    return max(1, min(num_jobs, *(int(have // need) for _, have, need in limits if need > 0)))


def probe(address: str, timeout_s: float = PROBE_TIMEOUT_S) -> None:
    """Raise ValueError unless something listens at a `HOST:PORT` address; Ray itself would retry for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        raise ValueError(f"the Ray address is {address}, expected HOST:PORT")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=timeout_s).close()
    except (OSError, OverflowError) as error:
        raise ValueError(f"no Ray cluster answers at {address} ({error})") from None


def check_address(address: str | None) -> None:
    """Say at once, before any data is made, that nothing answers where `connect` will be asked to join.

    Raises:
        ValueError: as `probe`.
    """
    address = address or os.environ.get("RAY_ADDRESS")
    if address and address not in ("auto", "local"):
        probe(address)


def _leave_uv_alone() -> None:
    # Under `uv run` Ray would start every worker by `uv run` in a copy of the project, with an environment made anew;
    # under `uv run --no-sync` that one stays empty and no worker ever comes up. The driver's own environment serves on
    # this machine, and on a cluster the one that every machine has installed. Ray read its setting when it was
    # imported, which may be long ago; who sets it to 1 wants the copies.
    from ray._private import ray_constants

    if os.environ.get("RAY_ENABLE_UV_RUN_RUNTIME_ENV") != "1":
        ray_constants.RAY_ENABLE_UV_RUN_RUNTIME_ENV = False


def _silence() -> None:
    # Ray prints what the raylet says of dead workers to stdout, which `--json` needs for itself; the study tells of
    # the same deaths in one line each. `log_to_driver=False` does not cover it.
    from ray._private import auto_init_hook, utils, worker

    worker._worker_logs_enabled = False
    # Its handler of SIGTERM ends the study at once with exit code 1, which says that trials failed.
    utils.set_sigterm_handler = lambda handler: None
    # A thread that still asks Ray something after the end must get an error, not a second cluster.
    auto_init_hook.enable_auto_connect = False
    logging.getLogger("ray").setLevel(logging.ERROR)
    # Tune logs the traceback of every relay that died, and starts it again.
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)


def _start(num_cpus: int | None, num_gpus: int | None, storage: str | None) -> Cluster:
    _make_token_possible()
    _remove_leftovers()
    failure: Exception | None = None
    for _ in range(START_ATTEMPTS):
        before = set(psutil.Process().children())
        try:
            return _start_once(num_cpus, num_gpus, storage)
        except ValueError:
            raise
        except Exception as error:  # Ray raises a bare one where the machine was too slow for it
            failure = error
            # What came up so far would live as long as the study.
            for child in set(psutil.Process().children()) - before:
                with contextlib.suppress(psutil.Error):
                    child.kill()
    raise ConnectionError(
        f"Ray did not start on this machine: {one_line(str(failure))}; start the same command again to go on"
    ) from failure


def _start_once(num_cpus: int | None, num_gpus: int | None, storage: str | None) -> Cluster:
    import ray

    folder = Path(tempfile.mkdtemp(prefix=f"{FOLDER}{os.getpid()}-", dir=_short_folder()))
    try:
        context = ray.init(
            address="local",
            num_cpus=num_cpus,
            num_gpus=num_gpus,
            namespace=NAMESPACE,
            include_dashboard=True,
            dashboard_host="127.0.0.1",
            object_store_memory=OBJECT_STORE_BYTES,
            log_to_driver=False,
            logging_level=logging.ERROR,
            _temp_dir=str(folder),
        )
        resources = {name: float(total) for name, total in ray.cluster_resources().items()}
    except BaseException:
        ray.shutdown()
        shutil.rmtree(folder, ignore_errors=True)
        raise
    url = getattr(context, "dashboard_url", None)
    return Cluster(
        own=True,
        dashboard_url=f"http://{url}" if url else None,
        resources=resources,
        storage=storage or str(folder / "runs"),
        _folder=folder,
        _processes=_processes(),
    )


def _processes() -> dict[str, psutil.Process]:
    names = {"gcs_server": "head", "raylet": "raylet"}
    return {names[child.name()]: child for child in psutil.Process().children() if child.name() in names}


def _lives(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _join(address: str, storage: str | None) -> Cluster:
    if address != "auto":
        probe(address)
    import ray
    from ray._private.authentication.authentication_token_setup import maybe_enable_token_auth_if_token_available
    from ray.exceptions import AuthenticationError

    # Ray itself offers a token only to a cluster that it found on its own, not to one at a given address.
    maybe_enable_token_auth_if_token_available(warn_if_disabled=False)
    try:
        context = ray.init(address=address, namespace=NAMESPACE, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError, AuthenticationError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ValueError(
            f"could not join the Ray cluster at {address} (if it asks for a token, set RAY_AUTH_MODE=token): {reason}"
        ) from None
    url = getattr(context, "dashboard_url", None)
    return Cluster(
        own=False,
        dashboard_url=f"http://{url}" if url else None,
        resources={name: float(total) for name, total in ray.cluster_resources().items()},
        storage=storage or str(Path(tempfile.gettempdir()) / "tadscale-ray"),
    )


def _remove_leftovers() -> None:
    # What studies that were killed could not remove themselves; the process id stands in the folder's name.
    for folder in Path(_short_folder()).glob(f"{FOLDER}*-*"):
        owner = folder.name.removeprefix(FOLDER).split("-")[0]
        if owner.isdigit() and not psutil.pid_exists(int(owner)):
            shutil.rmtree(folder, ignore_errors=True)


def _make_token_possible() -> None:
    # A local cluster asks for a token (RAY_AUTH_MODE=disabled turns that off), which Ray keeps in the home folder.
    token = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token")
    if not (os.environ.get("RAY_AUTH_TOKEN") or token.is_file() or os.access(Path.home(), os.W_OK)):
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


def _short_folder() -> str:
    # Ray's socket paths lie below and may have 107 characters at most; a TMPDIR is often too long for that.
    return "/tmp" if os.access("/tmp", os.W_OK) else tempfile.gettempdir()
