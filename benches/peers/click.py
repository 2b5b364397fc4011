"""ClickHouse, embedded as chDB: the events in two tables, one by person and one by event, and several ways to put each question."""

import json
import shutil

from data import NUMBER, column, text
from questions import (
    ALL_OF, EXPERIMENT, FUNNEL, INDUSTRY, NONE_OF, PAGE, SINCE, SOURCE, USED, USED_FROM, USED_LEAST, USED_TO, WEEK, WEEKS,
)

TABLES = {"by_person": "(person, t)", "by_event": "(event, person, t)"}
A, B, C, D = map(text, FUNNEL)
STEPS = f"event IN ({A}, {B}, {C}, {D})"
COUNTS = ", ".join(f"countIf(t{k} > 0)" for k in (1, 2, 3, 4))
MEDIANS = ", ".join(f"quantileExactInclusiveIf(0.5)(t{k} - t{k - 1}, t{k} > 0) / 1000" for k in (2, 3, 4))
# Persons arrive in order there, so that groups need no table of hashes.
IN_ORDER = " SETTINGS optimize_aggregation_in_order = 1"


def _arrays(table, extra=""):
    """Each person's instants of each step as an array; then from step to step the first one that is not earlier. 0 is none."""
    columns = [f"minIf(t, event = {A}) AS t1"]
    for k, name in ((2, B), (3, C), (4, D)):
        later = f"arrayMin(arrayFilter(x -> x >= t{k - 1}, groupArrayIf(t, event = {name})))"
        columns.append(f"if(t{k - 1} > 0, {later}, 0) AS t{k}")
    return f"f AS (SELECT person, {', '.join(columns)} FROM {table} WHERE {STEPS}{extra} GROUP BY person HAVING t1 > 0)"


def _depth(table, window):
    steps = ", ".join(f"event = {name}" for name in (A, B, C, D))
    reached = ", ".join(f"countIf(d >= {k})" for k in (1, 2, 3, 4))
    return f"SELECT {reached} FROM (SELECT windowFunnel({window})(toUInt64(t), {steps}) AS d FROM {table} WHERE {STEPS} GROUP BY person)"


def _value(prop):
    return f"dictGet('facts', {text(prop)}, toUInt64(person))"


def _cohorts(table):
    month = "toYYYYMM(fromUnixTimestamp64Milli(first, 'UTC'))"
    firsts = f"s AS (SELECT person, min(t) AS first FROM {table} WHERE event = 'Signed Up' GROUP BY person)"
    sizes = f"SELECT {month} AS m, toInt64(-1) AS w, count() AS n FROM s GROUP BY m"
    back = f"(SELECT person, t FROM {table} WHERE event = 'Logged In') AS e JOIN s USING person WHERE t >= first AND t - first < {WEEKS * WEEK}"
    for name in ("uniqExact", "groupBitmap"):
        yield name, f"WITH {firsts} {sizes} UNION ALL SELECT {month} AS m, intDiv(t - first, {WEEK}) AS w, {name}(person) AS n FROM {back} GROUP BY m, w"
    inside = f"arrayFilter(x -> x >= first AND x - first < {WEEKS * WEEK}, groupArrayIf(t, event = 'Logged In'))"
    weeks = f"arrayDistinct(arrayMap(x -> intDiv(x - first, {WEEK}), {inside}))"
    each = (
        f"SELECT minIf(t, event = 'Signed Up') AS first, arrayPushFront({weeks}, toInt64(-1)) AS ws FROM {table} "
        "WHERE event IN ('Signed Up', 'Logged In') GROUP BY person HAVING first > 0"
    )
    yield "arrays", f"SELECT {month} AS m, arrayJoin(ws) AS w, count() FROM ({each}) GROUP BY m, w"


def _revenue(table, condition):
    paid = f"SELECT person, sum({NUMBER}) AS r, max({NUMBER}) > 0 AS pays FROM {table} WHERE {condition} GROUP BY person"
    months = f"SELECT toYYYYMM(fromUnixTimestamp64Milli(t, 'UTC')) AS m, sum({NUMBER}) FROM {table} WHERE {condition} GROUP BY m"
    yield "facts", [
        months,
        f"SELECT v, sum(r), sum(n), sum(k) FROM (SELECT {column(SOURCE)} AS v, 0 AS r, count() AS n, 0 AS k FROM persons GROUP BY v UNION ALL "
        f"SELECT {_value(SOURCE)} AS v, sum(r), 0 AS n, countIf(pays) AS k FROM ({paid}) GROUP BY v) GROUP BY v",
    ]
    yield "join", [
        months,
        f"SELECT {column(SOURCE)} AS v, sum(r), count(), countIf(pays) FROM persons LEFT JOIN ({paid}) AS x USING person GROUP BY v",
    ]


