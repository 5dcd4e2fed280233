#!/usr/bin/env python3
"""lint.py - the house rules that a compiler does not know. Standard library only, seconds at most.

    lint.py [--cc COMPILER] [--build DIR]    DIR: a build, for headers that need generated ones

Prints "file:line: what is wrong" and ends with status 1 when there is anything.
SPDX-License-Identifier: Apache-2.0
"""
import argparse
import os
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# Left to right: a module may include what stands in an earlier group.
LAYERS = [["base"], ["os", "simd"], ["ds"], ["quant"], ["store", "graph", "meta", "text"], ["query"],
          ["engine"], ["capi"]]
RANK = {module: rank for rank, group in enumerate(LAYERS) for module in group}

# Calls that the library must not make: memory goes through om_alloc, text through bounded functions,
# and a library neither prints nor ends the program.
MEMORY = "malloc calloc realloc reallocarray free aligned_alloc posix_memalign strdup strndup asprintf " \
         "vasprintf alloca"
UNSAFE = "strcpy stpcpy strcat strncpy strncat sprintf vsprintf gets strtok atoi atol atoll atof scanf " \
         "sscanf fscanf rand srand tmpnam mktemp system popen localtime gmtime asctime ctime"
LIBRARY = "abort exit _exit quick_exit printf vprintf fprintf vfprintf puts fputs putchar putc perror " \
          "assert strerror getenv secure_getenv setenv setlocale signal sleep usleep dlopen"
# Files are reached through io.h, so that the simulated disk of the tests sees every call.
FILES = "open openat creat close read pread preadv write pwrite pwritev readv writev lseek fsync fdatasync " \
        "sync_file_range syncfs fallocate posix_fallocate ftruncate truncate rename renameat renameat2 link " \
        "linkat symlink unlink unlinkat remove mkdir mkdirat rmdir opendir fdopendir readdir closedir stat " \
        "fstat lstat fstatat statx statvfs fstatvfs statfs fcntl flock lockf mmap munmap msync sendfile " \
        "copy_file_range fopen fdopen freopen fclose fread fwrite fseek fflush mkstemp realpath access ioctl"
STREAMS = "stdin stdout stderr"
EXCEPT = {  # file: names it may use, because it is the one place for them
    "base_alloc.c": "malloc aligned_alloc free",
    "base_fail.c": "abort write",
    "io_system.c": FILES,
    "os_thread.c": "open read close",  # the cgroup's share of processors
    "os_vm.c": "mmap munmap",
    "simd_dispatch.c": "getenv secure_getenv",
}

WARN_LINES, MAX_LINES, MAX_COLUMNS = 800, 1500, 110
MAX_FUNCTION = 100
CODE = (".c", ".h")
TEXT = (".c", ".h", ".py", ".sh", ".cmake", ".txt", ".md", ".json", ".proto", ".rs", ".go", ".js", ".mjs",
        ".map", ".in", ".toml", ".yml", ".yaml", ".html", ".css", ".mod")
SPDX = (".c", ".h", ".py", ".sh", ".cmake", ".proto", ".rs", ".go", ".js", ".mjs")

# What would tie the tree to one machine or one package source.
PLACES = re.compile(r"(?<![\w.])/(?:work|root|home/\w+|Users)/|registry\.npmjs\.org|proxy\.golang\.org"
                    r"|(?:index|static)\.crates\.io|files\.pythonhosted\.org|pypi\.org")
INCLUDE = re.compile(r'^\s*#\s*include\s*(["<])([^">]+)[">]', re.M)
MARKER = re.compile(r"\b(?:TODO|FIXME|XXX|HACK)\b")


class Lint:
    def __init__(self):
        self.problems = []
        self.warnings = []

    def bad(self, path, line, text):
        self.problems.append("%s:%d: %s" % (path, line, text))


