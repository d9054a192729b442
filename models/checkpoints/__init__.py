"""Published and own weights: reading files safely, telling whose they are, filling networks strictly."""
