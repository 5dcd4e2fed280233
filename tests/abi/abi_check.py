#!/usr/bin/env python3
"""abi_check.py - the public ABI against its ledgers in capi/abi, which change only on purpose.

    abi_check.py header                 declarations, constants and macros of omen.h
    abi_check.py standards              omen.h alone as C99 to C2x and C++11 to C++20, pedantic
    abi_check.py layout                 sizes and offsets, on every target a compiler here knows
    abi_check.py symbols LIB ARCHIVE    what the libraries export, and from which version
    abi_check.py hardening LIB          soname, dependencies, no writable code
    abi_check.py baseline LIB           abidiff against the types of the last baseline

With --update, header, layout, symbols and baseline write their ledger instead (capi/abi/update.sh).
SPDX-License-Identifier: Apache-2.0
"""
import difflib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
HEADER = os.path.join(ROOT, "capi/include/omen.h")
INCLUDE = os.path.dirname(HEADER)
LEDGERS = os.path.join(ROOT, "capi/abi")
MAP = os.path.join(ROOT, "capi/omendb.map")
SKIP = 77


class Failure(Exception):
    pass


def output(command, **more):
    done = subprocess.run(command, capture_output=True, text=True, check=False, **more)
    if done.returncode != 0:
        raise Failure("%s\n%s%s" % (" ".join(command), done.stdout, done.stderr))
    return done.stdout


def tool(*names):
    for name in names:
        if shutil.which(name):
            return name
    return None


def compare(name, lines, update):
    """The lines against a ledger, or into it."""
    path = os.path.join(LEDGERS, name)
    text = "\n".join(lines) + "\n"
    if update:
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return
    with open(path, encoding="utf-8") as file:
        old = file.read()
    if old != text:
        diff = difflib.unified_diff(old.splitlines(), lines, "capi/abi/" + name, "now", lineterm="", n=0)
        raise Failure("the ABI changed; if that is meant, raise OMEN_ABI_MINOR, run capi/abi/update.sh "
                      "and say it in CHANGELOG.md\n" + "\n".join(diff))


def constant_value(node):
    """The number that an enumeration constant is given, under whatever casts; None: the next one."""
    for child in node.get("inner", []):
        if child["kind"] == "ConstantExpr" and "value" in child:
            return int(child["value"])
        found = constant_value(child)
        if found is not None:
            return found
    return None


def declarations():
    """The declarations of omen.h as clang sees them: [(kind, name, text)]."""
    clang = tool("clang-14", "clang")
    ast = json.loads(output([clang, "-std=c17", "-Xclang", "-ast-dump=json", "-fsyntax-only", HEADER]))
    found, file = [], None
    for node in ast["inner"]:
        place = node.get("loc", {})
        file = place.get("file") or place.get("expansionLoc", {}).get("file") or file
        if not file or os.path.basename(file) != "omen.h":
            continue
        kind, name = node["kind"], node.get("name", "")
        inner = node.get("inner", [])
        if kind == "FunctionDecl":
            result = node["type"]["qualType"].split("(")[0].strip()
            args = ", ".join("%s %s" % (p["type"]["qualType"], p.get("name", "?"))
                             for p in inner if p["kind"] == "ParmVarDecl")
            must = any(p["kind"] == "WarnUnusedResultAttr" for p in inner)
            found.append(("function", name, "%s (%s)%s" % (result, args, " must_use" if must else "")))
        elif kind == "RecordDecl" and node.get("completeDefinition"):
            fields = ["%s %s" % (f["type"]["qualType"], f["name"]) for f in inner if f["kind"] == "FieldDecl"]
            found.append(("struct", name, "{ %s }" % "; ".join(fields)))
        elif kind == "EnumDecl":
            value = -1
            for item in inner:
                given = constant_value(item)
                value = value + 1 if given is None else given
                found.append(("constant", item["name"], str(value)))
        elif kind == "TypedefDecl":
            found.append(("typedef", name, node["type"]["qualType"]))
    return found


def macros():
    text = output([tool("clang-14", "clang"), "-std=c17", "-E", "-dM", HEADER])
    found = re.findall(r"^#define (OMEN_\w+(?:\([^)]*\))?)[ ]?(.*)$", text, re.M)
    return [("macro", name, value) for name, value in found if name not in ("OMEN_H",)]


def check_header(update):
    lines = ["%-8s %s %s" % item for item in sorted(declarations() + macros())]
    compare("omen.abi.txt", lines, update)


def try_compile(compiler, flags, source, suffix):
    """Compiles a text that includes omen.h; the messages when it fails."""
    with tempfile.NamedTemporaryFile("w", suffix=suffix) as file:
        file.write(source)
        file.flush()
        done = subprocess.run([compiler, *flags, "-I", INCLUDE, "-fsyntax-only", file.name],
                              capture_output=True, text=True, check=False)
    return None if done.returncode == 0 else "%s %s\n%s" % (compiler, " ".join(flags), done.stderr)


