#!/usr/bin/env python3
"""docs_test.py BUILD [PAGE...] - runs every command of the guides, page by page, as a reader would.

A page is one bash session in an empty folder, with the repository's demo, deploy, api and ffi-examples in
it; BUILD/bin comes first on the PATH. Its fenced blocks:

    sh                   run; every command must succeed
    sh fails=N           run; the last command must end with status N
    sh needs=PROGRAM     run if the program is there
    sh elsewhere=FILE    not run here: FILE, a test of the repository, runs it
    text                 behind a block that was run: lines of its output, in order; ... stands for anything
    LANGUAGE file=NAME   written to NAME

`<!-- run: ... -->` is run and not shown. The ports 7700 and 7701 (and 7710, 7711) stand for free ones. A
command in any other block is a mistake: the test says so. SPDX-License-Identifier: Apache-2.0
"""

import argparse
import contextlib
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PORTS = ("7700", "7701", "7710", "7711")
SHELLS = ("sh", "bash", "console", "shell")
LINKS = ("demo", "deploy", "api", "ffi-examples", "Makefile", "service", "tests")
PATIENCE = 300  # seconds for a page; only one that hangs meets it
FENCE = re.compile(r"^(\s*)```(.*)$")
COMMAND = re.compile(r"^\s*(?:\$ )?(?:sudo )?(?:omend?|make|docker|kubectl|helm|curl|systemctl)\s")
MARK = "@@@block"


class Block:
    def __init__(self, page, line, info, text):
        self.page, self.line, self.text = page, line, text
        words = info.split()
        self.language = words[0] if words else ""
        self.options = dict(word.partition("=")[::2] for word in words[1:])
        self.expected = None  # the text block behind it

    def where(self):
        return "%s:%d" % (self.page, self.line)


class Mistake(Exception):
    pass


def blocks_of(page, text):
    """The blocks of a page, hidden ones too, in order."""
    found, inside, line_number = [], None, 0
    hidden = None
    for line in text.splitlines():
        line_number += 1
        if hidden is not None:
            end = line.find("-->")
            hidden.text += (line if end < 0 else line[:end]) + "\n"
            hidden = hidden if end < 0 else None
            continue
        fence = FENCE.match(line)
        if inside is None and line.startswith("<!-- run:"):
            block = Block(page, line_number, "sh", "")
            rest = line[len("<!-- run:"):]
            end = rest.find("-->")
            block.text = (rest if end < 0 else rest[:end]) + "\n"
            found.append(block)
            hidden = block if end < 0 else None
        elif inside is None and fence:
            inside = Block(page, line_number, fence.group(2), "")
            indent = len(fence.group(1))
        elif inside is not None and fence and not fence.group(2).strip():
            found.append(inside)
            inside = None
        elif inside is not None:
            inside.text += line[indent:] + "\n"
    if inside is not None or hidden is not None:
        raise Mistake("%s: a block has no end" % page)
    return found


def judge(blocks):
    """Puts expected outputs behind their commands; says what no test would run."""
    last = None
    for block in blocks:
        if block.language in SHELLS:
            unknown = set(block.options) - {"fails", "needs", "elsewhere"}
            if unknown or block.language != "sh":
                raise Mistake("%s: not understood: %s %s"
                              % (block.where(), block.language, " ".join(unknown)))
            elsewhere = block.options.get("elsewhere")
            if elsewhere and not os.path.exists(os.path.join(ROOT, elsewhere)):
                raise Mistake("%s: %s does not exist" % (block.where(), elsewhere))
            last = block
            continue
        if block.language == "text" and last is not None:
            last.expected = block
        elif "file" not in block.options and any(map(COMMAND.match, block.text.splitlines())):
            raise Mistake("%s: a command that no test runs" % block.where())
        last = None
    return blocks


def free_ports(count):
    """Outside of the range from which connections take theirs, so that nobody comes in between."""
    ports = []
    while len(ports) < count:
        port = random.randint(10000, 30000)
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in ports:
            ports.append(port)
    return [str(port) for port in ports]


def script_of(blocks):
    """One script, and the blocks that it runs."""
    lines, running = ["set -eo pipefail", "exec 2>&1"], []
    for block in blocks:
        if block.language not in SHELLS and "file" in block.options:
            name = block.options["file"]
            lines += ["cat >'%s' <<'@@@end'" % name, block.text.rstrip("\n"), "@@@end"]
        if block.language not in SHELLS or "elsewhere" in block.options:
            continue
        lines.append("echo; echo %s %d" % (MARK, len(running)))
        running.append(block)
        fails = block.options.get("fails")
        if fails:
            lines += ["set +e", block.text, "status=$?", "set -e",
                      'if [ "$status" != %s ]; then echo "status $status, not %s"; exit 1; fi'
                      % (fails, fails)]
        else:
            lines.append(block.text)
    lines.append("echo; echo %s end" % MARK)
    return "\n".join(lines) + "\n", running


