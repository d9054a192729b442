"""Command lines: a study script's `main`, and the `tadscale` command."""
