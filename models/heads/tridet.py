"""Under construction by a helper in this session."""

from models.heads.base import Head


class TriDetHead(Head):
    """Under construction."""