def _search(table):
    used = f"SELECT person FROM {table} WHERE event = {text(USED)} AND t >= {USED_FROM} AND t < {USED_TO}"
    gone = f"person NOT IN (SELECT person FROM {table} WHERE event = {text(NONE_OF)})"
    healthy = f"person IN (SELECT person FROM persons WHERE \"Industry\" = {text(INDUSTRY)})"
    page = f"SELECT count(), arraySlice(arraySort(groupArray(person)), 1, {PAGE}) FROM"
    often = f"GROUP BY person HAVING count() >= {USED_LEAST}"
    yield "in", f"{page} ({used} {often} AND {healthy} AND {gone})"
    yield "before", f"{page} ({used} AND {healthy} AND {gone} {often})"
    yield "facts", f"{page} ({used} {often} AND {_value('Industry')} = {text(INDUSTRY)} AND {gone})"


def _sets(table):
    names = list(map(text, [*ALL_OF, NONE_OF]))
    one = [f"groupBitmapStateIf(person, event = {n})" for n in names]
    apart = [f"(SELECT groupBitmapState(person) FROM {table} WHERE event = {n})" for n in names]
    kept = [f"(SELECT groupBitmapMergeState(who) FROM did WHERE event = {n})" for n in names]
    joined = lambda a, b, c, d: f"SELECT bitmapAndnotCardinality(bitmapAnd(bitmapAnd({a}, {b}), {c}), {d})"
    yield "bitmaps", f"{joined(*one)} FROM {table} WHERE event IN ({', '.join(names)})"
    yield "bitmaps apart", joined(*apart)
    if table == "by_event":
        yield "bitmaps kept", joined(*kept)
    having = " AND ".join(f"max(event = {n})" for n in names[:3])
    yield "grouped", (
        f"SELECT count() FROM (SELECT person FROM {table} WHERE event IN ({', '.join(names)}) GROUP BY person HAVING {having} AND NOT max(event = {names[3]}))"
    )


def forms(meta):
    """question -> name of a formulation -> SQL, or a list of two."""
    made = {q: {} for q in ("Q1", "Q1c", "Q2", "Q3", "Q4", "Q5", "Q6", "Q7", "Q8", "Q9")}
    paid = f"event IN ({', '.join(map(text, meta['paid']))})"
    for table in TABLES:
        since = f"person IN (SELECT person FROM {table} WHERE t >= {SINCE})"
        for key, end in ((table, ""), (f"{table} in order", IN_ORDER)) if table == "by_person" else ((table, ""),):
            found = f"WITH {_arrays(table)} SELECT"
            made["Q1"][key] = f"{found} {COUNTS}, {MEDIANS} FROM f{end}"
            made["Q1c"][f"arrays {key}"] = f"{found} {COUNTS} FROM f{end}"
            made["Q1c"][f"windowFunnel {key}"] = _depth(table, 10**12) + end
            made["Q2"][f"windowFunnel {key}"] = _depth(table, WEEK) + end
            for question, prop, where in (("Q3", SOURCE, ""), ("Q6", EXPERIMENT, f"WHERE {since} ")):
                made[question][f"facts {key}"] = f"{found} {_value(prop)} AS v, {COUNTS}, {MEDIANS} FROM f {where}GROUP BY v{end}"
                made[question][f"join {key}"] = (
                    f"{found} p.v, {COUNTS}, {MEDIANS} FROM f JOIN (SELECT person, {column(prop)} AS v FROM persons) AS p USING person {where}GROUP BY p.v{end}"
                )
            early = f"WITH {_arrays(table, f' AND {since}')} SELECT"
            made["Q6"][f"early {key}"] = f"{early} {_value(EXPERIMENT)} AS v, {COUNTS}, {MEDIANS} FROM f GROUP BY v{end}"
        for question, ways in (("Q4", _cohorts), ("Q8", _search), ("Q9", _sets)):
            made[question] |= {f"{name} {table}": sql for name, sql in ways(table)}
        made["Q5"] |= {f"{name} {table}": sql for name, sql in _revenue(table, paid)}
    made["Q7"]["by_person"] = "SELECT * FROM by_person WHERE person = {} ORDER BY t"
    return made