def matches(expected, output):
    """The first expected line that the output does not have, or None."""
    shown = [" ".join(line.split()) for line in output.splitlines()]
    at = 0
    for line in expected.splitlines():
        wanted = " ".join(line.split())
        if wanted in ("", "..."):
            continue
        pattern = re.compile(".*".join(re.escape(part) for part in wanted.split("...")) + "$")
        while at < len(shown) and not pattern.match(shown[at]):
            at += 1
        if at == len(shown):
            return line
        at += 1
    return None


def environment(build, folder, ports):
    env = {k: v for k, v in os.environ.items() if not k.startswith(("OMEN", "GRPC_"))}
    env["PATH"] = ":".join([os.path.join(build, "bin"), os.path.join(build, "e2e", "venv", "bin"),
                            env["PATH"]])
    env["OMEND_LISTEN"], env["OMEND_ADMIN_LISTEN"] = ("127.0.0.1:" + port for port in ports[:2])
    env["OMEND_RESERVE_BYTES"] = "1MiB"  # a test machine may have little space
    env["OMENDB_LIBRARY"] = os.path.join(build, "lib", "libomendb.so.0")
    env["HOME"] = folder
    for name in ("no_proxy", "NO_PROXY"):
        env[name] = "localhost,127.0.0.1,::1"
    return env


def run_page(build, page, blocks, folder):
    """Runs the blocks; returns how many. Raises Mistake with what went wrong."""
    ports = free_ports(len(PORTS))
    for block in blocks:
        for port, free in zip(PORTS, ports):
            block.text = re.sub(r"\b%s\b" % port, free, block.text)
    script, running = script_of(blocks)
    for name in LINKS:
        os.symlink(os.path.join(ROOT, name), os.path.join(folder, name))
    with tempfile.TemporaryFile("w+", errors="replace") as said:
        child = subprocess.Popen(
            ["bash", "-c", script, os.path.basename(page)], cwd=folder, stdin=subprocess.DEVNULL,
            env=environment(build, folder, ports), stdout=said, start_new_session=True,
        )
        try:
            child.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            pass  # told below: a block did not come to its end
        finally:
            with contextlib.suppress(ProcessLookupError):  # what it left in the background, too
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        said.seek(0)
        output = said.read()
    parts = re.split(r"^%s (\d+|end)$" % MARK, output, flags=re.M)
    said = dict(zip(parts[1::2], parts[2::2]))
    for number, block in enumerate(running):
        text = said.get(str(number), "")
        done = str(number + 1) in said or "end" in said and number + 1 == len(running)
        if not done:
            raise Mistake("%s: it fails:\n%s\n---- it said\n%s" % (block.where(), block.text, text))
        missing = matches(block.expected.text, text) if block.expected else None
        if missing is not None:
            raise Mistake("%s: the output has no line `%s`\n---- it said\n%s"
                          % (block.where(), missing.strip(), text))
    return len(running)


def test_page(build, page):
    path = os.path.join(ROOT, page)
    with open(path, encoding="utf-8") as file:
        blocks = judge(blocks_of(page, file.read()))
    skipped = []
    for block in list(blocks):
        needs = block.options.get("needs")
        if needs and not shutil.which(needs, path=os.environ["PATH"] + ":/usr/sbin:/sbin"):
            skipped.append("%s (no %s)" % (block.where(), needs))
            blocks.remove(block)
    commands = sum(len(re.findall(r"^[^#\s].*", block.text, re.M)) for block in blocks
                   if block.language in SHELLS and "elsewhere" not in block.options)
    folder = tempfile.mkdtemp(prefix="docs-")
    try:
        count = run_page(build, page, blocks, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print("%s: %d blocks, %d lines of commands%s" % (
        page, count, commands, "; skipped: " + ", ".join(skipped) if skipped else ""), flush=True)


def pages():
    folder = os.path.join(ROOT, "docs")
    return ["README.md"] + sorted("docs/" + name for name in os.listdir(folder)
                                  if name.endswith(".md"))


def main():
    parser = argparse.ArgumentParser(description="Runs the commands of the guides.")
    parser.add_argument("build")
    parser.add_argument("pages", nargs="*", help="as docs/backup.md; all, if none is given")
    args = parser.parse_args()
    failed = False
    for page in args.pages or pages():
        try:
            test_page(os.path.abspath(args.build), page)
        except Mistake as mistake:
            failed = True
            print("FAIL %s" % mistake, flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
