"""One short script per question: what varies, and nothing else."""
