"""Under construction by a helper in this session."""

from models.backbones.base import Backbone


class SlowFast(Backbone):
    """Under construction."""
