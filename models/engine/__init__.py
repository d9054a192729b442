"""How a step is executed (kept, recomputed), never what it computes; the networks know nothing of it."""
