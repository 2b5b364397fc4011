"""DuckDB: the events in two tables, one by person and one by event, and several ways to put each question."""

from data import NUMBER, column, connect, reader, resolve, text
from questions import (
    ALL_OF, DAY, EXPERIMENT, FUNNEL, INDUSTRY, NONE_OF, PAGE, SINCE, SOURCE, USED, USED_FROM, USED_LEAST, USED_TO, WEEK, WEEKS,
)

TABLES = {"by_person": "person, t", "by_event": "event, person, t"}
# A text column with at most so many values is an ENUM.
ENUM_VALUES_MAX = 10_000
A, B, C, D = map(text, FUNNEL)
STEPS = f"event IN ({A}, {B}, {C}, {D})"
COUNTS = "count(t1), count(t2), count(t3), count(t4)"
MEDIANS = ", ".join(f"median(t{k} - t{k - 1}) / 1000" for k in (2, 3, 4))


def _lists(table):
    """Each person's instants of each step as a list; then from step to step the first one that is not earlier."""
    lists = ", ".join(f"list(t) FILTER (event = {name}) AS l{k}" for k, name in ((2, B), (3, C), (4, D)))
    made = [f"f1 AS (SELECT person, min(t) FILTER (event = {A}) AS t1, {lists} FROM {table} WHERE {STEPS} GROUP BY person HAVING t1 IS NOT NULL)"]
    for k in (2, 3, 4):
        made.append(f"f{k} AS (SELECT *, list_min(list_filter(l{k}, lambda x: x >= t{k - 1})) AS t{k} FROM f{k - 1})")
    return ", ".join(made)


def _nearest(table):
    """A join to the nearest later row for each step."""
    made = [f"f1 AS (SELECT person, min(t) AS t1 FROM {table} WHERE event = {A} GROUP BY person)"]
    for k, name in ((2, B), (3, C), (4, D)):
        made.append(
            f"f{k} AS (SELECT f{k - 1}.*, e.t AS t{k} FROM f{k - 1} ASOF LEFT JOIN (SELECT person, t FROM {table} WHERE event = {name}) e "
            f"ON f{k - 1}.person = e.person AND f{k - 1}.t{k - 1} <= e.t)"
        )
    return ", ".join(made)


def _joined(table):
    """For each step only those who got to the one before, grouped; all joined at the end."""
    made = [f"s1 AS (SELECT person, min(t) AS t1 FROM {table} WHERE event = {A} GROUP BY person)"]
    for k, name in ((2, B), (3, C), (4, D)):
        made.append(
            f"s{k} AS (SELECT person, min(t) AS t{k} FROM {table} JOIN s{k - 1} USING (person) "
            f"WHERE event = {name} AND t >= t{k - 1} GROUP BY person)"
        )
    made.append("f4 AS (SELECT * FROM s1 LEFT JOIN s2 USING (person) LEFT JOIN s3 USING (person) LEFT JOIN s4 USING (person))")
    return ", ".join(made)


def _within(table):
    """The latest start from which each step can be reached decides about the window: two ways."""
    of = lambda name: f"(SELECT person, t FROM {table} WHERE event = {name})"
    chain = [f"s2 AS (SELECT e.person, e.t, s.t AS start FROM {of(B)} e ASOF JOIN {of(A)} s ON e.person = s.person AND e.t >= s.t)"]
    for k, name in ((3, C), (4, D)):
        chain.append(f"s{k} AS (SELECT e.person, e.t, s.start FROM {of(name)} e ASOF JOIN s{k - 1} s ON e.person = s.person AND e.t >= s.t)")
    reached = ", ".join(f"(SELECT count(DISTINCT person) FROM s{k} WHERE t - start <= {WEEK})" for k in (2, 3, 4))
    yield "nearest", f"WITH {', '.join(chain)} SELECT (SELECT count(DISTINCT person) FROM {of(A)}), {reached}"
    over = "OVER (PARTITION BY person ORDER BY t, k ROWS UNBOUNDED PRECEDING)"
    steps = f"SELECT person, t, CASE event WHEN {A} THEN 1 WHEN {B} THEN 2 WHEN {C} THEN 3 ELSE 4 END AS k FROM {table} WHERE {STEPS}"
    levels = [f"w0 AS ({steps})", f"w1 AS (SELECT *, max(CASE WHEN k = 1 THEN t END) {over} AS r1 FROM w0)"]
    levels += [f"w{k} AS (SELECT *, max(CASE WHEN k = {k} THEN r{k - 1} END) {over} AS r{k} FROM w{k - 1})" for k in (2, 3)]
    depth = [f"bool_or(k = {k} AND t - r{k - 1} <= {WEEK}) AS d{k}" for k in (2, 3, 4)]
    levels.append(f"w AS (SELECT bool_or(k = 1) AS d1, {', '.join(depth)} FROM w3 GROUP BY person)")
    yield "windows", f"WITH {', '.join(levels)} SELECT count(*) FILTER (d1), count(*) FILTER (d2), count(*) FILTER (d3), count(*) FILTER (d4) FROM w"


