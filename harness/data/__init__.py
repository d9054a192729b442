"""Videos and their annotations, from files on disk to batches of windows; nothing here knows of Ray."""
