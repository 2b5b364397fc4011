"""The other systems, each in a process of its own, and what their rows mean."""

import importlib
import json
import multiprocessing
import shutil
import time
import traceback

from questions import WEEKS

MODULES = {"duckdb": "duck", "clickhouse": "click", "sqlite": "lite"}


def plain(question, answer):
    """Rows of a peer in the plain form of `questions.py`."""
    if question in ("Q1", "Q3", "Q6"):
        groups = _stepwise(answer) if answer and len(answer[0]) == 4 else _columns(answer, named=question != "Q1")
        return groups[""] if question == "Q1" else groups
    if question in ("Q1c", "Q2"):
        return [list(answer[0])]
    if question == "Q4":
        months = {}
        for month, week, people in answer:
            row = months.setdefault(month, [0, [0] * WEEKS])
            if week < 0:
                row[0] = people
            else:
                row[1][week] = people
        return months
    if question == "Q5":
        months, segments = answer
        return [dict(months), {value: list(rest) for value, *rest in segments}]
    if question == "Q8":
        ids = answer[0][1]
        return [answer[0][0], json.loads(ids) if isinstance(ids, str) else list(ids or [])]
    return answer[0][0]


def _columns(rows, named):
    rows = rows if named else [["", *row] for row in rows]
    return {value: [list(rest[:4]), list(rest[4:])] for value, *rest in rows}


def _stepwise(rows):
    groups = {}
    for value, step, people, median in rows:
        group = groups.setdefault(value, [[0] * 4, [None] * 3])
        group[0][step - 1] = people
        if step > 1:
            group[1][step - 2] = median
    return groups


def memory(pid="self"):
    """Numbers of /proc/PID/status in bytes: VmHWM is the most that was ever resident, RssAnon what is without files."""
    with open(f"/proc/{pid}/status") as status:
        pairs = (line.split() for line in status if line.endswith("kB\n"))
        return {words[0].rstrip(":"): int(words[1]) * 1024 for words in pairs}


def _work(pipe, module, arguments):
    try:
        peer = importlib.import_module(module).Peer(*arguments)
        pipe.send(peer.version())
        while (order := pipe.recv()) is not None:
            pipe.send(_obey(peer, *order))
    except EOFError:
        pass
    except BaseException:
        pipe.send(RuntimeError(traceback.format_exc()))


def _obey(peer, what, *arguments):
    begin = time.perf_counter()
    if what == "ask":
        question, form, persons = arguments
        sql = peer.forms[question][form]
        if persons is not None:
            return _timelines(peer, sql, persons)
        answer = [peer.run(one) for one in sql] if isinstance(sql, list) else peer.run(sql)
        return time.perf_counter() - begin, plain(question, answer)
    answer = getattr(peer, what)(*arguments)
    return time.perf_counter() - begin, answer, memory()["VmHWM"]


def _timelines(peer, sql, persons):
    """One after the other: the median of the times, and the number of events of each."""
    times, counts = [], []
    for person in persons:
        begin = time.perf_counter()
        counts.append(len(peer.run(sql.format(person))))
        times.append(time.perf_counter() - begin)
    return sorted(times)[len(times) // 2], counts


class Process:
    """A peer in a process of its own: its threads and caches do not meet those of others."""

    def __init__(self, name, folder, meta, threads):
        module = importlib.import_module(MODULES[name])
        local = module.Peer(folder, meta, threads)
        self.name, self.title, self.forms, self.is_loaded = name, local.title, local.forms, local.is_loaded
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(theirs, MODULES[name], (folder, meta, threads)))
        self.process.start()
        theirs.close()
        self.version = self._answer()

    def _answer(self):
        answer = self.pipe.recv()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def do(self, *order):
        """Has the peer do something: seconds, and what it answers."""
        self.pipe.send(order)
        return self._answer()

    def ask(self, question, form, persons=None):
        """Seconds, and the answer in its plain form."""
        return self.do("ask", question, form, persons)

    def close(self):
        self.pipe.send(None)
        self.process.join()


def load(name, folder, meta, threads):
    """Loads a peer unless it is: seconds, most memory, bytes by table."""
    process = Process(name, folder, meta, threads)
    try:
        record = folder / f"{name}.json"
        if process.is_loaded() and record.exists():
            return json.loads(record.read_text())
        seconds, sizes, peak = process.do("load")
        done = {"seconds": seconds, "peak": peak, "bytes": sizes}
        record.write_text(json.dumps(done))
        return done
    finally:
        process.close()
        shutil.rmtree(folder / "spill", ignore_errors=True)
