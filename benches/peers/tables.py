"""Figures as tables of Markdown."""

from questions import TITLES

MIB = 2**20


def figure(value):
    """A number with three digits that count."""
    if value is None:
        return ""
    if isinstance(value, int) or value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 0.1 else f"{value:.3f}"


def table(head, rows, texts=1):
    """A table; all columns but the first `texts` are numbers."""
    lines = [head, ["---"] * texts + ["--:"] * (len(head) - texts), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def _import(found, data):
    rows = [[name, figure(run["seconds"]), figure(data["records"] / run["seconds"]), figure(run["peak"] / MIB)] for name, run in found.items()]
    return table(["import", "s", "records/s", "peak MiB"], rows)


def _queries(found, _):
    names = list(next(iter(found["questions"].values()))["least_ms"])
    head = ["question", "what", *(f"{name} ms" for name in names), "best of DuckDB and ClickHouse / whodid", "whodid median", "after the others", "ratio", "whodid first"]
    rows = []
    for question, of in found["questions"].items():
        least = [figure(of["least_ms"].get(name)) for name in names]
        own = [of["median_ms"]["whodid"], of["turned_ms"]["whodid"], of["turned_ratio"], of["first_ms"]]
        rows.append([question, TITLES[question], *least, figure(of["ratio"]), *map(figure, own)])
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    chosen = [[q, *(of["forms"].get(n, "") for n in names[1:])] for q, of in found["questions"].items()]
    forms = table(["formulation", *names[1:]], chosen, len(names))
    return f"{table(head, rows, 2)}\n\nSystems take {found['rounds']} turns; in a turn each is asked once after the others (the columns \"after the others\" and \"ratio\" behind it), then {found['turn'] - 1} times more: of these the least. All answers equal. {versions}.\n\n{forms}"


def _disk(found, data):
    each = lambda size: [figure(size), figure(size / data["events"])]
    parts = [[f"whodid: {part}", *each(size)] for part, size in found["whodid"].items()]
    whole = [["whodid: all files", *each(found["all"])]]
    others = [[f"{name}: {part}", *each(size)] for name, of in found.items() if name not in ("whodid", "all") for part, size in of.items()]
    return table(["disk", "bytes", "per event"], parts + whole + others)


def _growth(found, _):
    rows = [["events", *(figure(found["events"][variant]) for variant in ("as it is", "others")), "", figure(found["events"]["named"]), ""]]
    for question, of in found["questions"].items():
        base = of["as it is"]
        rows.append([question, figure(base), figure(of["others"]), f"{of['others'] / base:.2f}", figure(of["named"]), f"{of['named'] / base:.2f}"])
    return table(["growth", "as it is, ms", "other events doubled, ms", "factor", "named events doubled, ms", "factor"], rows)


def _merges(found, _):
    states = [(state, of) for state, of in found.items() if state != "merges"]
    rows = [[state, *(figure(of[k]) for k in ("first", "least", "median"))] for state, of in states]
    return table([f"Q1, {found['merges']:,} merges", "first ms", "least", "median"], rows)


def _recent(found, _):
    rows = []
    for question, settled in found["settled"].items():
        recent = found["recent"][question]
        rows.append([question, *(figure(of[k]) for of in (settled, recent) for k in ("first", "least", "median"))])
    head = ["ms", "settled: first", "least", "median", f"{found['rows']:,} events in memory: first", "least", "median"]
    return table(head, rows)


def _plain(title):
    def made(found, _):
        rows = []
        for name, value in found.items():
            if name.endswith("_bytes"):
                name, value = name.removesuffix("_bytes") + ", MiB", value / MIB
            rows.append([name.replace("_per_s", "/s").replace("_", " "), value if isinstance(value, str) else figure(value)])
        return table([title, ""], rows)

    return made


SECTIONS = {
    "import": _import,
    "queries": _queries,
    "disk": _disk,
    "growth": _growth,
    "merges": _merges,
    "recent": _recent,
    "mixed": _plain("Q1 while events are written"),
    "single": _plain("`GET /e`, 64 connections"),
    "bulk": _plain("`POST /api/v1/import`, 1,000 events a request"),
    "serve": _plain("`serve`: seconds to the first answer, memory without mapped files"),
}


def text(found):
    """All tables of what was measured."""
    data, machine = found.get("data", {}), found.get("machine", {})
    head = "{events:,} events of {persons:,} people, {records:,} records".format(**data) if data else "nothing measured yet"
    parts = [f"{head}; {machine.get('cores')} cores ({machine.get('processor')}), {machine.get('threads')} threads for each peer."]
    return "\n\n".join(parts + [SECTIONS[name](found[name], data) for name in SECTIONS if name in found])