def check_standards(_update):
    strict = ["-Wall", "-Wextra", "-Wpedantic", "-pedantic-errors", "-Wpadded", "-Wconversion", "-Wshadow",
              "-Wundef", "-Werror"]
    source = '#include "omen.h"\n#include "omen.h"\nextern int omen_unit;\n'
    tried, failed = 0, []
    for compiler in ("gcc", "clang"):
        for standard in ("c99", "c11", "c17", "c2x"):
            tried += 1
            failed.append(try_compile(compiler, ["-std=" + standard, *strict, "-Wstrict-prototypes"], source, ".c"))
    for compiler in ("g++", "clang++"):
        for standard in ("c++11", "c++14", "c++17", "c++20"):
            tried += 1
            failed.append(try_compile(compiler, ["-std=" + standard, *strict], source, ".cc"))
    everything = ["-Weverything", "-Wno-unused-macros", "-Wno-reserved-identifier", "-Werror"]
    failed.append(try_compile("clang", ["-std=c99", *everything], source, ".c"))
    failed = [text for text in failed if text]
    if failed:
        raise Failure("\n".join(failed))
    print("%d compilers and standards" % (tried + 1))


# Sizes and offsets of LP64 systems are in the ledger. On the rest only the structs that hold no pointer
# and are frozen can be compared; the header must at least be accepted.
LAYOUT = r"""
#include <stddef.h>
#include "omen.h"
#if defined(__cplusplus)
#define CHECK(test, text) static_assert(test, text)
#else
#define CHECK(test, text) _Static_assert(test, text)
#endif
#define STRUCT(type, size) CHECK(sizeof(type) == (size), "size of " #type);
#define FIELD(type, field, at, size) \
    CHECK(offsetof(type, field) == (at), "offset of " #type "." #field); \
    CHECK(sizeof(((type *)0)->field) == (size), "size of " #type "." #field);
CHECK(sizeof(omen_error) == 256, "omen_error has 256 bytes everywhere");
CHECK(sizeof(omen_status_t) == 4, "omen_status_t has 4 bytes everywhere");
#if defined(__LP64__)
#include "omen.layout.inc"
#endif
extern int omen_unit;
"""
TARGETS = ["x86_64-linux-gnu", "aarch64-linux-gnu", "riscv64-linux-gnu", "s390x-linux-gnu", "i386-linux-gnu",
           "armv7-linux-gnueabihf", "x86_64-pc-windows-msvc", "arm64-apple-macos11"]


def layout_ledger():
    lines = ["/* omen.layout.inc - sizes and offsets of the public structs on LP64 systems; written by",
             " * capi/abi/update.sh. SPDX-License-Identifier: Apache-2.0 */"]
    body = []
    for kind, name, text in sorted(declarations()):
        if kind == "struct":
            body.append('printf("STRUCT(%s, %%zu)\\n", sizeof(%s));' % (name, name))
            for field in text.strip("{} ").split("; "):
                field = re.search(r"(\w+)$", field).group(1)
                body.append('printf("FIELD(%s, %s, %%zu, %%zu)\\n", offsetof(%s, %s), sizeof(((%s *)0)->%s));'
                            % (name, field, name, field, name, field))
    with tempfile.TemporaryDirectory() as folder:
        source = os.path.join(folder, "print.c")
        with open(source, "w", encoding="utf-8") as file:
            file.write("#include <stdio.h>\n#include <stddef.h>\n#include \"omen.h\"\nint main(void)\n{\n%s\n}\n"
                       % "\n".join(body))
        program = os.path.join(folder, "print")
        output(["cc", "-I", INCLUDE, "-o", program, source])
        return lines + output([program]).splitlines()


def check_layout(update):
    if update:
        compare("omen.layout.inc", layout_ledger(), True)
        return
    with open(os.path.join(LEDGERS, "omen.layout.inc"), encoding="utf-8") as file:
        ledger = file.read()
    structs = {name for kind, name, _ in declarations() if kind == "struct"}
    missing = sorted(structs - set(re.findall(r"STRUCT\((\w+),", ledger)))
    if missing:
        raise Failure("capi/abi/omen.layout.inc lacks " + ", ".join(missing))
    runs = []
    for compiler in ("gcc", "clang", "aarch64-linux-gnu-gcc"):
        if tool(compiler):
            runs.append((compiler, ["-std=c17"], ".c"))
        else:
            print("not here: " + compiler)
    runs += [("g++", ["-std=c++17", "-Wno-invalid-offsetof"], ".cc"),
             ("gcc", ["-std=c17", "-m32", "-ffreestanding"], ".c")]
    runs += [("clang", ["-std=c17", "--target=" + target, "-ffreestanding"], ".c") for target in TARGETS]
    failed = []
    for compiler, flags, suffix in runs:
        text = try_compile(compiler, [*flags, "-I", LEDGERS, "-Werror"], LAYOUT, suffix)
        print("%-9s %s %s" % ("ok" if text is None else "FAILED", compiler, " ".join(flags)))
        failed.append(text)
    failed = [text for text in failed if text]
    if failed:
        raise Failure("\n".join(failed))
    broken = re.sub(r"STRUCT\(omen_error, \d+\)", "STRUCT(omen_error, 255)", ledger)
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "omen.layout.inc"), "w", encoding="utf-8") as file:
            file.write(broken)
        if try_compile("gcc", ["-std=c17", "-I", folder], LAYOUT, ".c") is None:
            raise Failure("a wrong size in the ledger goes unnoticed: the check checks nothing")


