"""`results/README.md`: every column of the tables with its type, unit and meaning, generated from the schema.

python -m harness.tables.readme > results/README.md
"""

import sys

from harness.tables.config_columns import Column
from harness.tables.schema import CONFIG, CORE, CURVE_COLUMNS, VERSION


def render_readme() -> str:
    """Return `results/README.md`: every column with its type, unit and meaning."""
    return f"""# Results tables

Generated from `harness/tables/schema.py` (`python -m harness.tables.readme > results/README.md`).
Schema version {VERSION}.

    results/<study>/<digest>-<attempt>-<random>.parquet          one row: one attempt of one trial, never changed again
    results/<study>/curves/<digest>-<attempt>-<random>.parquet   its learning curves, one row per measurement

The files are the truth about a study: what is done, what is resumed and what is plotted derives from them. Delete a
file to have the trial run again. Any Parquet reader works; `harness.tables` unites the files, skips and reports the
unreadable, and answers SQL:

```python
from harness.tables import load, sql

load("results")                                   # pyarrow.Table with every attempt; .to_pandas() where pandas is used
sql('''select "data.window.frames" as frames, avg(map_avg) as map, max(peak_bytes) / 2**20 as peak_mib
       from best group by 1 order by 1''', "results")
```

`sql` knows the views `trials` (every attempt), `best` (the latest finished attempt of each trial) and `curves`.
A column whose name has dots is quoted: `"data.window.frames"`. A map is read as `map_at['0.5']`.

## `trials`: core columns

{_markdown(CORE)}

## `trials`: config columns

Every value of the trial's config stands in a column named by its path, the same path that `--set` takes. A branch that
can be absent (`model.adapter`) has a column of its own: the kind of the branch, null when there is none, and then the
columns below it are null as well. Tuples are lists. `seed` is among the core columns.

{_markdown(CONFIG)}

## `curves`

{_markdown(CURVE_COLUMNS)}
"""


def _markdown(columns: tuple[Column, ...]) -> str:
    rows = [f"| `{c.name}` | `{c.type}` | {c.unit} | {c.meaning.replace('|', chr(92) + '|')} |" for c in columns]
    return "\n".join(["| Column | Type | Unit | Meaning |", "|---|---|---|---|", *rows])


if __name__ == "__main__":
    sys.stdout.write(render_readme())
