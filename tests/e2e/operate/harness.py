"""What the checks of `make e2e` share: servers, tools, foreign programs, reasons to be skipped.

A check is a function of a file check_<area>.py:

    from harness import Omend, check, main, need, skip

    @check("Debian's prometheus scrapes a live omend")
    def targets_are_up():
        program = need("prometheus", "prometheus")      # or the check is skipped, with that reason
        with Omend("--search-workers=2") as server:     # port 0, a folder of its own, ends with 0
            ...
        return "7 of 7 targets up"                      # what it showed

    if __name__ == "__main__":
        main()

run.py runs the files with the Python of the build folder, which has grpcio and its helpers. Nothing may
depend on how fast this machine is. SPDX-License-Identifier: Apache-2.0
"""

import atexit
import collections
import contextlib
import importlib.util
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import urllib.error
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))
BUILD = os.path.abspath(os.environ.get("OMENDB_BUILD", os.path.join(ROOT, "build")))
OMEND = os.environ.setdefault("OMEND", os.path.join(BUILD, "bin", "omend"))
OMEN = os.environ.setdefault("OMEN", os.path.join(BUILD, "bin", "omen"))
WORK = os.environ.setdefault("OMEN_E2E_WORK", os.path.join(BUILD, "e2e", "tmp"))
os.environ.setdefault("OMEN_E2E_API", os.path.join(ROOT, "api"))
os.environ.setdefault("OMEN_E2E_MODULES", os.path.join(BUILD, "e2e", "node"))  # npm packages
os.makedirs(WORK, exist_ok=True)
# Servers of a check are on this machine, whatever proxy there is to the world.
for _name in ("no_proxy", "NO_PROXY"):
    os.environ[_name] = ",".join(
        filter(None, [os.environ.get(_name), "localhost", "127.0.0.1", "::1"])
    )
sys.path.append(os.path.join(os.path.dirname(HERE), "python"))


def _load(name, path):
    """The harness of ../python has the name of this file: it is loaded under another one."""
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


wire = _load("wire_harness", os.path.join(os.path.dirname(HERE), "python", "harness.py"))
import grpc  # noqa: E402  (after the environment is set)
from certificates import Authority  # noqa: E402,F401  (for checks: certificates of their own)

PATIENCE = wire.PATIENCE
poll = wire.poll
Failure = wire.Failure  # code, reason, text of a grpc.RpcError


# ---- Checks ---------------------------------------------------------------------------------


class Skip(Exception):
    """This machine cannot run the check."""


_checks = []
_children = []


def check(what, seconds=600):
    """Registers a check; `what` says in a few words what it is for. It fails after `seconds`."""

    def register(function):
        _checks.append((function, what, seconds))
        return function

    return register


def skip(reason):
    raise Skip(reason)


def need(command, package=None):
    """The path of a program, or the check is skipped and says which Debian package has it. Programs of
    /usr/sbin are found too."""
    path = shutil.which(command, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if path is None:
        skip("no %s; %s" % (command, "apt-get install " + package if package else "see README.md"))
    return path


def need_root():
    if os.geteuid() != 0:
        skip("needs root")


def _alarm(_signal, _frame):
    raise TimeoutError("it does not end")


def _line(outcome, name, started, text):
    text = " ".join(str(text).split())
    print("%-4s %-40s %7.1f  %s" % (outcome, name, time.monotonic() - started, text), flush=True)


def _run_one(area, function, seconds):
    name = area + "." + function.__name__
    started = time.monotonic()
    signal.signal(signal.SIGALRM, _alarm)
    signal.alarm(seconds)
    try:
        shown = function()
        if not shown:
            raise AssertionError("a check must say what it showed")
        _line("ok", name, started, shown)
        return True
    except Skip as reason:
        _line("skip", name, started, "(%s)" % reason)
        return True
    except BaseException as error:  # pylint: disable=broad-except
        if isinstance(error, KeyboardInterrupt):
            raise
        traceback.print_exc()
        said = str(error).strip().splitlines() or [""]
        _line("FAIL", name, started, "(%s: %s)" % (type(error).__name__, said[0][:400]))
        return False
    finally:
        signal.alarm(0)
        end_children()


def main():
    """Runs the checks of the file that is run: all, or those named on the command line."""
    area = os.path.basename(sys.argv[0]).removeprefix("check_").removesuffix(".py")
    if "--list" in sys.argv[1:]:
        for function, what, _ in _checks:
            print("%-40s %s" % (area + "." + function.__name__, what))
        return
    wanted = [name.split(".")[-1] for name in sys.argv[1:]]
    missing = set(wanted) - {function.__name__ for function, _, _ in _checks}
    if missing:
        sys.exit("%s has no check %s" % (area, ", ".join(sorted(missing))))
    ok = True
    for function, _, seconds in _checks:
        if not wanted or function.__name__ in wanted:
            ok = _run_one(area, function, seconds) and ok
    atexit._run_exitfuncs()  # threads that a failed check has left behind must not keep it from ending
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0 if ok else 1)


