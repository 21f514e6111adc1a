"""Reading rollups into arrays: those of parts, of the lake as it is in one snapshot, and of pieces of days."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from tracecanary.analytics.day_blocks import BLOCK_DAYS, HOUR_NS, Piece
from tracecanary.analytics.derived_tables import rollup_query
from tracecanary.analytics.engine import Arrays, Row, Session
from tracecanary.analytics.evidence import CostGap
from tracecanary.analytics.rollup_arrays import BlockRows, PartRollups, block_rows
from tracecanary.analytics.sides import worst_first

_BLOCK_QUERIES = {
    "rollup_groups": "blocks_of_groups_v1",
    "rollup_evaluators": "blocks_of_evaluators_v1",
    "rollup_histograms": "blocks_of_histograms_v1",
    "rollup_group_histograms": "blocks_of_group_histograms_v1",
    "rollup_tails": "blocks_of_tails_v1",
    "rollup_tools": "blocks_of_tools_v1",
    "rollup_measures": "blocks_of_measures_v1",
}
# Fewer rows of single days are as quickly added up when a question comes.
_MIN_ROWS_FOR_BLOCKS = 20_000
# Rows of pieces of days kept by a snapshot, some 100 MB: windows that move on cut another piece each time.
MOST_PIECE_ROWS = 1_000_000


def load_part(session: Session) -> PartRollups:
    """Read the rollups of one part, open in `session`."""
    tables: dict[str, Sequence[BlockRows]] = {}
    for table, query in _BLOCK_QUERIES.items():
        by_day = block_rows(session.arrays(query, {"days": 1}))
        longer = [days for days in BLOCK_DAYS if days > 1] if len(by_day.key_places) >= _MIN_ROWS_FOR_BLOCKS else []
        tables[table] = (*(block_rows(session.arrays(query, {"days": days})) for days in longer), by_day)
    tables["rollup_clusters"] = (block_rows(session.arrays("clusters_by_day_v1")),)
    return PartRollups(tables=tables)


def load_piece(session: Session, piece: Piece, *, keys: Sequence[int] = (), pairs_first: bool = False) -> PartRollups:
    """Count the rollups of a time from its traces, in temporary tables of `session`.

    Args:
        session: Of one snapshot.
        piece: The time.
        keys: Rollup keys of the traces; all if empty.
        pairs_first: Whether cluster groups are by pair before they are by conversation.
    """
    roll_between(session, piece, keys=keys, pairs_first=pairs_first)
    tables: dict[str, Sequence[BlockRows]] = {}
    session.materialise("new_rollup_histograms", rollup_query("rollup_histograms"))
    for table, query in _BLOCK_QUERIES.items():
        with session.materialised(f"stored_{table}", rollup_query(table)):
            tables[table] = (block_rows(session.arrays(query, {"days": 1})),)
    with session.materialised("stored_rollup_clusters", rollup_query("rollup_clusters")):
        tables["rollup_clusters"] = (block_rows(session.arrays("clusters_by_day_v1")),)
    return PartRollups(tables=tables, examples=session.rows("rollup_examples_v1", {"revision": 0}))


def roll_between(session: Session, piece: Piece, *, keys: Sequence[int] = (), pairs_first: bool = False) -> None:
    """Materialise `rolled`: the traces of a time as rollups count them."""
    session.materialise(
        "rolled",
        "rolled_between_v2",
        {"from_ns": piece.from_ns, "to_ns": piece.to_ns, "keys": list(keys), "pairs_first": pairs_first},
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HourCounts:
    """Traces by hour and rollup key, by ascending hours.

    Args:
        hour_ns: Start of each row's hour, ns since the epoch.
        keys: The rollup keys that occur; `key_places` holds each row's place among them.
        traces: Of each row.
        occupied_ns: Starts of the hours in which any trace started, ascending.
    """

    hour_ns: NDArray[np.int64]
    keys: NDArray[np.int64]
    key_places: NDArray[np.int64]
    traces: NDArray[np.int64]
    occupied_ns: NDArray[np.int64]

    def traces_between(self, from_ns: int, to_ns: int) -> int:
        """Count the traces of all hours that meet a time."""
        inside = (self.hour_ns > from_ns - HOUR_NS) & (self.hour_ns < to_ns)
        return int(self.traces[inside].sum())

    def pieces_of(self, from_ns: int, to_ns: int, *, most: int) -> list[Piece]:
        """Part a time where hours begin, so that no part has more than `most` traces unless an hour has."""
        pieces, begin, counted = [], from_ns, 0
        for hour, traces in zip(self.occupied_ns.tolist(), self._traces_by_hour().tolist(), strict=True):
            if from_ns < hour < to_ns and counted + traces > most:
                pieces.append(Piece(from_ns=begin, to_ns=hour))
                begin, counted = hour, 0
            counted += traces if from_ns - HOUR_NS < hour < to_ns else 0
        return [*pieces, Piece(from_ns=begin, to_ns=to_ns)]

    def _traces_by_hour(self) -> NDArray[np.int64]:
        return np.add.reduceat(self.traces, np.searchsorted(self.hour_ns, self.occupied_ns))


def hour_counts(arrays: Arrays) -> HourCounts:
    """Index the rows of `hours_of_keys_v1`."""
    hour_ns, keys, traces = (arrays.columns[name] for name in ("hour_unix_ns", "rollup_key", "traces"))
    known, places = np.unique(keys, return_inverse=True)
    return HourCounts(hour_ns=hour_ns, keys=known, key_places=places, traces=traces, occupied_ns=np.unique(hour_ns))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LakeRollups:
    """The rollups of a lake in one snapshot.

    Args:
        parts: Of each part.
        hours: Traces by hour.
        examples: Traces worth opening of each day and rollup key, the most worth first.
        unmatched: Judgements that belong to no trace in which a model was asked.
        cost_gaps: Of every model with a reported and a computed cost of a call.
        facts_from_ns: Start of the traces whose facts are kept, ns since the epoch; older days are known as a whole.
        rollups_from_ns: Start of the days that are known at all.
        missing_before_ns: Traces that started before may be missing: their facts were left in `left_in`. 0 for none.
        left_in: Names of folders of other definitions.
    """

    parts: Sequence[PartRollups]
    hours: HourCounts
    examples: Sequence[Row]
    unmatched: int
    cost_gaps: Sequence[CostGap]
    facts_from_ns: int = 0
    rollups_from_ns: int = 0
    missing_before_ns: int = 0
    left_in: Sequence[str] = ()
    # Guarded by the lock. Two threads may read the same at once: both get the same.
    _pieces: OrderedDict[Piece, PartRollups] = field(default_factory=OrderedDict)
    _arms: dict[str, tuple[str, ...]] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def arms(self, session: Session, arm_by: str) -> tuple[str, ...]:
        """Return every arm that any stored trace has asked for, most used first."""
        with self._lock:
            known = self._arms.get(arm_by)
        if known is None:
            known = tuple(str(row["arm_name"]) for row in session.rows("arms_v1", {"arm_by": arm_by}))
            with self._lock:
                self._arms[arm_by] = known
        return known

    def piece(self, session: Session, piece: Piece) -> PartRollups:
        """Return the rollups of a piece of a day, counted once a snapshot."""
        with self._lock:
            if piece in self._pieces:
                self._pieces.move_to_end(piece)
                return self._pieces[piece]
        made = load_piece(session, piece)
        with self._lock:
            self._pieces[piece] = made
            rows = sum(one.row_count() for one in self._pieces.values())
            while rows > MOST_PIECE_ROWS and len(self._pieces) > 1:
                rows -= self._pieces.popitem(last=False)[1].row_count()
        return made


def load_lake(
    session: Session,
    parts: Sequence[PartRollups],
    *,
    facts_from_ns: int = 0,
    rollups_from_ns: int = 0,
    missing_before_ns: int = 0,
    left_in: Sequence[str] = (),
) -> LakeRollups:
    """Read what is not read part by part, in a session of one snapshot."""
    return LakeRollups(
        parts=parts,
        facts_from_ns=facts_from_ns,
        rollups_from_ns=rollups_from_ns,
        missing_before_ns=missing_before_ns,
        left_in=left_in,
        hours=hour_counts(session.arrays("hours_of_keys_v1")),
        examples=sorted(session.rows(rollup_query("rollup_examples_sum")), key=worst_first),
        unmatched=session.rows(rollup_query("rollup_unmatched_sum"))[0]["unmatched"],
        cost_gaps=[CostGap(**row) for row in session.rows("cost_gaps_v1", {"models": []})],
    )
