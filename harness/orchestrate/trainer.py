"""Ray Train's trainer, without what our slots do not need.

`ray.train.torch.TorchTrainer` imports torch in the process that builds it and in its controller (3 s and 500 MB
each, for nothing: only workers compute). So slots use its base class, `DataParallelTrainer`, with a backend that
sets up torch's process group inside the workers. In a cluster that belongs to the study, three helper actors per
run are left out as well; each would be one more Python process to start. On two idle cores the first trial of a
study then starts 14 s after the command instead of 40 s.
"""

from typing import Any

import ray.train
from ray.train.backend import Backend, BackendConfig
from ray.train.v2._internal.execution.scaling_policy.fixed import FixedScalingPolicy
from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

PROCESS_GROUP_TIMEOUT_S = 1800


class TorchInWorkers(BackendConfig):
    """Torch's process group, set up in workers only, and only if there are several."""

    @property
    def backend_cls(self) -> type[Backend]:
        """Return what Ray Train calls when a worker group starts."""
        return _TorchInWorkersBackend


class _TorchInWorkersBackend(Backend):
    share_cuda_visible_devices = True

    def on_start(self, worker_group: Any, backend_config: BackendConfig) -> None:
        """Join the workers into one process group."""
        if len(worker_group) == 1:
            return
        from ray.train._internal.utils import get_address_and_port

        address, port = worker_group.execute_single(0, get_address_and_port)
        gpus = worker_group.get_resources_per_worker().get("GPU", 0)
        worker_group.execute(_join, address=address, port=port, backend="nccl" if gpus else "gloo")


def _join(*, address: str, port: int, backend: str) -> None:
    import os

    from ray.train.torch.config import _set_torch_distributed_env_vars, _setup_torch_process_group

    os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"] = address, str(port)
    _set_torch_distributed_env_vars()
    context = ray.train.get_context()
    _setup_torch_process_group(
        backend,
        context.get_world_rank(),
        context.get_world_size(),
        "env://",
        PROCESS_GROUP_TIMEOUT_S,
    )


class SlotTrainer(DataParallelTrainer):
    """A trainer for one slot."""

    def __init__(self, *args: Any, own_cluster: bool, **kwargs: Any) -> None:
        """Take the arguments of `DataParallelTrainer` and whether the cluster lives and dies with the study."""
        super().__init__(*args, backend_config=TorchInWorkers(), **kwargs)
        self._own_cluster = own_cluster

    def _create_default_callbacks(self) -> list[Any]:
        # Slots read no Ray Data; and placement groups of a dead run need no cleaner where the cluster dies with it.
        needless = {"DatasetsCallback"} | ({"PlacementGroupCleanerCallback"} if self._own_cluster else set())
        return [callback for callback in super()._create_default_callbacks() if type(callback).__name__ not in needless]

    def _initialize_and_run_controller(self, **kwargs: Any) -> Any:
        if self._own_cluster:
            kwargs["scaling_policy"] = FixedSize(self.scaling_config)
        return super()._initialize_and_run_controller(**kwargs)


class FixedSize(FixedScalingPolicy):
    """As many workers as asked for, without telling an autoscaler that is not there."""

    def after_controller_start(self, train_run_context: Any) -> None:
        """Register nothing."""

    def _maybe_send_resource_request(self) -> None:
        pass

    def _cancel_resource_request(self) -> None:
        pass
