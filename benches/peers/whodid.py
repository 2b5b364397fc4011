"""whodid as its users meet it: the program's commands, and HTTP over a connection that is kept."""

import json
import os
import shutil
import socket
import subprocess
import time

from peers import memory
from questions import ASKED, plain, timeline

WRITE_KEY, API_KEY = "0123456789abcdef0123456789abcdef01234567", "rk_benchmarks_only"
# How long a server may take to begin or end before something is wrong.
PATIENCE_S = 120
# The server closes a connection that is silent for ten seconds: after so many a new one is made, outside of what is timed.
SILENT_S = 5


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Connection:
    """A connection that is kept, with as little around it as Python allows."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=600)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, request):
        """Sends the bytes of a request: status and body of the answer."""
        self.socket.sendall(request)
        got = self.socket.recv(65536)
        while (end := got.find(b"\r\n\r\n")) < 0:
            got += self._more()
        head = got[:end].lower()
        length = int(head.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
        body = bytearray(got[end + 4 :])
        while len(body) < length:
            body += self._more()
        return int(head[9:12]), bytes(body)

    def _more(self):
        got = self.socket.recv(1 << 20)
        if not got:
            raise ConnectionError("the server closed the connection")
        return got

    def close(self):
        self.socket.close()


def request(method, path, body=b"", key=API_KEY):
    """The bytes of a request."""
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {key}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def report(question):
    """The request of a question."""
    path, query = ASKED[question]
    return request("POST", f"/api/v1/{path}", json.dumps(query).encode())


def watched(command):
    """Runs a command to its end: seconds, processor seconds, the most memory it had (all of it, and without files), its output."""
    begin = time.perf_counter()
    process = subprocess.Popen([str(c) for c in command], stdout=subprocess.PIPE, text=True)
    peak = anonymous = 0
    while (ended := os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)) is None:
        try:
            now = memory(process.pid)
        except (FileNotFoundError, ProcessLookupError):
            break
        peak, anonymous = max(peak, now.get("VmHWM", 0)), max(anonymous, now.get("RssAnon", 0))
        time.sleep(0.02)
    _, status, used = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - begin
    process.returncode = os.waitstatus_to_exitcode(status)
    output = process.stdout.read()
    if process.returncode:
        raise SystemExit(f"{' '.join(map(str, command))} ended with {process.returncode}: {output}")
    return {"seconds": seconds, "cpu": used.ru_utime + used.ru_stime, "peak": peak, "anonymous": anonymous, "output": output}


class Store:
    """A directory with a store, and the program that works on it."""

    def __init__(self, binary, folder):
        self.binary, self.folder = binary, folder

    def command(self, *arguments):
        return [self.binary, "--data", self.folder, *arguments]

    def load(self, *records):
        """Imports into a new store; see `watched`."""
        self.remove()
        return watched(self.command("import", "--json", *records))

    def compact(self):
        return watched(self.command("compact"))

    def remove(self):
        """Makes room for the next one."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def copy(self, folder):
        """A copy of a store that is not served."""
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.folder, folder)
        return Store(self.binary, folder)


class Server:
    """`whodid serve` on a store, as a context."""

    title = "whodid"

    def __init__(self, store):
        self.port = free_port()
        keys = ["--write-key", WRITE_KEY, "--api-key", API_KEY]
        begin = time.perf_counter()
        self.process = subprocess.Popen(
            [str(c) for c in store.command("serve", "--listen", f"127.0.0.1:{self.port}", *keys)], stdout=subprocess.DEVNULL
        )
        while True:
            try:
                self.connection = Connection(self.port)
                if self.connection.send(request("GET", "/healthz"))[0] == 200:
                    break
            except ConnectionRefusedError:
                if self.process.poll() is not None or time.perf_counter() - begin > PATIENCE_S:
                    self.process.kill()
                    raise SystemExit("whodid serve did not begin to answer") from None
                time.sleep(0.001)
        self.used = time.perf_counter()
        self.start_s = self.used - begin

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.close()
        self.process.terminate()
        self.process.wait(PATIENCE_S)

    def kill(self):
        """Ends the server at once, as a power cut would as far as the program is concerned."""
        self.process.kill()
        self.process.wait(PATIENCE_S)

    def memory(self):
        """Resident bytes without mapped files."""
        return memory(self.process.pid)["RssAnon"]

    def send(self, bytes_):
        """Seconds, and the answer of a request that must succeed."""
        if time.perf_counter() - self.used > SILENT_S:
            self.connection.close()
            self.connection = Connection(self.port)
        begin = time.perf_counter()
        status, body = self.connection.send(bytes_)
        self.used = time.perf_counter()
        seconds = self.used - begin
        if status != 200:
            raise SystemExit(f"whodid answered {status}: {body[:500]!r}")
        return seconds, body

    def get(self, path):
        return json.loads(self.send(request("GET", path))[1])

    def compact(self):
        self.send(request("POST", "/api/v1/compact"))

    def time(self, question):
        """Seconds of one question, its answer left unread."""
        return self.send(report(question))[0]

    def ask(self, question, people=None):
        """Seconds, and the answer in its plain form."""
        if question == "Q7":
            return self._timelines(people)
        seconds, body = self.send(report(question))
        return seconds, plain(question, json.loads(body))

    def _timelines(self, names):
        times, counts = [], []
        for name in names:
            seconds, body = self.send(request("GET", timeline(name)))
            times.append(seconds)
            counts.append(len(json.loads(body)["events"]))
        return sorted(times)[len(times) // 2], counts

    def found(self):
        """All people of Q8, by name: the order of the first page is another than that of the peers' numbers."""
        path, query = ASKED["Q8"]
        names, cursor = [], None
        while True:
            page = request("POST", f"/api/v1/{path}", json.dumps({**query, "limit": 10_000, "columns": [], "cursor": cursor}).encode())
            answer = json.loads(self.send(page)[1])
            names += [person["person"] for person in answer["people"]]
            cursor = answer["cursor"]
            if cursor is None:
                return names
