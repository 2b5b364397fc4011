"""How the time of a question grows: with events that it does not name, and with those that it names."""

import json

from questions import NAMED
from whodid import Server, Store

# Of the events that some question names; the others are doubled in the first variant, these in the second.
EVERY_NAMED = frozenset(name for names in NAMED.values() for name in names)
# A copy happens so many seconds after its original, so that it is no duplicate.
LATER_S = 0.417
VARIANTS = ("others", "named")
# Reports take milliseconds: so many times the rounds that others are given cost nothing.
MORE_ROUNDS = 10
# Where a process finds its memory makes up to a fifth of a time, as long as it runs: so each is started so many times.
STARTS = 4


def double(records, target, wanted):
    """Writes the records once more, with a copy behind each event that is `wanted`."""
    partial = target.with_suffix(".partial")
    with open(records) as source, open(partial, "w") as out:
        for line in source:
            out.write(line)
            record = json.loads(line)
            if record["type"] == "event" and wanted(record["event"]):
                record["time"] = round(record["time"] + LATER_S, 3)
                out.write(json.dumps(record, separators=(",", ":")) + "\n")
    partial.rename(target)


def run(store, folder, binary, rounds, say):
    """For each question milliseconds on the store as it is, with all other events doubled, and with all named ones doubled."""
    stores = {"as it is": store}
    for variant in VARIANTS:
        records = folder / f"{variant}-twice.ndjson"
        if not records.exists():
            say(f"writing {records.name}")
            double(folder / "records.ndjson", records, lambda name: (name in EVERY_NAMED) == (variant == "named"))
        stores[variant] = Store(binary, folder / f"store-{variant}")
        stores[variant].load(records)
        records.unlink()
    try:
        starts = [_started(stores, rounds) for _ in range(STARTS)]
    finally:
        for variant in VARIANTS:
            stores[variant].remove()
    events = starts[0][0]
    # Each event is doubled in one of the variants; hardly a copy can be a duplicate of something else.
    if abs(events["others"] + events["named"] - 3 * events["as it is"]) > events["as it is"] / 10_000:
        raise SystemExit(f"the events are not what they should be: {events}")
    least = {q: {variant: min(times[q][variant] for _, times in starts) for variant in stores} for q in NAMED}
    for question, times in least.items():
        say(f"{question}: " + ", ".join(f"{variant} {ms:.2f} ms" for variant, ms in times.items()))
    return {"events": events, "questions": least}


def _started(stores, rounds):
    """How many events there are, and the least milliseconds of each question, with a server on each store; asked in turn."""
    servers = {}
    try:
        for variant, of in stores.items():
            servers[variant] = Server(of)
        events = {variant: server.get("/api/v1/stats")["events"] for variant, server in servers.items()}
        return events, {question: _time(question, servers, rounds) for question in NAMED}
    finally:
        for server in servers.values():
            server.__exit__()


def _time(question, servers, rounds):
    times = {variant: [] for variant in servers}
    for server in servers.values():
        server.time(question)
    for _ in range(MORE_ROUNDS * rounds):
        for variant, server in servers.items():
            times[variant].append(server.time(question))
    return {variant: min(of) * 1e3 for variant, of in times.items()}
