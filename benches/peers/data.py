"""The data: records as `whodid generate` writes them (or any file of the same kind), and for the peers the same events with
persons already resolved and exact duplicates taken out, as Parquet."""

import json
import subprocess
from pathlib import Path

import duckdb

# The only property that peers keep as a number.
NUMBER = "Revenue"


def text(value):
    """A text literal of SQL."""
    return "'" + value.replace("'", "''") + "'"


def column(name):
    """A name of SQL."""
    return '"' + name.replace('"', '""') + '"'


def generate(binary, path, people, events):
    """Writes the records, unless they are there."""
    if path.exists():
        return
    partial = path.with_suffix(".partial")
    command = [binary, "generate", "--people", str(people), "--events", str(events), "--out", partial]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    partial.rename(path)


def connect(folder, threads, file=":memory:"):
    """DuckDB with room on disk for what does not fit into memory."""
    base = duckdb.connect(file, config={"threads": threads})
    base.execute(f"SET temp_directory = {text(str(folder / 'spill'))}")
    base.execute("SET memory_limit = '10GB'")
    return base


def property_names(base, records):
    """The properties of events and of persons: two sorted lists."""
    reader = f"read_ndjson({text(str(records))}, columns = {{type: 'VARCHAR', properties: 'JSON'}})"
    found = base.execute(f"SELECT DISTINCT type, unnest(json_keys(properties)) FROM {reader}").fetchall()
    return [sorted(name for kind, name in found if kind == wanted) for wanted in ("event", "set")]


def reader(records, names):
    """The table function that reads the records typed: type, person, event, t in milliseconds, target and properties `p`."""
    fields = ", ".join(f"{column(n)} {'DOUBLE' if n == NUMBER else 'VARCHAR'}" for n in sorted(set(names)))
    columns = (
        "{type: 'VARCHAR', person: 'VARCHAR', event: 'VARCHAR', time: 'DOUBLE', \"identity\": 'VARCHAR', "
        f"properties: {text(f'STRUCT({fields})')}}}"
    )
    parts = 'type, person, event, round("time" * 1000)::BIGINT AS t, "identity" AS target, properties AS p'
    return f"(SELECT {parts} FROM read_ndjson({text(str(records))}, columns = {columns}))"


def resolve(base):
    """Makes `alias`: the name of the person of each identity that was identified. The data must be such that this is all: an
    identity is identified once, and what it is identified as is never identified as something else."""
    base.execute(
        "CREATE TEMP TABLE alias AS SELECT person, any_value(target) AS name, count(DISTINCT target) AS names "
        "FROM raw WHERE type = 'identify' GROUP BY person"
    )
    odd = "SELECT count(*) FROM alias WHERE names > 1 OR name IN (SELECT person FROM alias)"
    if base.execute(odd).fetchone()[0]:
        raise SystemExit("the records hold chains of identities, which the peers' table cannot be resolved for so simply")


def prepare(folder, records, threads):
    """Writes events.parquet, persons.parquet and meta.json into `folder`, unless they are there; returns what meta.json holds."""
    meta_file = folder / "meta.json"
    if meta_file.exists():
        return json.loads(meta_file.read_text())
    scratch = folder / "prepare.duckdb"
    scratch.unlink(missing_ok=True)
    base = connect(folder, threads, str(scratch))
    of_events, of_persons = property_names(base, records)
    base.execute(
        f"CREATE TABLE raw AS SELECT row_number() OVER () AS n, * FROM {reader(records, of_events + of_persons)}"
    )
    resolve(base)
    duplicates = _without_duplicates(base)
    base.execute(
        "CREATE TABLE ids AS SELECT name, (row_number() OVER (ORDER BY first) - 1)::UINTEGER AS person FROM ("
        "SELECT coalesce(a.name, r.person) AS name, min(n) AS first FROM raw r LEFT JOIN alias a USING (person) "
        "WHERE type = 'event' GROUP BY 1)"
    )
    columns = ", ".join(f"p.{column(n)} AS {column(n)}" for n in of_events)
    _write(
        base,
        f"SELECT i.person, event, t, {columns} FROM raw r LEFT JOIN alias a USING (person) "
        "JOIN ids i ON i.name = coalesce(a.name, r.person) WHERE type = 'event' ORDER BY n",
        folder / "events.parquet",
    )
    # The latest value counts; of two at one instant the one that came later.
    latest = (f"arg_max(p.{column(n)}, (t::HUGEINT * 4294967296) + n) AS {column(n)}" for n in of_persons)
    _write(
        base,
        f"SELECT i.person, i.name AS display, {', '.join(latest)} FROM ids i LEFT JOIN (SELECT coalesce(a.name, r.person) AS name, "
        "n, t, p FROM raw r LEFT JOIN alias a USING (person) WHERE type = 'set') s USING (name) GROUP BY i.person, i.name ORDER BY 1",
        folder / "persons.parquet",
    )
    counted = dict(base.execute("SELECT type, count(*) FROM raw GROUP BY 1").fetchall())
    events = "SELECT DISTINCT event FROM raw WHERE type = 'event'"
    first = lambda query: [row[0] for row in base.execute(query).fetchall()]
    meta = {
        "records": sum(counted.values()) + duplicates,
        "duplicates": duplicates,
        "events": counted["event"],
        "sets": counted.get("set", 0),
        "identifies": counted.get("identify", 0),
        "persons": first("SELECT count(*) FROM ids")[0],
        "names": first(f"{events} ORDER BY 1"),
        "paid": first(f"{events} AND p.{column(NUMBER)} IS NOT NULL ORDER BY 1"),
        "event_properties": of_events,
        "person_properties": of_persons,
        "record_bytes": Path(records).stat().st_size,
    }
    base.close()
    scratch.unlink()
    meta_file.write_text(json.dumps(meta, indent=1))
    return meta


def _without_duplicates(base):
    """Takes records out of `raw` that equal an earlier one in everything; returns how many."""
    key = "hash(type, person, event, t, target, p)"
    before = base.execute("SELECT count(*) FROM raw").fetchone()[0]
    base.execute(f"CREATE TEMP TABLE twice AS SELECT {key} AS h FROM raw GROUP BY 1 HAVING count(*) > 1")
    base.execute(
        f"DELETE FROM raw WHERE n IN (SELECT n FROM (SELECT n, row_number() OVER (PARTITION BY type, person, event, t, target, p ORDER BY n) "
        f"AS k FROM raw WHERE {key} IN (SELECT h FROM twice)) WHERE k > 1)"
    )
    return before - base.execute("SELECT count(*) FROM raw").fetchone()[0]


def _write(base, query, path):
    base.execute(f"COPY ({query}) TO {text(str(path))} (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 1000000)")
