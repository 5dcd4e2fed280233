"""Layouts and functions, against what a C compiler makes of omen.h.

OMENDB_LAYOUT_PROBE is the program built from layout_probe.c, OMENDB_HEADER the header.
SPDX-License-Identifier: Apache-2.0
"""

import os
import re
import subprocess
import unittest
from ctypes import sizeof

from omen import _abi


def struct_classes():
    """Every struct, by its name in C: CError is omen_error, RuntimeOptions omen_runtime_options."""
    for name, kind in vars(_abi).items():
        if isinstance(kind, type) and issubclass(kind, _abi.CStruct) and kind is not _abi.CStruct:
            words = re.findall("[A-Z][a-z]*", "Error" if name == "CError" else name)
            yield "omen_" + "_".join(words).lower(), kind


class AbiTest(unittest.TestCase):
    def test_layouts(self):
        probe = subprocess.run(
            [os.environ["OMENDB_LAYOUT_PROBE"]], check=True, capture_output=True, text=True
        )
        python = {}
        for name, kind in struct_classes():
            python[name] = "%d" % sizeof(kind)
            for field in kind._fields_:
                where = getattr(kind, field[0])
                python["%s.%s" % (name, field[0])] = "%d %d" % (where.offset, where.size)
        c = dict(line.split(" ", 1) for line in probe.stdout.splitlines())
        self.assertGreater(len(c), 100)
        self.assertEqual(python, c)

    def test_functions(self):
        with open(os.environ["OMENDB_HEADER"], encoding="utf-8") as header:
            text = re.sub(r"/\*.*?\*/", "", header.read(), flags=re.S)
        declared = {}
        for name, arguments in re.findall(r"\b(omen_\w+)\(([^;()]*)\);", text):
            declared[name] = 0 if arguments == "void" else arguments.count(",") + 1
        self.assertGreater(len(declared), 30)
        known = {name: len(arguments) for name, (_, arguments) in _abi.FUNCTIONS.items()}
        self.assertEqual(known, declared)

    def test_constants(self):
        with open(os.environ["OMENDB_HEADER"], encoding="utf-8") as header:
            text = header.read()
        values = dict(re.findall(r"\bOMEN_(\w+) = (\d+|0x[0-9a-f]+)u?\b", text))
        values.update(re.findall(r"#define OMEN_(\w+) +(\d+)u", text))
        for name, value in vars(_abi).items():
            if name.isupper() and isinstance(value, int) and name != "NONE":
                self.assertEqual(values[name], str(value), name)
        for table, prefix in (
            (_abi.METRICS, ""),
            (_abi.DTYPES, ""),
            (_abi.MODES, ""),
            (_abi.TYPES, "TYPE_"),
            (_abi.FUSIONS, "FUSE_"),
        ):
            for name, value in table.items():
                self.assertEqual(int(values[prefix + name.upper()], 0), value, name)
        ids = {"u64": "ID_U64", "uuid": "ID_UUID", "str": "ID_STRING"}
        self.assertEqual(
            {k: values[v] for k, v in ids.items()}, {k: str(v) for k, v in _abi.ID_TYPES.items()}
        )

    def test_numbers_that_do_not_fit(self):
        with self.assertRaises(OverflowError):
            _abi.Query(ef=2**32)
        with self.assertRaises(OverflowError):
            _abi.Query(k=-1)


if __name__ == "__main__":
    unittest.main()
