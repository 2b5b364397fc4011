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
        """Seconds of each system, taken in turn."""
        times = {"whodid": []} | {p.name: [] for p in self.processes}
        for round_ in range(rounds):
            if question == "Q7":
                times["whodid"].append(self.server.ask(question, self.probes[1])[0])
            else:
                times["whodid"].append(self.server.time(question))
            for process in self.processes:
                own = times[process.name]
                if not (round_ >= 3 and own[0] > SLOW_S):
                    own.append(process.ask(question, forms[process.name], self.probes[0] if question == "Q7" else None)[0])
        return times


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
                times = duel.time(question, chosen, rounds)
                least = {name: min(of) * 1e3 for name, of in times.items()}
                best = min((n for n in least if n in ("duckdb", "clickhouse")), key=least.get, default=None)
                questions[question] = {
                    "least_ms": least,
                    "median_ms": {name: sorted(of)[len(of) // 2] * 1e3 for name, of in times.items()},
                    "first_ms": first * 1e3,
                    "best": best,
                    "ratio": least[best] / least["whodid"] if best else None,
                    "forms": chosen,
                    "tried_ms": {name: {form: s * 1e3 for form, s in of.items()} for name, of in tried.items()},
                }
                say(f"{question}: " + ", ".join(f"{name} {ms:.2f} ms" for name, ms in least.items()))
    finally:
        for process in processes:
            process.close()
    return {"questions": questions, "versions": versions, "loads": loads, "rounds": rounds}
