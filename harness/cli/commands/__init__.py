"""The commands of `tadscale`, one per file: `add` declares its options, `run` does it and returns the exit code."""
