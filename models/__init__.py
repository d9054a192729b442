"""Networks for temporal action detection: tensors in, tensors out. Knows neither the harness nor Ray."""