class Peer:
    """A session of chDB in a folder of its own."""

    title = "ClickHouse"

    def __init__(self, folder, meta, threads):
        self.meta, self.threads, self.source = meta, threads, folder
        self.folder = folder / "clickhouse"
        self.done = folder / "clickhouse.done"
        self.forms = forms(meta)

    def version(self):
        import chdb

        return str(chdb.query("SELECT version()", "TSV")).strip()

    def is_loaded(self):
        return self.done.exists()

    def open(self):
        from chdb import session

        self.session = session.Session(str(self.folder))
        self._do("CREATE DATABASE IF NOT EXISTS bench")
        self._do("USE bench")
        self._do(f"SET max_threads = {self.threads}, max_insert_threads = {self.threads}")

    def _do(self, sql):
        return self.session.query(sql, "JSONCompactEachRow")

    def _bytes(self, table):
        return self.run(f"SELECT toUInt64(sum(bytes_on_disk)) FROM system.parts WHERE active AND database = 'bench' AND table = '{table}'")[0][0]

    def load(self):
        """Both tables, the persons as a table and as a dictionary, and who did what as bitmaps; bytes of each."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.open()
        words = "LowCardinality(String)"
        properties = [(n, "Nullable(Float64)" if n == NUMBER else words) for n in self.meta["event_properties"]]
        events, persons = (text(str(self.source / name)) for name in ("events.parquet", "persons.parquet"))
        filled = ", ".join(column(n) if n == NUMBER else f"ifNull({column(n)}, '')" for n, _ in properties)
        for table, order in TABLES.items():
            columns = ", ".join(f"{column(n)} {kind}" for n, kind in properties)
            self._do(f"CREATE TABLE {table} (person UInt32, event {words}, t Int64, {columns}) ENGINE = MergeTree ORDER BY {order}")
            self._do(f"INSERT INTO {table} SELECT person, event, t, {filled} FROM file({events}, Parquet)")
            self._do(f"OPTIMIZE TABLE {table} FINAL")
        facts = self.meta["person_properties"]
        columns = ", ".join(f"{column(n)} {words}" for n in facts)
        filled = ", ".join(f"ifNull({column(n)}, '')" for n in facts)
        self._do(f"CREATE TABLE persons (person UInt32, display String, {columns}) ENGINE = MergeTree ORDER BY person")
        self._do(f"INSERT INTO persons SELECT person, display, {filled} FROM file({persons}, Parquet)")
        self._do("OPTIMIZE TABLE persons FINAL")
        self._do(
            f"CREATE DICTIONARY facts (person UInt64, {', '.join(f'{column(n)} String' for n in facts)}) PRIMARY KEY person SOURCE(CLICKHOUSE(DB 'bench' TABLE 'persons')) "
            f"LAYOUT(FLAT(INITIAL_ARRAY_SIZE {self.meta['persons']} MAX_ARRAY_SIZE {self.meta['persons'] + 1})) LIFETIME(0)"
        )
        self._do("CREATE TABLE did (event LowCardinality(String), who AggregateFunction(groupBitmap, UInt32)) ENGINE = AggregatingMergeTree ORDER BY event SETTINGS index_granularity = 1")
        self._do("INSERT INTO did SELECT event, groupBitmapState(person) FROM by_event GROUP BY event")
        sizes = {table: self._bytes(table) for table in (*TABLES, "persons", "did")}
        self.session.close()
        self.done.touch()
        return sizes

    def load_records(self, records):
        """From the records to a table of events in order, with persons resolved: what an import is for this system."""
        shutil.rmtree(self.folder.with_suffix(".import"), ignore_errors=True)
        self.folder = self.folder.with_suffix(".import")
        self.open()
        names = self.meta["event_properties"]
        kinds = ", ".join(f"{column(n)} {'Nullable(Float64)' if n == NUMBER else 'String'}" for n in names)
        low = kinds.replace(" String", " LowCardinality(String)")
        fields = ", ".join(f"tupleElement(properties, {text(n)})" for n in names)
        self._do(f"CREATE TABLE raw (type LowCardinality(String), person String, event LowCardinality(String), t Int64, target String, {low}) ENGINE = MergeTree ORDER BY tuple()")
        self._do(
            f"INSERT INTO raw SELECT type, person, event, toInt64(round(time * 1000)), identity, {fields} FROM file({text(str(records))}, JSONEachRow, "
            f"{text(f'type String, person String, event String, time Float64, identity String, properties Tuple({kinds})')})"
        )
        self._do(f"CREATE TABLE events (person UInt64, event LowCardinality(String), t Int64, {low}) ENGINE = MergeTree ORDER BY (person, t)")
        columns = ", ".join(f"r.{column(n)}" for n in names)
        self._do(
            f"INSERT INTO events SELECT cityHash64(if(a.name = '', r.person, a.name)), r.event, r.t, {columns} FROM raw AS r LEFT JOIN "
            "(SELECT person, any(target) AS name FROM raw WHERE type = 'identify' GROUP BY person) AS a ON r.person = a.person WHERE r.type = 'event'"
        )
        self._do("OPTIMIZE TABLE events FINAL")
        size = self._bytes("events")
        self.session.close()
        shutil.rmtree(self.folder)
        return size

    def run(self, sql):
        """The rows of one query."""
        return [json.loads(line) for line in str(self._do(sql)).splitlines()]