def dynamic_symbols(library):
    found = []
    for line in output(["nm", "-D", "--defined-only", "--with-symbol-versions", library]).splitlines():
        kind, name = line.split()[1:3]
        if kind != "A":  # the version nodes themselves
            found.append((name, kind))
    return sorted(found)


def check_symbols(update, library, archive):
    exported = dynamic_symbols(library)
    functions = {name for kind, name, _ in declarations() if kind == "function"}
    names = {re.split("@+", name)[0] for name, _ in exported}
    problems = ["declared, not exported: " + name for name in sorted(functions - names)]
    problems += ["exported, not declared: " + name for name in sorted(names - functions)]
    with open(MAP, encoding="utf-8") as file:
        mapped = set(re.findall(r"^\s+(omen_\w+);", file.read(), re.M))
    problems += ["not in capi/omendb.map: " + name for name in sorted(functions - mapped)]
    globals_ = {line.split()[-1] for line in output(["nm", "-g", "--defined-only", archive]).splitlines()
                if len(line.split()) == 3}
    problems += ["global in the archive: " + name for name in sorted(globals_ - functions)]
    problems += ["missing in the archive: " + name for name in sorted(functions - globals_)]
    if problems:
        raise Failure("\n".join(problems))
    compare("omen.symbols.txt", ["%s %s" % item for item in exported], update)


def check_hardening(_update, library):
    dynamic = output(["readelf", "-dW", library])
    segments = output(["readelf", "-lW", library])
    major = re.search(r"OMEN_ABI_MAJOR (\d+)u", open(HEADER, encoding="utf-8").read()).group(1)
    problems = []
    if "soname: [libomendb.so.%s]" % major not in dynamic:
        problems.append("the soname is not libomendb.so.%s" % major)
    for text, want in (("TEXTREL", False), ("RPATH", False), ("RUNPATH", False), ("BIND_NOW", True)):
        if (text in dynamic) != want:
            problems.append("%s is %s" % (text, "missing" if want else "there"))
    if "GNU_RELRO" not in segments:
        problems.append("no relro")
    if not re.search(r"GNU_STACK.* RW ", segments):
        problems.append("the stack may be executable")
    for flags in re.findall(r"LOAD .* ([R ][W ][E ]) 0x", segments):
        if "W" in flags and "E" in flags:
            problems.append("a segment is writable and executable")
    needed = set(re.findall(r"NEEDED.*\[(.*?)\.so", dynamic))
    if needed - {"libc", "libm", "libutf8proc", "libstemmer", "ld-linux-x86-64", "ld-linux-aarch64"}:
        problems.append("unexpected dependencies: %s" % ", ".join(sorted(needed)))
    if problems:
        raise Failure("\n".join(problems))


def check_baseline(update, library):
    if not (tool("abidw") and tool("abidiff")):
        print("abigail-tools are not installed")
        return SKIP
    version = re.findall(r"OMEN_ABI_M(?:AJ|IN)OR (\d+)u", open(HEADER, encoding="utf-8").read())
    baseline = os.path.join(LEDGERS, "omendb-%s.abi" % ".".join(version))
    if update:
        output(["abidw", "--headers-dir", INCLUDE, "--drop-private-types", "--exported-interfaces-only",
                "--no-corpus-path", "--no-comp-dir-path", "--out-file", baseline, library])
        with open(baseline, encoding="utf-8") as file:
            text = file.read()
        with open(baseline, "w", encoding="utf-8") as file:  # nobody else has this folder
            file.write(re.sub(r"path='[^']*?/(capi|core)/", r"path='\1/", text))
        return 0
    # The folders of headers tell what is public: what stands behind the opaque handles may change.
    done = subprocess.run(["abidiff", "--headers-dir1", INCLUDE, "--headers-dir2", INCLUDE,
                           "--exported-interfaces-only", baseline, library],
                          capture_output=True, text=True, check=False)
    print(done.stdout + done.stderr)
    # Bits: 1 error, 2 usage, 4 a change, 8 an incompatible one. A field that moved is only "a change" to
    # abidiff, so that fails as well; a change that is meant comes with a new baseline.
    if done.returncode != 0:
        raise Failure("abidiff ended with %d; capi/abi/update.sh when the change is meant" % done.returncode)
    return 0


def main():
    words = [word for word in sys.argv[1:] if word != "--update"]
    update = "--update" in sys.argv[1:]
    checks = {"header": check_header, "standards": check_standards, "layout": check_layout,
              "symbols": check_symbols, "hardening": check_hardening, "baseline": check_baseline}
    if not words or words[0] not in checks:
        print(__doc__)
        return 2
    try:
        return checks[words[0]](update, *words[1:]) or 0
    except Failure as failure:
        print(failure)
        return 1


if __name__ == "__main__":
    sys.exit(main())