def _cohorts(table):
    month = "(year(make_timestamp(first * 1000)) * 100 + month(make_timestamp(first * 1000)))"
    firsts = f"s AS (SELECT person, min(t) AS first FROM {table} WHERE event = 'Signed Up' GROUP BY person)"
    sizes = f"SELECT {month} AS m, -1 AS w, count(*) AS n FROM s GROUP BY ALL"
    back = f"FROM {table} JOIN s USING (person) WHERE event = 'Logged In' AND t >= first AND t - first < {WEEKS * WEEK}"
    week = f"((t - first) // {WEEK})"
    yield "distinct", f"WITH {firsts} {sizes} UNION ALL SELECT {month}, {week}, count(DISTINCT person) {back} GROUP BY 1, 2"
    bits = f"b AS (SELECT any_value({month}) AS m, bit_or(1::UINTEGER << {week}::UINTEGER) AS bits {back} GROUP BY person)"
    yield "bits", (
        f"WITH {firsts}, {bits} {sizes} UNION ALL SELECT m, w, count(*) FILTER ((bits >> w::UINTEGER) & 1 = 1) "
        f"FROM b, range({WEEKS}) AS r(w) GROUP BY ALL"
    )


def _revenue(table, condition):
    month = "year(make_timestamp(t * 1000)) * 100 + month(make_timestamp(t * 1000))"
    return [
        f"SELECT {month}, sum({NUMBER}) FROM {table} WHERE {condition} GROUP BY 1",
        f"SELECT coalesce({column(SOURCE)}::VARCHAR, ''), coalesce(sum(r), 0), count(*), count(*) FILTER (most > 0) FROM persons LEFT JOIN "
        f"(SELECT person, sum({NUMBER}) AS r, max({NUMBER}) AS most FROM {table} WHERE {condition} GROUP BY person) USING (person) GROUP BY 1",
    ]


def _search(table):
    used = f"SELECT person FROM {table} WHERE event = {text(USED)} AND t >= {USED_FROM} AND t < {USED_TO} GROUP BY person HAVING count(*) >= {USED_LEAST}"
    healthy = f"SELECT person FROM persons WHERE \"Industry\" = {text(INDUSTRY)}"
    gone = f"SELECT person FROM {table} WHERE event = {text(NONE_OF)}"
    yield "in", (
        f"WITH s AS ({used} AND person IN ({healthy}) AND person NOT IN ({gone})) "
        f"SELECT (SELECT count(*) FROM s), (SELECT list(person ORDER BY person) FROM (SELECT person FROM s ORDER BY person LIMIT {PAGE}))"
    )
    yield "joins", (
        f"WITH s AS (SELECT * FROM ({used}) SEMI JOIN ({healthy}) USING (person) ANTI JOIN ({gone}) USING (person)) "
        f"SELECT count(*), list_slice(list(person ORDER BY person), 1, {PAGE}) FROM s"
    )


def _sets(table):
    of = lambda name: f"SELECT person FROM {table} WHERE event = {text(name)}"
    yield "sets", f"SELECT count(*) FROM ({' INTERSECT '.join(f'({of(n)})' for n in ALL_OF)} EXCEPT ({of(NONE_OF)}))"
    names = ", ".join(map(text, [*ALL_OF, NONE_OF]))
    all_of = " AND ".join(f"bool_or(event = {text(n)})" for n in ALL_OF)
    yield "grouped", (
        f"SELECT count(*) FROM (SELECT person FROM {table} WHERE event IN ({names}) GROUP BY person HAVING {all_of} AND NOT bool_or(event = {text(NONE_OF)}))"
    )
    first, *others = reversed(ALL_OF)
    also = " ".join(f"AND person IN ({of(n)})" for n in others)
    yield "in", f"SELECT count(DISTINCT person) FROM {table} WHERE event = {text(first)} {also} AND person NOT IN ({of(NONE_OF)})"


