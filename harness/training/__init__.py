"""Training one detector in one process (or one process per rank), with no Ray in sight."""
