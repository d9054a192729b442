"""A window's frames, given out clip by clip from wherever they wait."""

from dataclasses import dataclass

import torch
from jaxtyping import UInt8
from torch import Tensor

from models.engine.offload import to_device


def spans(length: int, at_once: int) -> list[slice]:
    """Cut a length into stretches of at most `at_once`; 0: a single one."""
    size = at_once or length
    return [slice(start, min(start + size, length)) for start in range(0, length, size)]


@dataclass(frozen=True)
class Clips:
    """Consecutive clips of a batch of windows, those of one video adjacent and in order."""

    frames: UInt8[Tensor, "video 3 frame height width"]
    length: int
    """Frames of a clip."""
    device: torch.device
    """Where they are needed."""
    on_host: bool
    """Whether they wait on the host, which on a CPU run the place alone does not tell."""

    def __post_init__(self) -> None:
        """Refuse windows that do not consist of whole clips."""
        if self.frames.shape[2] % self.length:
            raise ValueError(f"a window has {self.frames.shape[2]} frames, expected a multiple of {self.length}")

    @property
    def per_video(self) -> int:
        """Clips of one video."""
        return self.frames.shape[2] // self.length

    def __len__(self) -> int:
        return len(self.frames) * self.per_video

    def read(self, span: slice) -> UInt8[Tensor, "clip 3 frame height width"]:
        """Return some clips on the device."""
        clips = self.frames.unflatten(2, (self.per_video, self.length)).transpose(1, 2)
        parts, clip = [], span.start
        while clip < span.stop:
            video, first = divmod(clip, self.per_video)
            count = min(self.per_video - first, span.stop - clip)
            parts.append(clips[video, first : first + count])
            clip += count
        joined = parts[0] if len(parts) == 1 else torch.cat(parts)
        if self.on_host:
            # Side by side before they travel: a strided copy between host and device is slow.
            return to_device(joined.contiguous(), self.device)
        return joined
