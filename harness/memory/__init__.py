"""Peak memory of a training step: predicted without running it, and measured while it runs, in one unit."""