# ---- Folders, ports, programs -----------------------------------------------------------------


def folder(prefix="check-"):
    """A new folder that is removed when the file's checks are over."""
    path = tempfile.mkdtemp(prefix=prefix, dir=WORK)
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path


def write(path, text, mode=0o644):
    """Writes a file (its folders too) and returns its path."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w" if isinstance(text, str) else "wb") as file:
        file.write(text)
    os.chmod(path, mode)
    return path


def read(path):
    with open(path, "rb") as file:
        return file.read()


def free_port():
    """A port for a program that cannot choose one by itself: free now."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def run(*command, check=True, timeout=PATIENCE, stdin="", **keywords):
    """Runs a command to its end: its CompletedProcess with text. check: it must end with 0."""
    done = subprocess.run(
        [str(word) for word in command], input=stdin, capture_output=True, text=True,
        timeout=timeout, check=False, **keywords
    )
    if check and done.returncode != 0:
        raise AssertionError(
            "%s ended with %d: %s" % (" ".join(map(str, command)), done.returncode,
                                      (done.stderr or done.stdout).strip())
        )
    return done


def omen(*arguments, **keywords):
    """The command-line tool, as run()."""
    return run(OMEN, *arguments, **keywords)


class Child:
    """A program in the background (nginx, prometheus, ...) with its output in a file. It dies with this
    process, and with the check that started it."""

    def __init__(self, *command, **keywords):
        self.log = tempfile.NamedTemporaryFile("wb", dir=WORK, suffix=".log", delete=False)
        words = [str(word) for word in command]
        if shutil.which("setpriv"):
            words = ["setpriv", "--pdeathsig", "KILL", *words]
        self.process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, **keywords
        )
        self.log.close()
        _children.append(self)

    def output(self):
        return read(self.log.name).decode(errors="replace")

    def until(self, what, condition):
        """Waits until condition() gives something true; fails at once when the program has ended."""

        def look():
            if self.process.poll() is not None:
                raise AssertionError(
                    "%s ended with %d before it %s: %s"
                    % (self.process.args[-1], self.process.returncode, what, self.output()[-2000:])
                )
            with contextlib.suppress(OSError):
                return condition()
            return None

        return poll(what, look)

    def stop(self, how=signal.SIGTERM):
        """Its exit status, after a signal unless it has ended."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        try:
            return self.process.wait(PATIENCE)
        finally:
            self.end()

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.log.name)
        if self in _children:
            _children.remove(self)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()


def end_children():
    """Ends what a check has left running."""
    for child in list(_children):
        child.end()


def http_get(url, headers=None, method="GET", body=None):
    """(status, headers, text) of a page, whatever its status. urls without a scheme are http://."""
    if "://" not in url:
        url = "http://" + url
    request = urllib.request.Request(url, headers=headers or {}, method=method, data=body)
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as page:
            return page.status, page.headers, page.read().decode(errors="replace")
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read().decode(errors="replace")


# ---- omend ------------------------------------------------------------------------------------

