"""Under construction by a helper in this session."""

from models.heads.base import Head


class GTADHead(Head):
    """Under construction."""