def list_files():
    """Tracked and new files; in a tree without git everything that is no build."""
    try:
        out = subprocess.check_output(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT,
                                      stderr=subprocess.DEVNULL, text=True)
        names = out.split("\n")
    except (OSError, subprocess.CalledProcessError):
        names = []
        for folder, folders, files in os.walk(ROOT):
            folders[:] = [f for f in folders if not f.startswith((".", "build"))
                          and f not in ("node_modules", "target", "__pycache__")]
            names += [os.path.relpath(os.path.join(folder, f), ROOT) for f in files]
    return sorted(n for n in names if n and os.path.isfile(os.path.join(ROOT, n)))


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        return file.read()


def line_of(text, at):
    return text.count("\n", 0, at) + 1


def strip_c(text):
    """The text with comments and the inside of strings blanked; lines keep their numbers."""
    def blank(match):
        found = match.group(0)
        if found[0] in "\"'":
            return found[0] + " " * (len(found) - 2) + found[0]
        return re.sub(r"[^\n]", " ", found)
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', blank, text, flags=re.S)


def module_of(path):
    """core/<m>/... and capi/... belong to modules; service and tests do not."""
    parts = path.split("/")
    if parts[0] == "core" and len(parts) > 2:
        return parts[1]
    return "capi" if parts[0] == "capi" else None


def declared_depends(lint, files):
    """What om_module() says of each module, closed over; checks it against the layers."""
    direct = {}
    for path in files:
        if not re.fullmatch(r"(core/\w+|capi)/CMakeLists\.txt", path):
            continue
        module = module_of(path)
        call = re.search(r"om_module\(\s*(\w+)\s*(.*?)\)", read(path), re.S)
        if module not in RANK:
            lint.bad(path, 1, "module %s is not in the layers of tests/lint/lint.py" % module)
        elif call is None or call.group(1) != module:
            lint.bad(path, 1, "no om_module(%s ...)" % module)
        else:
            words = call.group(2).split()
            names = []
            if "DEPENDS" in words:
                for word in words[words.index("DEPENDS") + 1:]:
                    if word in ("FOLDERS", "SOURCES", "LIBS"):
                        break
                    names.append(word)
            for name in names:
                if RANK.get(name, 99) >= RANK[module]:
                    lint.bad(path, 1, "%s must not depend on %s" % (module, name))
            direct[module] = names
    closed = {}

    def close(module):
        if module not in closed:
            closed[module] = {module}
            for name in direct.get(module, []):
                closed[module] |= close(name)
        return closed[module]
    for module in direct:
        close(module)
    return closed


def check_includes(lint, files, texts):
    owner = {}
    for path in files:
        if path.endswith(".h"):
            owner.setdefault(os.path.basename(path), path)
    closed = declared_depends(lint, files)
    for path in files:
        if not path.endswith(CODE) or path not in texts:
            continue
        module = module_of(path)
        for match in INCLUDE.finditer(texts[path]):
            kind, name = match.groups()
            line = line_of(texts[path], match.start())
            if name.startswith("grpc/") and not name.endswith(".pb-c.h") \
                    and not path.startswith("service/rpc/"):
                lint.bad(path, line, "<%s>: only service/rpc may include gRPC" % name)
            if kind == "<":
                continue
            target = owner.get(os.path.basename(name))
            if target is None:
                continue
            home = module_of(target)
            if module is not None and target != "capi/include/omen.h":
                if home is None:
                    lint.bad(path, line, '"%s": a module must not include %s' % (name, target))
                elif home not in closed.get(module, {module}):
                    lint.bad(path, line, '"%s": %s does not name %s in DEPENDS' % (name, module, home))
                elif home != module and "/include/" not in target:
                    lint.bad(path, line, '"%s" is private to %s' % (name, home))
            if path.startswith(("service/", "ffi-examples/", "demo/")) and home is not None \
                    and target != "capi/include/omen.h":
                lint.bad(path, line, '"%s": what stands outside reaches the engine through omen.h only' % name)


def calls(names):
    return re.compile(r"(?<![\w.])(?<!->)(%s)\s*\(" % "|".join(names.split()))