def forms(meta):
    """question -> name of a formulation -> SQL, or a list of two."""
    made = {q: {} for q in ("Q1", "Q1c", "Q2", "Q3", "Q4", "Q5", "Q6", "Q7", "Q8", "Q9")}
    paid = f"event IN ({', '.join(map(text, meta['paid']))})"
    for table in TABLES:
        for name, way in (("lists", _lists), ("nearest", _nearest), ("joined", _joined)):
            key, found = f"{name} {table}", f"WITH {way(table)} SELECT"
            made["Q1"][key] = f"{found} {COUNTS}, {MEDIANS} FROM f4"
            made["Q1c"][key] = f"{found} {COUNTS} FROM f4"
            by = lambda prop: f"{found} coalesce({column(prop)}::VARCHAR, ''), {COUNTS}, {MEDIANS} FROM f4 JOIN persons USING (person)"
            made["Q3"][key] = f"{by(SOURCE)} GROUP BY 1"
            made["Q6"][key] = f"{by(EXPERIMENT)} WHERE person IN (SELECT person FROM {table} WHERE t >= {SINCE}) GROUP BY 1"
        for question, ways in (("Q2", _within), ("Q4", _cohorts), ("Q8", _search), ("Q9", _sets)):
            made[question] |= {f"{name} {table}": sql for name, sql in ways(table)}
        made["Q5"][f"events {table}"] = _revenue(table, paid)
        made["Q5"][f"amounts {table}"] = _revenue(table, f"{NUMBER} IS NOT NULL")
    made["Q7"]["by_person"] = "SELECT * FROM by_person WHERE person = {} ORDER BY t"
    return made


class Peer:
    """One database file; everything in one process, as the library is meant to be used."""

    title = "DuckDB"

    def __init__(self, folder, meta, threads):
        self.folder, self.meta, self.threads = folder, meta, threads
        self.file = folder / "duckdb.db"
        self.forms = forms(meta)

    def version(self):
        import duckdb

        return duckdb.__version__

    def is_loaded(self):
        return self.file.exists()

    def load(self):
        """Both tables and the persons, from Parquet; bytes of each table alone."""
        sizes = {}
        partial = self.folder / "duckdb.partial"
        partial.unlink(missing_ok=True)
        base = connect(self.folder, self.threads, str(partial))
        size = lambda: partial.stat().st_size
        before = 0
        events, persons = (f"read_parquet({text(str(self.folder / name))})" for name in ("events.parquet", "persons.parquet"))
        columns = self._columns(base, "e", events, ["event", *self.meta["event_properties"]])
        for table, order in TABLES.items():
            base.execute(f"CREATE TABLE {table} AS SELECT person, t, {columns} FROM {events} ORDER BY {order}")
            base.execute("CHECKPOINT")
            sizes[table] = size() - before
            before = size()
        columns = self._columns(base, "p", persons, self.meta["person_properties"])
        base.execute(f"CREATE TABLE persons AS SELECT person, display, {columns} FROM {persons} ORDER BY person")
        base.close()
        sizes["persons"] = size() - before
        partial.rename(self.file)
        return sizes

    def _columns(self, base, prefix, source, names):
        made = []
        for at, name in enumerate(names):
            quoted = column(name)
            values = [] if name == NUMBER else base.execute(
                f"SELECT DISTINCT {quoted} FROM {source} WHERE {quoted} IS NOT NULL ORDER BY 1 LIMIT {ENUM_VALUES_MAX + 1}"
            ).fetchall()
            if 0 < len(values) <= ENUM_VALUES_MAX:
                base.execute(f"CREATE TYPE {prefix}{at} AS ENUM ({', '.join(text(v) for (v,) in values)})")
                made.append(f"{quoted}::{prefix}{at} AS {quoted}")
            else:
                made.append(quoted)
        return ", ".join(made)

    def load_records(self, records):
        """From the records to a table of events in order, with persons resolved: what an import is for this system."""
        file = self.folder / "duckdb.import"
        file.unlink(missing_ok=True)
        base = connect(self.folder, self.threads, str(file))
        source = reader(records, self.meta["event_properties"])
        base.execute(f"CREATE TEMP TABLE raw AS SELECT * FROM {source}")
        resolve(base)
        base.execute(
            "CREATE TEMP TABLE ids AS SELECT name, row_number() OVER () - 1 AS id FROM (SELECT DISTINCT coalesce(a.name, r.person) AS name "
            "FROM raw r LEFT JOIN alias a USING (person) WHERE type = 'event')"
        )
        columns = ", ".join(f"p.{column(n)} AS {column(n)}" for n in self.meta["event_properties"])
        base.execute(
            f"CREATE TABLE events AS SELECT id::UINTEGER AS person, event, t, {columns} FROM raw r LEFT JOIN alias a USING (person) "
            "JOIN ids ON ids.name = coalesce(a.name, r.person) WHERE type = 'event' ORDER BY 1, t"
        )
        base.execute("CHECKPOINT")
        base.close()
        size = file.stat().st_size
        file.unlink()
        return size

    def open(self):
        import duckdb

        self.base = duckdb.connect(str(self.file), read_only=True, config={"threads": self.threads})

    def run(self, sql):
        """The rows of one query."""
        return self.base.execute(sql).fetchall()
