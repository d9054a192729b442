"""Networks that turn clips into feature maps, and their published weights."""
