"""`results/README.md`: where the tables lie, how to ask them, and every column with its type, unit and meaning.

The columns come from the schema: python -m harness.tables.readme > results/README.md
"""

import sys

from harness.tables.compaction import WORTH_IT
from harness.tables.config_columns import Column
from harness.tables.front import MEASURED, RACE
from harness.tables.schema import CONFIG, CORE, CURVE_COLUMNS, VERSION


def render_readme() -> str:
    """Return `results/README.md`."""
    return f"""# Results tables

Generated from `harness/tables/schema.py` (`python -m harness.tables.readme > results/README.md`).
Schema version {VERSION}; files of every earlier version stay readable.

`published/` keeps the tables of all studies on synthetic videos. How they were made, and which of the paper's
conclusions come back there and which do not, with intervals, is in [published/README.md](published/README.md).

    results/<study>/<digest>-<attempt>-<random>.parquet          one row: one attempt of one trial, never changed again
    results/<study>/curves/<digest>-<attempt>-<random>.parquet   its learning curves, one row per measurement
    results/<study>/part-<random>.parquet                        many such files, folded into one

The files are the truth about a study: what is done, what is resumed and what is plotted derives from them. Delete a
trial's file to have it run again. Once a study has {WORTH_IT} files its driver folds them into one when it ends; then
`--fresh` runs everything again. `results` can be a folder or a URI such as `s3://bucket/prefix` (for another store than
Amazon's `s3://bucket/prefix?endpoint_override=HOST:PORT&scheme=https`), for every function below and for
`tadscale query --results`.

## Asking

    uv run tadscale query 'select frames, avg(map_avg) as map, max(peak_bytes) / 2**20 as peak_mib
                           from best group by frames order by frames'

`--format` is table, csv, json, parquet, markdown or latex (booktabs); `--output FILE` writes a file. The query sees
these views and nothing else, no files and no network, and can change nothing:

| View | Rows |
|---|---|
| `trials` | every attempt of every trial |
| `best` | the latest finished attempt of each trial |
| `pareto` | the settings that no other beats in both mAP and peak memory; seeds are averaged first |
| `curves` | the measurements of training |

A column whose name has dots is quoted: `"data.window.frames"`. The end of its path will do instead, with underscores
for dots, where no other column ends so: `frames`, `adapter_lr`, `backbone_width`. A branch stands for its name, or else
its kind: `backbone`, `head`, `adapter`. A short name means a column only where the query itself gives it no meaning;
`select *` shows paths, and after them the short names that the query uses. A map is read as `map_at['0.5']`.

From Python, the same query and the whole table:

```python
from harness.tables import load, read_curves, sql

sql("select frames, avg(map_avg) as map from best group by frames", "results")   # a pyarrow.Table
trials = load("results")                                                         # every attempt, a pyarrow.Table
curves, unreadable = read_curves("results")                                      # and which files could not be read
```

DuckDB, pandas and Polars take that table as it is:

```python
import duckdb
from harness.tables import best, load

trials = best(load("results"))
duckdb.sql('''select "data.window.frames" as frames, avg(map_avg) as map, max(peak_bytes) as bytes
              from trials group by frames order by frames''').show()
```

```python
import pandas
from harness.tables import best, load

trials = best(load("results")).to_pandas()
trials.groupby("data.window.frames")[["map_avg", "peak_bytes"]].agg(["mean", "max"])
```

```python
import polars as pl
from harness.tables import best, load

trials = pl.from_arrow(best(load("results")))
trials.group_by("data.window.frames").agg(pl.col("map_avg").mean(), pl.col("peak_bytes").max())
```

Programs without this package read the files themselves. A file holds the config columns of its own trial only, so they
are united by name; a trial that was started twice has a row for each attempt:

```python
import duckdb

duckdb.sql("select count(*) from read_parquet('results/*/*.parquet', union_by_name = true)").show()
```

## `trials` and `best`: core columns

{_markdown(CORE)}

## `trials` and `best`: config columns

Every value of the trial's config stands in a column named by its path, the same path that `--set` takes. A branch that
can be absent (`model.adapter`) has a column of its own: the kind of the branch, null when there is none, and then the
columns below it are null as well. Where a branch can be of several kinds (`model.head`), its `kind` says which, the
columns of all kinds are there, and those of the others are null. Tuples are lists. `seed` is among the core columns.

{_markdown(CONFIG)}

## `pareto`

A setting is a study's config without the seed. Settings are compared when they share
{", ".join(f"`{name}`" for name in RACE)}. Those with a finished trial and a measured peak take part. The view has
`study`, `memory_source`, every config column but `seed`, and

{_markdown(MEASURED)}

## `curves`

{_markdown(CURVE_COLUMNS)}
"""


def _markdown(columns: tuple[Column, ...]) -> str:
    rows = [f"| `{c.name}` | `{c.type}` | {c.unit} | {c.meaning.replace('|', chr(92) + '|')} |" for c in columns]
    return "\n".join(["| Column | Type | Unit | Meaning |", "|---|---|---|---|", *rows])


if __name__ == "__main__":
    sys.stdout.write(render_readme())
