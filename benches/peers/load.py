"""What loading costs: the import of the records with everything it has to do, and the bytes on disk."""

import json
import subprocess

import peers

# Who reads the records themselves; SQLite has no reader of its own for them.
READERS = ("duckdb", "clickhouse")


def imports(store, folder, meta, names, threads, rounds, say):
    """Seconds and most memory of each system's way from the records to an ordered, durable table, taken in turn."""
    found = {name: [] for name in ("whodid", *(n for n in names if n in READERS))}
    for _ in range(rounds):
        for name, runs in found.items():
            runs.append(_import(name, store, folder, meta, threads))
            say(f"{name}: {meta['records'] / runs[-1]['seconds'] / 1e6:.2f} M records/s, {runs[-1]['peak'] / 2**20:.0f} MiB")
    return {name: min(runs, key=lambda run: run["seconds"]) for name, runs in found.items()}


def _import(name, store, folder, meta, threads):
    records = folder / "records.ndjson"
    if name == "whodid":
        run = store.load(records)
        answer = json.loads(run.pop("output"))
        stored = meta["events"] + meta["sets"] + meta["identifies"]
        if (answer["accepted"], answer["duplicates"]) != (stored, meta["duplicates"]):
            raise SystemExit(f"whodid took {answer}, but there are {stored} records and {meta['duplicates']} duplicates")
        return run
    process = peers.Process(name, folder, meta, threads)
    try:
        seconds, size, peak = process.do("load_records", records)
        return {"seconds": seconds, "peak": peak, "bytes": size}
    finally:
        process.close()


def disk(store, folder, meta, names, threads, sizes, say):
    """Bytes by part, after a compaction; of peers by table."""
    store.compact()
    parts = json.loads(subprocess.run([sizes, store.folder], check=True, stdout=subprocess.PIPE, text=True).stdout)
    files = {file.name: file.stat().st_size for file in store.folder.iterdir() if file.is_file()}
    of = lambda prefix: sum(size for name, size in files.items() if name.startswith(prefix))
    parts["directories and checksums"] = of("seg-") - sum(parts.values())
    parts |= {part: of(prefix) for part, prefix in (("log", "wal-"), ("identities", "ids-"), ("checkpoint", "state-"))}
    say(f"whodid: {sum(files.values()) / meta['events']:.2f} bytes an event in {len(files)} files")
    others = {name: peers.load(name, folder, meta, threads)["bytes"] for name in names}
    return {"whodid": parts, "all": sum(files.values()), **others}