def check_calls(lint, path, code):
    if path.startswith(("core/", "capi/")):
        banned = calls(" ".join((MEMORY, UNSAFE, LIBRARY)))
        streams = re.compile(r"\b(%s)\b" % "|".join(STREAMS.split()))
        if path.startswith("core/"):
            banned = calls(" ".join((MEMORY, UNSAFE, LIBRARY, FILES)))
    elif path.startswith("service/"):
        banned, streams = calls(UNSAFE), None
    elif path.startswith("tests/"):
        banned, streams = calls("gets sprintf vsprintf tmpnam mktemp"), None
    else:
        return
    allowed = EXCEPT.get(os.path.basename(path), "").split()
    for match in list(banned.finditer(code)) + (list(streams.finditer(code)) if streams else []):
        if match.group(1) not in allowed:
            lint.bad(path, line_of(code, match.start()), "%s is banned here" % match.group(1))


def check_functions(lint, path, code):
    """Functions end within MAX_FUNCTION lines; their braces stand in the first column."""
    start = None
    for number, line in enumerate(code.split("\n"), 1):
        if line == "{":
            start = number
        elif line.startswith("}") and start is not None:
            if number - start > MAX_FUNCTION:
                lint.bad(path, start, "a function of %d lines, at most %d" % (number - start, MAX_FUNCTION))
            start = None


def check_head(lint, path, text):
    name = os.path.basename(path)
    first = text.split("\n", 3)[:3]
    if path.endswith(CODE) and not any(name + " - " in line for line in first):
        lint.bad(path, 1, "the first line does not say what the file is for (%s - ...)" % name)
    needs = path.endswith(SPDX) or name in ("CMakeLists.txt", "Makefile")
    if needs and "SPDX-License-Identifier: Apache-2.0" not in "\n".join(text.split("\n")[:40]):
        lint.bad(path, 1, "no SPDX-License-Identifier: Apache-2.0")


def check_guard(lint, path, code, guards):
    match = re.match(r"\s*#ifndef (\w+)\n#\s*define (\w+)\b", code)
    stem = re.sub(r"\W", "_", os.path.basename(path)[:-2]).upper()
    if match is None or match.group(1) != match.group(2):
        lint.bad(path, 1, "no include guard at the top")
    elif not match.group(1).endswith(stem + "_H"):
        lint.bad(path, 1, "guard %s should end in %s_H" % (match.group(1), stem))
    elif guards.setdefault(match.group(1), path) != path:
        lint.bad(path, 1, "guard %s is also that of %s" % (match.group(1), guards[match.group(1)]))


def check_text(lint, path, text):
    lines = text.split("\n")
    if text and not text.endswith("\n"):
        lint.bad(path, len(lines), "no newline at the end")
    if text.endswith("\n\n"):
        lint.bad(path, len(lines), "empty lines at the end")
    for number, line in enumerate(lines, 1):
        if line != line.rstrip():
            lint.bad(path, number, "space at the end")
        if path.endswith(CODE) and "\t" in line:
            lint.bad(path, number, "a tab")
        if path.endswith(CODE) and len(line) > MAX_COLUMNS and path != "capi/include/omen.h":
            lint.bad(path, number, "%d columns, at most %d" % (len(line), MAX_COLUMNS))
    if path.endswith(CODE + (".py",)):
        if len(lines) > MAX_LINES:
            lint.bad(path, 1, "%d lines, at most %d" % (len(lines), MAX_LINES))
        elif len(lines) > WARN_LINES:
            lint.warnings.append("%s:1: %d lines: time to split it" % (path, len(lines)))


def check_words(lint, path, text):
    if path == "tests/lint/lint.py":
        return
    for pattern, what in ((PLACES, "names a machine or a package source"),):
        for match in pattern.finditer(text):
            lint.bad(path, line_of(text, match.start()), "%s: %s" % (what, match.group(0)))
    if path.endswith(CODE + (".py", ".sh", ".cmake", ".rs", ".go", ".js", ".mjs", ".proto")):
        for match in MARKER.finditer(text):
            lint.bad(path, line_of(text, match.start()), "%s: finish it" % match.group(0))