_SAMPLE = re.compile(r"^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


def samples(text):
    """[(name, {label: value}, number)] of a page of metrics."""
    found = []
    for line in text.splitlines():
        match = _SAMPLE.match(line)
        if match:
            labels = dict(_LABEL.findall(match.group(2) or ""))
            found.append((match.group(1), labels, float(match.group(3))))
    return found


class Omend(wire.Omend):
    """A server on ports of the kernel's choice, with a data folder of its own.

    data: a folder to serve (kept), or None: in memory. Leaving a `with` stops it with SIGTERM, and it must
    end with 0. `wire.Omend` has address, admin, process, read_log(), channel(), terminate(), wait(), kill()
    and stop(); client(token=...) sends a key with every call."""

    def __init__(self, *options, data="own", **keywords):
        self.data = folder("data-") if data == "own" else data
        place = ["--data-dir=" + self.data] if self.data else []
        self._over = False
        super().__init__(*place, *options, **keywords)
        _children.append(self)

    def client(self, token=None, **arguments):
        channel = self.channel(**arguments)
        if token is not None:
            channel = grpc.intercept_channel(channel, Bearer(token))
        return wire.Client(channel)

    def page(self, path, **keywords):
        """(status, headers, text) of a page of the admin port."""
        return http_get(self.admin + path, **keywords)

    def metric(self, name, **labels):
        """The sum of the series of this name whose labels are these (others may be there too)."""
        found = [
            value
            for series, has, value in samples(self.page("/metrics")[2])
            if series == name and labels.items() <= has.items()
        ]
        assert found, "no series %s %s" % (name, labels)
        return sum(found)

    def omen(self, *arguments, **keywords):
        """The tool, at this server."""
        return omen(*arguments, "--server", self.address, **keywords)

    def close(self):
        if not self._over:
            self._over = True
            if self in _children:
                _children.remove(self)
            super().close()

    def end(self):
        if not self._over:
            self.kill()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if self._over:
            return
        if kind is None:
            self.stop()
        else:
            sys.stderr.write(self.read_log()[-4000:])
            self.kill()


def refused(*options, env=None):
    """An omend that must not start: its CompletedProcess, for its exit status and its words."""
    done = run(OMEND, "--listen=127.0.0.1:0", "--admin-listen=off", *options, check=False, env=env)
    assert done.returncode != 0, "it started and ended with 0: " + done.stdout
    return done


class Bearer(
    grpc.UnaryUnaryClientInterceptor,
    grpc.UnaryStreamClientInterceptor,
    grpc.StreamUnaryClientInterceptor,
    grpc.StreamStreamClientInterceptor,
):
    """Sends `authorization: Bearer <token>` with every call, plain text or TLS. token: a text, or a function
    that gives the one of the moment."""

    def __init__(self, token):
        self._token = token

    def _with(self, proceed, details, request):
        token = self._token() if callable(self._token) else self._token
        metadata = [*(details.metadata or ()), ("authorization", "Bearer " + token)]
        return proceed(_Details(details, metadata), request)

    intercept_unary_unary = intercept_unary_stream = _with
    intercept_stream_unary = intercept_stream_stream = _with


class _Details(
    collections.namedtuple(
        "_Details",
        "method timeout metadata credentials wait_for_ready compression",
    ),
    grpc.ClientCallDetails,
):
    def __new__(cls, details, metadata):
        return super().__new__(
            cls, details.method, details.timeout, metadata, details.credentials,
            getattr(details, "wait_for_ready", None), getattr(details, "compression", None),
        )


class Load:
    """Threads that call without a pause until the `with` is over. jobs: functions of no argument, each with
    a thread of its own. A grpc.RpcError is counted by its code, anything else ends the check.

        with Load([lambda: client.search("c", row)] * 4) as load:
            load.reach(1000)                       # at least so many calls that succeeded, from now
        assert not load.failures, load.failures    # {"UNAVAILABLE": 3}"""

    def __init__(self, jobs):
        self.calls = 0
        self.failures = collections.Counter()
        self.details = []  # the first failures
        self._broken = []
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._work, args=(job,)) for job in jobs]

    def _work(self, job):
        while not self._stop.is_set():
            try:
                job()
                with self._lock:
                    self.calls += 1
            except grpc.RpcError as error:
                with self._lock:
                    self.failures[error.code().name] += 1
                    if len(self.details) < 20:
                        self.details.append(str(error.details()))
            except BaseException as error:  # pylint: disable=broad-except
                self._broken.append(error)
                return

    def reach(self, more):
        want = self.calls + more
        poll("%d calls" % more, lambda: self._broken or self.calls >= want)

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join()
        if self._broken and kind is None:
            raise self._broken[0]
