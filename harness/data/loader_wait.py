"""Waiting for batches, but not for ever: who loads leaves signs of life, and who waits looks at them.

    loader process  at(video) -> read ... beat (a long video is decoded into the cache) -> rest
    trainer         next batch in a thread -> no sign for `batch_timeout_s` -> HungLoader names the video

The decoder has a timeout of its own (video.py), after which a video is given up and another one taken. This one is for
everything else that can hang: a network file system, a lock, a loader process that was stopped. It also holds where
videos are read in the training process itself.
"""

import time
from collections.abc import Iterator, Sequence
from multiprocessing import RawArray
from typing import Any

import torch
from torch.utils.data import DataLoader, get_worker_info
from torch.utils.data import Dataset as TorchDataset
from torch.utils.data._utils import signal_handling

from harness.data.guard import NoSignOfLife, guarded
from harness.data.index import Video
from harness.data.loader_batch import Batch, Loaded, collate

KILL_WAIT_S = 5.0

RESTING = -1.0


class HungLoader(RuntimeError):
    """No batch comes any more; the message names the video where it is known."""


class Pulse:
    """When each loader process last showed a sign of life, and which video it was at; shared by all of them."""

    def __init__(self, workers: int) -> None:
        """Have a place for each process; without any, for the one that trains."""
        self._signs = RawArray("d", max(1, workers))
        self._videos = RawArray("d", [RESTING] * max(1, workers))

    def at(self, video: int) -> None:
        """Say that this process begins to read a video."""
        self._videos[_process()] = video
        self.beat()

    def beat(self) -> None:
        """Say that this process goes on."""
        self._signs[_process()] = time.monotonic()

    def rest(self) -> None:
        """Say that this process has nothing to read."""
        self._videos[_process()] = RESTING
        self.beat()

    def last_sign_s(self) -> float:
        """Return when any process last showed a sign, in seconds of `time.monotonic`."""
        return max(self._signs)

    def stuck_at(self) -> int | None:
        """Return the video of the process that has been silent longest, of those that read one."""
        reading = [(sign, video) for sign, video in zip(self._signs, self._videos, strict=True) if video != RESTING]
        return int(min(reading)[1]) if reading else None


class Windows(TorchDataset[Loaded]):
    """Something to load: one number, one window; it leaves signs of life while it reads."""

    pulse: Pulse

    def video_of(self, number: int) -> Video:
        """Return the video that the pulse knows by this number."""
        raise NotImplementedError


class WindowLoader:
    """The batches of one epoch or one test run; iterating twice gives the same batches."""

    def __init__(
        self,
        source: Windows,
        batches: Sequence[Sequence[int]],
        *,
        workers: int,
        pin_memory: bool,
        unreadable: dict[str, str],
        batch_timeout_s: float,
    ) -> None:
        """Take what is loaded (`source`) and the samples of each batch; `train_loader` and `test_loader` do."""
        self.unreadable = unreadable
        """Videos given up so far, by id, with the reason."""
        self._source = source
        self._timeout_s = batch_timeout_s
        self._loader: DataLoader[Loaded] = DataLoader(
            source,
            batch_sampler=batches,  # type: ignore[arg-type]
            collate_fn=collate,
            num_workers=workers,
            pin_memory=pin_memory,
            # An own generator, because the DataLoader would draw from torch's global one.
            generator=torch.Generator(),
        )

    def __len__(self) -> int:
        """Return the number of batches (testing may give fewer, if whole batches are unreadable)."""
        return len(self._loader)

    def __iter__(self) -> Iterator[Batch]:
        """Load the batches in order.

        Raises:
            HungLoader: one does not come, and nobody who loads shows a sign of life.
        """
        loading = iter(self._loader)
        while (loaded := self._next(loading)) is not None:
            self.unreadable.update({item.video_id: item.reason for item in loaded.unreadable})
            if loaded.batch is not None:
                yield loaded.batch

    def _next(self, loading: Iterator[Loaded]) -> Loaded | None:
        # In a thread also where loader processes read: the DataLoader's own timeout knows no signs of life, and would
        # end a trial whose first video takes long to get into the cache.
        try:
            return guarded(
                lambda: next(loading, None), self._timeout_s, self._source.pulse.last_sign_s, name="batch-loader"
            )
        except NoSignOfLife:
            _end_processes(loading)
            raise HungLoader(self._what_hangs()) from None

    def _what_hangs(self) -> str:
        number = self._source.pulse.stuck_at()
        silence = f"no batch and no sign of life from the loader for {self._timeout_s:g} s"
        if number is None:
            return f"{silence}; no video is being read"
        video = self._source.video_of(number)
        return f"{silence}; it hangs in video {video.video_id} ({video.path})"


def _process() -> int:
    """Return the number of this loader process; 0 in the one that trains."""
    info = get_worker_info()
    return info.id if info else 0


def _end_processes(loading: Any) -> None:
    """End the loader processes of a DataLoader's iterator by force: stopped ones do not hear a polite request.

    Left alone, the iterator would ask them once more, maybe wait for a lock that one of them holds, and torch would
    report their deaths in the middle of whatever this process does next.
    """
    processes = getattr(loading, "_workers", ())
    if not processes:
        return
    loading._shutdown = True
    signal_handling._remove_worker_pids(id(loading))  # pyright: ignore[reportPrivateImportUsage]
    loading._worker_pids_set = False
    for process in processes:
        process.kill()
        process.join(KILL_WAIT_S)
