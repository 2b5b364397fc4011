"""What comes in over HTTP, and the server itself: single events, imports of a thousand records a request, start and memory."""

import json
import threading
import time

from client import EVENTS, PEOPLE, flood
from questions import TITLES
from whodid import Connection, Server, Store, request

CONNECTIONS, SECONDS = 64, 10
BATCH, BATCHES, SENDERS = 1_000, 1_000, 4
# 2025-06-01, in milliseconds.
BEGIN = 1_748_736_000_000
STARTS = 5


def single(binary, folder, say):
    """`GET /e` over 64 connections into a new store; then the server is killed, and what it answered must be there."""
    store = Store(binary, folder / "store-single")
    store.remove()
    server = Server(store)
    try:
        found = flood(server.port, CONNECTIONS, SECONDS)
        stored = server.get("/api/v1/stats")["events"]
    finally:
        server.kill()
    with Server(store) as again:
        found["stored"] = again.get("/api/v1/stats")["events"]
    store.remove()
    # Answers to the last requests can still be under way when the client stops counting.
    if not (found["answers"] <= stored <= found["answers"] + CONNECTIONS and found["stored"] >= stored):
        raise SystemExit(f"{found['answers']} answers, {stored} stored, {found['stored']} after the server was killed")
    say(f"{found['rate']:.0f} events/s, p50 {found['p50_ms']:.2f} ms, p99 {found['p99_ms']:.2f} ms ({found['client']})")
    return found


def _batch(number):
    lines = []
    for k in range(number * BATCH, (number + 1) * BATCH):
        record = {
            "type": "event",
            "person": f"load-{k * 7919 % PEOPLE}",
            "event": EVENTS[k % len(EVENTS)],
            "time": (BEGIN + k * 7) / 1000,
            "properties": {"Plan": "Pro", "Source": "google"},
        }
        lines.append(json.dumps(record, separators=(",", ":")))
    return request("POST", "/api/v1/import", ("\n".join(lines) + "\n").encode())


def bulk(binary, folder, say):
    """Imports of a thousand events a request over a few connections: events a second, all of them stored."""
    store = Store(binary, folder / "store-bulk")
    store.remove()
    batches = [_batch(number) for number in range(BATCHES)]
    took, wrong = [], []

    def sender(own, port):
        link = Connection(port)
        for one in own:
            begin = time.perf_counter()
            status, body = link.send(one)
            took.append(time.perf_counter() - begin)
            if status != 200 or json.loads(body)["accepted"] != BATCH:
                wrong.append(body)
        link.close()

    with Server(store) as server:
        threads = [threading.Thread(target=sender, args=(batches[k::SENDERS], server.port)) for k in range(SENDERS)]
        begin = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        seconds = time.perf_counter() - begin
        stored = server.get("/api/v1/stats")["events"]
    store.remove()
    if wrong or stored != BATCH * BATCHES:
        raise SystemExit(f"{stored} of {BATCH * BATCHES} events stored; {wrong[:1]}")
    took.sort()
    found = {"events_per_s": stored / seconds, "connections": SENDERS, "p50_ms": took[len(took) // 2] * 1e3, "p99_ms": took[len(took) * 99 // 100] * 1e3}
    say(f"{found['events_per_s'] / 1e6:.2f} M events/s, a request p50 {found['p50_ms']:.2f} ms, p99 {found['p99_ms']:.2f} ms")
    return found


def serve(store, binary, folder, say):
    """Start and resident memory without mapped files: of an empty store, of the full one, and after all questions."""
    empty = Store(binary, folder / "store-empty")
    empty.remove()
    with Server(empty) as server:
        found = {"empty_start_s": server.start_s, "empty_bytes": server.memory()}
    empty.remove()
    starts = []
    for _ in range(STARTS):
        with Server(store) as server:
            starts.append(server.start_s)
            found["start_bytes"] = server.memory()
            if len(starts) == STARTS:
                for question in TITLES:
                    for _ in range(3 if question != "Q7" else 0):
                        server.time(question)
                found["asked_bytes"] = server.memory()
    found["start_s"] = min(starts)
    say(f"answers after {found['start_s']:.3f} s; " + ", ".join(f"{k} {v / 2**20:.1f} MiB" for k, v in found.items() if k.endswith("_bytes")))
    return found
