"""whodid while much is going on: merges that no compaction has settled yet, and events that come in durably meanwhile."""

import json
import multiprocessing
import random

import duckdb

from client import drive, quantile
from data import text
from questions import ASKED, FUNNEL, NAMED, same
from whodid import Server, request, watched

MERGES_MAX = 1_000_000
# Records of one import request.
BATCH = 50_000
# 2025, in seconds.
YEAR = (1_735_689_600, 1_767_225_600)
RATE, CONNECTIONS, SECONDS = 5_000, 16, 20
# Events that lie in memory while all questions are asked, and events of which no question is.
RECENT, OTHERS = 30_000, {"Page View", "Viewed Dashboard", "Visited Site"}


def _lines(records):
    return "".join(json.dumps(record, separators=(",", ":")) + "\n" for record in records).encode()


def _visits(count):
    chance = random.Random(11)
    for number in range(count):
        at = chance.randrange(YEAR[0] * 1000, YEAR[1] * 1000) / 1000
        yield {"type": "event", "person": f"strayed-{number}", "event": FUNNEL[0], "time": at}


def _identifies(count, names):
    for number in range(count):
        yield {"type": "identify", "person": f"strayed-{number}", "identity": names[number % len(names)], "time": YEAR[1]}


def _timed(server, question, rounds):
    """First, least and median milliseconds."""
    first, *others = (server.time(question) * 1e3 for _ in range(rounds + 1))
    return {"first": first, "least": min(others), "median": quantile(sorted(others), 0.5)}


def merges(store, folder, meta, rounds, say):
    """Q1 in three states: strangers with a visit each, settled; each of them joined to somebody, not settled; settled."""
    count = min(MERGES_MAX, meta["persons"])
    names = [n for (n,) in duckdb.execute(f"SELECT display FROM {text(str(folder / 'persons.parquet'))} ORDER BY person").fetchall()]
    copy = store.copy(folder / "store-merges")
    visits = folder / "strayed.ndjson"
    with open(visits, "wb") as out:
        out.write(_lines(_visits(count)))
    watched(copy.command("import", visits))
    visits.unlink()
    copy.compact()
    found = {"merges": count}
    with Server(copy) as server:
        server.time("Q1")
        found["before"] = _timed(server, "Q1", rounds)
        records = list(_identifies(count, names))
        for at in range(0, count, BATCH):
            server.send(request("POST", "/api/v1/import", _lines(records[at : at + BATCH])))
        stats = server.get("/api/v1/stats")
        if stats["since_start"]["merges"] != count:
            raise SystemExit(f"{count} merges were asked for: {stats}")
        found["uncompacted"] = _timed(server, "Q1", rounds) | {"segments": stats["segments"]}
        answer = server.ask("Q1")[1]
        server.compact()
        found["compacted"] = _timed(server, "Q1", rounds)
        if not same(answer, server.ask("Q1")[1]):
            raise SystemExit("the answers to Q1 before and after the compaction differ")
    copy.remove()
    say(f"Q1 after {count} merges: " + ", ".join(f"{k} {v['least']:.2f} ms" for k, v in found.items() if k != "merges"))
    return found


def _recent(names):
    """Events of all kinds of known people, and strangers who turn out to be one of them."""
    chance = random.Random(12)
    kinds = sorted({event for events in NAMED.values() for event in events} | OTHERS)
    for number in range(RECENT):
        at = chance.randrange(YEAR[0] * 1000, YEAR[1] * 1000) / 1000
        event = {"type": "event", "person": chance.choice(names), "event": chance.choice(kinds), "time": at}
        yield event | ({"properties": {"Revenue": chance.randrange(100, 9900) / 100}} if event["event"] == "Billed" else {})
        if number % 100 == 0:
            yield {"type": "identify", "person": f"passer-by-{number}", "identity": event["person"], "time": at}


def recent(store, folder, rounds, say):
    """Each question settled, and while rows are in memory that no flush has written; the answers must not change by a compaction."""
    names = [n for (n,) in duckdb.execute(f"SELECT display FROM {text(str(folder / 'persons.parquet'))} ORDER BY person").fetchall()]
    copy = store.copy(folder / "store-recent")
    found = {"rows": RECENT}
    with Server(copy) as server:
        questions = list(ASKED)
        found["settled"] = {question: _timed(server, question, rounds) for question in questions}
        server.send(request("POST", "/api/v1/import", _lines(_recent(names))))
        if server.get("/api/v1/stats")["memory_rows"] < RECENT:
            raise SystemExit("the recent rows are not in memory any more")
        found["recent"] = {question: _timed(server, question, rounds) for question in questions}
        answers = {question: server.ask(question)[1] for question in questions}
        server.compact()
        for question, answer in answers.items():
            if not same(answer, server.ask(question)[1]):
                raise SystemExit(f"the answers to {question} before and after the compaction differ")
    copy.remove()
    say("with recent rows: " + ", ".join(f"{q} {of['least']:.2f} ms" for q, of in found["recent"].items()))
    return found


def _drive(port, pipe):
    sent, took = drive(port, CONNECTIONS, SECONDS, RATE)
    pipe.send((sent, [quantile(took, share) * 1e3 for share in (0.5, 0.99)]))


def mixed(store, folder, say):
    """Q1 again and again, quiet at first, then while events are written, each synced before it is answered."""
    copy = store.copy(folder / "store-mixed")
    with Server(copy) as server:
        server.time("Q1")
        quiet = sorted(server.time("Q1") * 1e3 for _ in range(200))
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        writer = context.Process(target=_drive, args=(server.port, theirs))
        before = server.get("/api/v1/stats")["since_start"]["stored"]
        writer.start()
        busy = []
        while not ours.poll():
            busy.append(server.time("Q1") * 1e3)
        sent, (p50, p99) = ours.recv()
        writer.join()
        stored = server.get("/api/v1/stats")["since_start"]["stored"] - before
        if stored != sent:
            raise SystemExit(f"{sent} events were answered, {stored} stored")
    copy.remove()
    busy.sort()
    found = {
        "quiet_median_ms": quantile(quiet, 0.5),
        "quiet_p99_ms": quantile(quiet, 0.99),
        "busy_median_ms": quantile(busy, 0.5),
        "busy_p99_ms": quantile(busy, 0.99),
        "runs": len(busy),
        "events_per_s": sent / SECONDS,
        "event_p50_ms": p50,
        "event_p99_ms": p99,
    }
    say(", ".join(f"{name} {value:.2f}" for name, value in found.items()))
    return found
