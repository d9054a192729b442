"""The Pareto front of settings: those to which no other is preferable in both mAP and peak memory.

A setting is a study's config without the seed. Its seeds are averaged first, so that a front holds no lucky draw of a
setting beside its mean. Only settings that raced on the same terms are compared: one study, one data set and test
subset, the same IoU thresholds, memory measured by the same means. Settings without a finished trial or without a
measured peak take no part. Of two that are equal in both, both are on the front.
"""

import pyarrow as pa

from harness.tables.config_columns import Column
from harness.tables.schema import CONFIG, TRIALS

RACE = ("study", "memory_source", "data.name", "data.fingerprint", "data.test_subset", "evaluation.tious")
"""Columns that two settings must share to be compared."""
MEASURED = (
    Column("map_avg", pa.float64(), "0 to 1", "Mean over seeds of the trials' `map_avg`."),
    Column("map_std", pa.float64(), "0 to 1", "Their sample standard deviation; null for a single seed."),
    Column("peak_bytes", pa.int64(), "bytes", "Mean over seeds of the trials' `peak_bytes`, rounded."),
    Column("step_seconds", pa.float64(), "s", "Mean over seeds of the trials' `step_seconds`."),
    Column("num_seeds", pa.int64(), "", "Seeds that the means are over."),
    Column("digests", pa.list_(pa.string()), "", "The trials, by seed."),
)
"""What the view `pareto` says of a setting, besides `study`, `memory_source` and its config columns."""


def pareto(best: pa.Table) -> pa.Table:
    """Return the settings on the front of every study, cheapest first, from the rows of `best`."""
    import duckdb

    with duckdb.connect(":memory:", config={"temp_directory": ""}) as connection:
        connection.register("best", best)
        return connection.sql(_QUERY).to_arrow_table().cast(PARETO)


_SETTING = ("study", "memory_source", *(column.name for column in CONFIG))
PARETO = pa.schema([TRIALS.field(name) for name in _SETTING] + [column.field for column in MEASURED])
"""The columns of the view `pareto`."""


def _quoted(names: tuple[str, ...]) -> str:
    return ", ".join(f'"{name}"' for name in names)


_QUERY = f"""
with settings as (
    select {_quoted(_SETTING)},
        avg(map_avg) as map_avg, stddev_samp(map_avg) as map_std,
        cast(round(avg(peak_bytes)) as bigint) as peak_bytes, avg(step_seconds) as step_seconds,
        count(*) as num_seeds, list(digest order by seed) as digests
    from best where not isnan(map_avg) and peak_bytes is not null
    group by {_quoted(_SETTING)}
), ranked as (
    select *,
        max(map_avg) over (partition by {_quoted(RACE)}, peak_bytes) as best_of_equals,
        max(map_avg) over (
            partition by {_quoted(RACE)} order by peak_bytes range between unbounded preceding and 1 preceding
        ) as best_of_cheaper
    from settings
)
select {_quoted(_SETTING)}, {_quoted(tuple(column.name for column in MEASURED))} from ranked
where map_avg = best_of_equals and (best_of_cheaper is null or map_avg > best_of_cheaper)
order by study, peak_bytes, map_avg
"""
