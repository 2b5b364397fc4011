"""The ratios: every question put to every system, all answers compared, then the fastest formulation of each timed in turn."""

import random

import duckdb

import peers
from data import text
from questions import PAGE, TITLES, same
from whodid import Server

# People whose time lines are read.
PROBES = 101
# A peer's formulation that is slower than so many times its best is not asked twice.
HOPELESS = 3
# A system that takes longer than so many seconds is timed three times only.
SLOW_S = 3
# How often a system is asked in its turn: once right after the others had the processor and its caches, then hot.
TURN = 10


class Duel:
    """All systems, open, over the same data."""

    def __init__(self, server, processes, folder):
        self.server, self.processes = server, processes
        self.persons = text(str(folder / "persons.parquet"))
        self.probes = self._probes()

    def _probes(self):
        """People at even distances, by number and name."""
        count = duckdb.execute(f"SELECT count(*) FROM {self.persons}").fetchone()[0]
        wanted = sorted(random.Random(7).sample(range(count), min(PROBES, count)))
        rows = duckdb.execute(f"SELECT person, display FROM {self.persons} WHERE person IN {tuple(wanted)}").fetchall()
        return [list(column) for column in zip(*sorted(rows))]

    def numbers(self, names):
        """The peers' numbers of people, sorted."""
        found = duckdb.execute(f"SELECT person FROM {self.persons} WHERE display IN (SELECT unnest(?)) ORDER BY 1", [names]).fetchall()
        return [person for (person,) in found]

    def right(self, question):
        """What whodid says, in the plain form."""
        answer = self.server.ask(question, self.probes[1])[1]
        if question != "Q8":
            return answer
        found = self.numbers(self.server.found())
        if len(found) != answer:
            raise SystemExit(f"Q8: {answer} people counted, {len(found)} listed")
        return [answer, found[:PAGE]]

    def choose(self, process, question, right):
        """The fastest formulation of a peer; one with another answer ends the run, since somebody is wrong then."""
        best, times = None, {}
        persons = self.probes[0] if question == "Q7" else None
        for form in process.forms[question]:
            for again in range(2):
                seconds, answer = process.ask(question, form, persons)
                if not same(answer, right):
                    raise SystemExit(f"{question}: {process.title} ({form}) says {answer}\nwhodid says {right}")
                times[form] = min(seconds, times.get(form, seconds))
                if seconds > HOPELESS * min(times.values()) or seconds > SLOW_S:
                    break
            best = min(times, key=times.get)
        return best, times

    def time(self, question, forms, rounds):
        """Seconds of each system, taken in turn: of the first question of each turn, and of those behind it."""
        ways = {"whodid": lambda: self._own(question)}
        for process in self.processes:
            persons = self.probes[0] if question == "Q7" else None
            ways[process.name] = lambda process=process, persons=persons: process.ask(question, forms[process.name], persons)[0]
        after, hot = {name: [] for name in ways}, {name: [] for name in ways}
        for round_ in range(rounds):
            for name, ask in ways.items():
                slow = round_ and after[name][0] > SLOW_S
                if slow and round_ >= 3:
                    continue
                after[name].append(ask())
                hot[name] += after[name][-1:] if slow else [ask() for _ in range(TURN - 1)]
        return after, hot

    def _own(self, question):
        """Seconds of whodid."""
        return self.server.ask(question, self.probes[1])[0] if question == "Q7" else self.server.time(question)


def ratio(ms):
    """How many times longer the better of DuckDB and ClickHouse takes; nothing without them."""
    others = [ms[name] for name in ("duckdb", "clickhouse") if name in ms]
    return min(others) / ms["whodid"] if others else None


def run(store, folder, meta, names, threads, rounds, say):
    """For each question: milliseconds of each system, the formulations, and whodid's first run."""
    questions = {}
    loads = {name: peers.load(name, folder, meta, threads) for name in names}
    processes = [peers.Process(name, folder, meta, threads) for name in names]
    versions = {process.title: process.version for process in processes}
    try:
        for process in processes:
            process.do("open")
        with Server(store) as server:
            duel = Duel(server, processes, folder)
            for question in TITLES:
                first = server.ask(question, duel.probes[1])[0]
                right = duel.right(question)
                chosen, tried = {}, {}
                for process in processes:
                    chosen[process.name], tried[process.name] = duel.choose(process, question, right)
                after, hot = duel.time(question, chosen, rounds)
                least, turned = ({name: min(of) * 1e3 for name, of in times.items()} for times in (hot, after))
                questions[question] = {
                    "least_ms": least,
                    "median_ms": {name: sorted(of)[len(of) // 2] * 1e3 for name, of in hot.items()},
                    "turned_ms": turned,
                    "first_ms": first * 1e3,
                    "ratio": ratio(least),
                    "turned_ratio": ratio(turned),
                    "forms": chosen,
                    "tried_ms": {name: {form: s * 1e3 for form, s in of.items()} for name, of in tried.items()},
                }
                say(f"{question}: " + ", ".join(f"{name} {ms:.2f} ms" for name, ms in least.items()))
    finally:
        for process in processes:
            process.close()
    return {"questions": questions, "versions": versions, "loads": loads, "rounds": rounds, "turn": TURN}