def check_tree(lint, files):
    names = {}
    for path in files:
        if path.endswith(CODE) and path.startswith(("core/", "capi/", "service/", "tests/")) \
                and not path.startswith("tests/abi/consumer/"):
            other = names.setdefault(os.path.basename(path), path)
            if other != path:
                lint.bad(path, 1, "the name is also that of %s" % other)
    for path in files:
        match = re.fullmatch(r"(core/\w+|capi|service)/CMakeLists\.txt", path)
        if match and match.group(1) + "/README.md" not in files:
            lint.bad(match.group(1) + "/README.md", 1, "is missing: purpose, invariants, locks")


def include_folders(path, files, build):
    """The folders that the file may see: its own module's, those before it, or all of the service."""
    module = module_of(path)
    folders = ["capi/include", os.path.dirname(path)]
    if module is not None:
        folders += sorted({os.path.dirname(f) for f in files if f.endswith(".h") and module_of(f) == module})
        folders += ["core/%s/include" % m for m in RANK if m != "capi" and RANK[m] <= RANK.get(module, 99)]
    else:
        folders += sorted({os.path.dirname(f) for f in files
                           if f.startswith("service/") and f.endswith(".h")})
    paths = [os.path.join(ROOT, f) for f in folders]
    return paths + ([os.path.join(build, "service/gen"), os.path.join(build, "generated")] if build else [])


def check_headers(lint, files, texts, cc, build):
    """Each header compiles alone."""
    jobs = []
    for path in files:
        if not path.endswith(".h") or not path.startswith(("core/", "capi/", "service/")):
            continue
        if not build and module_of(path) is None:
            continue
        jobs.append(path)

    def compile_one(path):
        command = [cc, "-std=c17", "-D_GNU_SOURCE", "-fsyntax-only", "-Wall", "-Wextra", "-Werror",
                   "-Wno-unused-function", "-Wno-unused-const-variable"]
        for folder in include_folders(path, files, build):
            command += ["-I", folder]
        with tempfile.NamedTemporaryFile("w", suffix=".c") as source:
            source.write('#include "%s"\nextern int om_lint_unit;\n' % os.path.join(ROOT, path))
            source.flush()
            done = subprocess.run(command + [source.name], capture_output=True, text=True, check=False)
        return path, done.returncode, done.stderr

    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for path, status, errors in pool.map(compile_one, jobs):
            if status != 0:
                lint.bad(path, 1, "does not compile alone: " + errors.strip().replace("\n", "\n    "))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--cc", default="cc")
    parser.add_argument("--build", default="")
    args = parser.parse_args()
    lint = Lint()
    files = list_files()
    if not os.path.exists(os.path.join(args.build, "service/gen/om_methods.inc")):
        args.build = ""  # nothing generated there yet: headers of the service are left out
    texts, guards = {}, {}
    for path in files:
        name = os.path.basename(path)
        if not (path.endswith(TEXT) or name == "Makefile" or path == ".ci/run"):
            continue
        if path.startswith(("tests/golden/", "demo/data/")) or name in ("LICENSE", "package-lock.json"):
            continue
        try:
            text = read(path)
        except UnicodeDecodeError:
            lint.bad(path, 1, "is not UTF-8")
            continue
        texts[path] = text
        check_text(lint, path, text)
        check_head(lint, path, text)
        check_words(lint, path, text)
        if path.endswith(CODE):
            code = strip_c(text)
            check_calls(lint, path, code)
            if path.startswith(("core/", "capi/", "service/", "tests/")):
                check_functions(lint, path, code)
            if path.endswith(".h") and not path.startswith("ffi-examples/"):
                check_guard(lint, path, code, guards)
    check_includes(lint, files, texts)
    check_tree(lint, files)
    check_headers(lint, files, texts, args.cc, args.build)
    for text in lint.warnings:
        print("warning: " + text)
    for text in lint.problems:
        print(text)
    print("lint: %d files, %d problems" % (len(texts), len(lint.problems)))
    return 1 if lint.problems else 0


if __name__ == "__main__":
    sys.exit(main())
