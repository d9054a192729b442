"""What went wrong, in one line and as a state: from an exception or from the text of a Ray error."""

import re

HOST_MEMORY = "the machine ran out of memory and the worker was killed"
KILLED = "the worker process was killed"

_DEVICE_MEMORY = (
    "OutOfMemoryError",
    "CUDA out of memory",
    "CUDA error: out of memory",
    "can't allocate memory",
    "MemoryError",
)
_PROCESS_DEATH = (
    "WorkerHealthCheckFailedError",
    "ActorDiedError",
    "ActorUnavailableError",
    "WorkerCrashedError",
    "worker process has died",
    "The actor died unexpectedly",
)


def classify(text: str) -> tuple[str, str]:
    """Return the state (`out_of_memory` or `failed`) and a one-line reason for an error's full text.

    Ray gives a host-memory kill no type of its own, only the words "low on memory" (ray-facts part 5). A worker
    killed by anybody else (the kernel's own memory killer, `kill -9`) looks the same from outside: a process that
    is gone, which is a failure and not a measured lack of memory.
    """
    if "low on memory" in text or "ray.exceptions.OutOfMemoryError" in text:
        return "out_of_memory", HOST_MEMORY
    line = last_line(text)
    if any(sign in text for sign in _PROCESS_DEATH):
        signal = re.search(r"SIG(?:SEGV|BUS|ABRT|ILL|FPE)\b(?! or another)", _worker_exit(text))
        return "failed", f"{KILLED} ({signal.group()})" if signal else KILLED
    if any(sign in line for sign in _DEVICE_MEMORY):
        return "out_of_memory", line
    return "failed", line


def classify_exception(error: BaseException) -> tuple[str, str]:
    """Return the state and the one-line reason for an exception that a trial function let through."""
    names = {kind.__name__ for kind in type(error).__mro__}
    line = one_line(f"{type(error).__name__}: {error}".removesuffix(": "))
    if names & {"OutOfMemoryError", "MemoryError"} or any(sign in str(error) for sign in _DEVICE_MEMORY[1:4]):
        return "out_of_memory", line
    return "failed", line


def last_line(text: str) -> str:
    """Return the line of a traceback that says what happened."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    said = [line for line in lines if re.match(r"[A-Za-z_][\w.]*(Error|Exception|Interrupt|Exit)\b", line)]
    return one_line((said or lines or ["no reason was given"])[-1])


def one_line(text: str, limit: int = 300) -> str:
    """Return the text without line breaks, cut where a reader would stop."""
    flat = " ".join(text.split())
    return flat if len(flat) <= limit else flat[: limit - 3] + "..."


def _worker_exit(text: str) -> str:
    # Ray's standard sentence lists SIGSEGV among possible causes whatever the cause was.
    return re.sub(r"\(3\).*?SIGSEGV[^.]*\.", "", text)
