"""SQLite: one table of events with two indexes, one way to put each question. It is here to show what a general store of rows costs."""

import sqlite3

import pyarrow.parquet as parquet

from data import NUMBER, column, text
from questions import (
    ALL_OF, EXPERIMENT, FUNNEL, INDUSTRY, NONE_OF, PAGE, SINCE, SOURCE, USED, USED_FROM, USED_LEAST, USED_TO, WEEK, WEEKS,
)

MONTH = "CAST(strftime('%Y%m', {} / 1000, 'unixepoch') AS INTEGER)"


class Peer:
    """One database file."""

    title = "SQLite"

    def __init__(self, folder, meta, threads):
        self.folder, self.meta, self.threads = folder, meta, threads
        self.file = folder / "sqlite.db"
        self.code = {name: at for at, name in enumerate(meta["names"])}
        self.forms = self._forms()

    def version(self):
        return sqlite3.sqlite_version

    def is_loaded(self):
        return self.file.exists()

    def load(self):
        """Events, persons and indexes; bytes of the file, and of the events in it without the indexes."""
        partial = self.folder / "sqlite.partial"
        partial.unlink(missing_ok=True)
        base = sqlite3.connect(partial, isolation_level=None)
        for pragma in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -1000000"):
            base.execute(f"PRAGMA {pragma}")
        self._copy(base, "events", "event INTEGER, person INTEGER, t INTEGER", ["person", "event", "t"], self.meta["event_properties"])
        sizes = {"events": partial.stat().st_size}
        base.execute("CREATE INDEX did ON events (event, person, t)")
        base.execute("CREATE INDEX person ON events (person, t)")
        base.execute("CREATE INDEX time ON events (t, person)")
        base.execute(f"CREATE INDEX paid ON events (person, t, {NUMBER}) WHERE {NUMBER} IS NOT NULL")
        self._copy(base, "persons", "person INTEGER PRIMARY KEY, display TEXT", ["person", "display"], self.meta["person_properties"])
        base.execute("ANALYZE")
        base.close()
        sizes["indexes and persons"] = partial.stat().st_size - sizes["events"]
        partial.rename(self.file)
        return sizes

    def _copy(self, base, table, fixed, keys, names):
        kinds = (f"{column(n)} {'REAL' if n == NUMBER else 'TEXT'}" for n in names)
        base.execute(f"CREATE TABLE {table} ({', '.join([fixed, *kinds])})")
        columns = ", ".join(column(n) for n in [*keys, *names])
        insert = f"INSERT INTO {table} ({columns}) VALUES ({', '.join('?' * (len(keys) + len(names)))})"
        base.execute("BEGIN")
        for batch in parquet.ParquetFile(self.folder / f"{table}.parquet").iter_batches(200_000, columns=[*keys, *names]):
            rows = batch.to_pydict()
            if "event" in rows:
                rows["event"] = [self.code[name] for name in rows["event"]]
            base.executemany(insert, zip(*rows.values()))
        base.execute("COMMIT")

    def open(self):
        self.base = sqlite3.connect(f"file:{self.file}?mode=ro", uri=True)
        self.base.execute("PRAGMA mmap_size = 100000000000")
        self.base.execute("PRAGMA cache_size = -1000000")
        self.base.execute(f"PRAGMA threads = {self.threads}")

    def run(self, sql):
        """The rows of one query."""
        return self.base.execute(sql).fetchall()

    def _funnel(self):
        """A look-up in the index for each person and step."""
        codes = [self.code.get(name, -1) for name in FUNNEL]
        made = [f"f1 AS MATERIALIZED (SELECT person, min(t) AS t1 FROM events WHERE event = {codes[0]} GROUP BY person)"]
        for k in (2, 3, 4):
            later = f"SELECT min(t) FROM events e WHERE e.event = {codes[k - 1]} AND e.person = f.person AND e.t >= f.t{k - 1}"
            made.append(f"f{k} AS MATERIALIZED (SELECT *, ({later}) AS t{k} FROM f{k - 1} f)")
        return "WITH " + ", ".join(made)

    def _medians(self, value, source):
        """Rows of value, step, people, median; step 1 has no median."""
        parts = [f"SELECT {value} AS v, 1, count(*), NULL FROM {source} GROUP BY 1"]
        for k in (2, 3, 4):
            ranked = (
                f"SELECT {value} AS v, t{k} - t{k - 1} AS d, row_number() OVER (PARTITION BY {value} ORDER BY t{k} - t{k - 1}) AS r, "
                f"count(*) OVER (PARTITION BY {value}) AS n FROM {source} WHERE t{k} IS NOT NULL"
            )
            parts.append(f"SELECT v, {k}, max(n), avg(d) FILTER (WHERE r IN ((n + 1) / 2, (n + 2) / 2)) / 1000 FROM ({ranked}) GROUP BY v")
        return " UNION ALL ".join(parts)

    def _within(self):
        codes = [self.code.get(name, -1) for name in FUNNEL]
        step = f"CASE event {' '.join(f'WHEN {c} THEN {k}' for k, c in enumerate(codes, 1))} END"
        over = "OVER (PARTITION BY person ORDER BY t, k ROWS UNBOUNDED PRECEDING)"
        levels = [f"w0 AS (SELECT person, t, {step} AS k FROM events WHERE event IN ({', '.join(map(str, codes))}))"]
        levels.append(f"w1 AS (SELECT *, max(CASE WHEN k = 1 THEN t END) {over} AS r1 FROM w0)")
        levels += [f"w{k} AS (SELECT *, max(CASE WHEN k = {k} THEN r{k - 1} END) {over} AS r{k} FROM w{k - 1})" for k in (2, 3)]
        depth = ", ".join(f"max(k = {k} AND t - r{k - 1} <= {WEEK}) AS d{k}" for k in (2, 3, 4))
        levels.append(f"w AS (SELECT max(k = 1) AS d1, {depth} FROM w3 GROUP BY person)")
        return f"WITH {', '.join(levels)} SELECT {', '.join(f'sum(coalesce(d{k}, 0))' for k in (1, 2, 3, 4))} FROM w"

    def _forms(self):
        code = lambda name: self.code.get(name, -1)
        funnel = self._funnel()
        value = lambda prop: f"coalesce({column(prop)}, '')"
        joined = lambda prop, where="": f"(SELECT {value(prop)} AS x, f4.* FROM f4 JOIN persons USING (person){where})"
        seen = f" WHERE person IN (SELECT person FROM events WHERE t >= {SINCE})"
        firsts = f"WITH s AS MATERIALIZED (SELECT person, min(t) AS first FROM events WHERE event = {code('Signed Up')} GROUP BY person)"
        back = f"s CROSS JOIN events e ON e.event = {code('Logged In')} AND e.person = s.person AND e.t >= first AND e.t < first + {WEEKS * WEEK}"
        used = (
            f"SELECT person FROM events WHERE event = {code(USED)} AND t >= {USED_FROM} AND t < {USED_TO} GROUP BY person HAVING count(*) >= {USED_LEAST}"
        )
        did = lambda name: f"SELECT person FROM events WHERE event = {code(name)}"
        found = f"SELECT person FROM ({used}) JOIN persons USING (person) WHERE Industry = {text(INDUSTRY)} AND person NOT IN ({did(NONE_OF)})"
        paid = f"SELECT person, sum({NUMBER}) AS r, max({NUMBER}) > 0 AS pays FROM events WHERE {NUMBER} IS NOT NULL GROUP BY person"
        queries = {
            "Q1": f"{funnel} {self._medians(repr(''), 'f4')}",
            "Q1c": f"{funnel} SELECT count(t1), count(t2), count(t3), count(t4) FROM f4",
            "Q2": self._within(),
            "Q3": f"{funnel} {self._medians('x', joined(SOURCE))}",
            "Q4": f"{firsts} SELECT {MONTH.format('first')}, -1, count(*) FROM s GROUP BY 1 UNION ALL "
            f"SELECT {MONTH.format('first')}, (e.t - first) / {WEEK}, count(DISTINCT s.person) FROM {back} GROUP BY 1, 2",
            "Q5": [
                f"SELECT {MONTH.format('t')}, sum({NUMBER}) FROM events WHERE {NUMBER} IS NOT NULL GROUP BY 1",
                f"SELECT {value(SOURCE)}, coalesce(sum(r), 0), count(*), coalesce(sum(pays), 0) FROM persons LEFT JOIN ({paid}) USING (person) GROUP BY 1",
            ],
            "Q6": f"{funnel} {self._medians('x', joined(EXPERIMENT, seen))}",
            "Q7": "SELECT * FROM events WHERE person = {} ORDER BY t",
            "Q8": f"WITH s AS MATERIALIZED ({found}) SELECT (SELECT count(*) FROM s), "
            f"(SELECT json_group_array(person) FROM (SELECT person FROM s ORDER BY person LIMIT {PAGE}))",
            "Q9": f"SELECT count(*) FROM ({' INTERSECT '.join(did(n) for n in ALL_OF)} EXCEPT {did(NONE_OF)})",
        }
        return {question: {"only": sql} for question, sql in queries.items()}
