"""A client that keeps many connections busy from one thread, for single events; and wrk, where it is at hand."""

import itertools
import re
import select
import shutil
import subprocess
import tempfile
import time
from urllib.parse import quote_plus

from whodid import WRITE_KEY, Connection

# So many people and events take part in single events.
PEOPLE = 50_000
EVENTS = ("Visited Site", "Page View", "Viewed Dashboard", "Used Feature A")


def targets():
    """Endless targets of tracking requests: all kinds of people and a few events."""
    for number in itertools.count():
        person = f"load-{number * 7919 % PEOPLE}"
        yield f"/e?_k={WRITE_KEY}&_p={person}&_n={quote_plus(EVENTS[number % len(EVENTS)])}&Plan=Pro"


def drive(port, connections, seconds, rate=None):
    """Sends single events for so long: how many, and the seconds that each answer took, sorted.

    With a `rate` so many a second are due, and the time of each counts from when it was due: a server that stalls is not
    asked less. Without one each connection sends as soon as it is answered."""
    links = {}
    for _ in range(connections):
        link = Connection(port)
        links[link.socket.fileno()] = link
    poll = select.epoll()
    for number in links:
        poll.register(number, select.EPOLLIN)
    free, due, took, bad, sent = list(links), {}, [], 0, 0
    source = targets()
    begin = time.perf_counter()
    end = begin + seconds
    while (now := time.perf_counter()) < end or due:
        wanted = int((now - begin) * rate) if rate else sent + len(free)
        while free and sent < wanted and now < end:
            number = free.pop()
            due[number] = begin + sent / rate if rate else now
            links[number].socket.sendall(f"GET {next(source)} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
            sent += 1
        for number, _ in poll.poll(0.001):
            # The answer to a tracking request is small and comes in one piece.
            bad += not links[number].socket.recv(65536).startswith(b"HTTP/1.1 200")
            took.append(time.perf_counter() - due.pop(number))
            free.append(number)
    for link in links.values():
        link.close()
    if bad:
        raise SystemExit(f"{bad} of {sent} single events were not answered 200")
    return sent, sorted(took)


def quantile(ordered, share):
    """The value below which so large a share lies."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


WRK_SCRIPT = """
local n = math.random(0, 1000000)
local events = {%s}
request = function()
  n = n + 1
  return wrk.format("GET", "/e?_k=%s&_p=load-" .. (n * 7919 %% %d) .. "&_n=" .. events[n %% #events + 1] .. "&Plan=Pro")
end
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format("counted %%d %%d %%.4f %%.4f %%.4f\\n", summary.requests,
    e.connect + e.read + e.write + e.status + e.timeout, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
"""


def flood(port, connections, seconds):
    """As many single events as the server takes: answers, their rate, p50 and p99 in ms, and which client it was."""
    if not shutil.which("wrk"):
        answers, took = drive(port, connections, seconds)
        p50, p99 = (quantile(took, share) * 1e3 for share in (0.5, 0.99))
        return {"client": "Python", "answers": answers, "rate": answers / seconds, "p50_ms": p50, "p99_ms": p99}
    names = ", ".join(f'"{quote_plus(name)}"' for name in EVENTS)
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(WRK_SCRIPT % (names, WRITE_KEY, PEOPLE))
        script.flush()
        command = ["wrk", "-t2", f"-c{connections}", f"-d{seconds}s", "-s", script.name, f"http://127.0.0.1:{port}"]
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    answers, errors, took, p50, p99 = map(float, re.search(r"counted (.*)", output)[1].split())
    if errors:
        raise SystemExit(f"wrk saw {errors:.0f} errors:\n{output}")
    return {"client": "wrk", "answers": int(answers), "rate": answers / took, "p50_ms": p50, "p99_ms": p99}
