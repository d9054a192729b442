"""CUDA's caching allocator, imitated on the lives of a traced step: what it would reserve from the device.

Requests are rounded to 512 bytes and served from free pieces of segments, the smallest that is large enough, the rest
of which stays free; small requests (up to 1 MiB) from segments of 2 MiB, others from segments of 20 MiB or, above
10 MiB, of their own size rounded up to 2 MiB. Neighbouring free pieces are joined; segments are never given back. So
what is reserved exceeds what is allocated by fragmentation (scaling-facts C3, item 7).
"""

from bisect import bisect_left, insort
from dataclasses import dataclass, field

from harness.memory.timeline import Timeline
from harness.memory.tracker import HOST

MIB = 2**20
SMALL_REQUEST, SMALL_SEGMENT = MIB, 2 * MIB
LARGE_REQUEST, LARGE_SEGMENT, ROUND_LARGE = 10 * MIB, 20 * MIB, 2 * MIB


@dataclass(slots=True)
class Piece:
    """A stretch of a segment."""

    segment: int
    start: int
    size: int
    before: "Piece | None" = None
    after: "Piece | None" = None
    free: bool = True

    @property
    def order(self) -> tuple[int, int, int]:
        """Return what free pieces are sorted by: the smallest first, then by place."""
        return (self.size, self.segment, self.start)


@dataclass
class Pool:
    """Segments for small or for large requests."""

    small: bool
    free: list[Piece] = field(default_factory=list)
    reserved: int = 0
    segments: int = 0

    def take(self, size: int) -> Piece:
        """Return a piece of exactly this size, from a new segment if none is free."""
        place = bisect_left(self.free, (size, -1, -1), key=lambda piece: piece.order)
        piece = self.free.pop(place) if place < len(self.free) and self._suits(self.free[place], size) else None
        piece = piece or self._new_segment(size)
        piece.free = False
        rest = piece.size - size
        if rest >= (512 if self.small else SMALL_REQUEST + 1):
            self._split(piece, size)
        return piece

    def give_back(self, piece: Piece) -> None:
        """Free a piece and join it with its free neighbours."""
        for neighbour in (piece.before, piece.after):
            if neighbour is not None and neighbour.free:
                self.free.pop(bisect_left(self.free, neighbour.order, key=lambda each: each.order))
        if piece.before is not None and piece.before.free:
            piece = _joined(piece.before, piece)
        if piece.after is not None and piece.after.free:
            piece = _joined(piece, piece.after)
        piece.free = True
        insort(self.free, piece, key=lambda each: each.order)

    def _suits(self, piece: Piece, size: int) -> bool:
        return piece.size >= size

    def _new_segment(self, size: int) -> Piece:
        if self.small:
            whole = SMALL_SEGMENT
        else:
            whole = LARGE_SEGMENT if size < LARGE_REQUEST else -(-size // ROUND_LARGE) * ROUND_LARGE
        self.reserved += whole
        self.segments += 1
        return Piece(self.segments, 0, whole)

    def _split(self, piece: Piece, size: int) -> None:
        rest = Piece(piece.segment, piece.start + size, piece.size - size, piece, piece.after)
        if piece.after is not None:
            piece.after.before = rest
        piece.after, piece.size = rest, size
        insort(self.free, rest, key=lambda each: each.order)


def _joined(first: Piece, second: Piece) -> Piece:
    first.size += second.size
    first.after = second.after
    if second.after is not None:
        second.after.before = first
    return first


def reserved_bytes(timeline: Timeline) -> int:
    """Return the most bytes that the allocator would have reserved by the end of the traced step."""
    pools = {True: Pool(small=True), False: Pool(small=False)}
    pieces: dict[int, Piece] = {}
    for event in timeline.events:
        life = timeline.lives[event if event >= 0 else ~event]
        if life.category == HOST:
            continue
        pool = pools[life.size <= SMALL_REQUEST]
        if event >= 0:
            pieces[life.serial] = pool.take(life.size)
        else:
            pool.give_back(pieces.pop(life.serial))
    return sum(pool.reserved for pool in pools.values())
