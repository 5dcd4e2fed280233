"""Every command of the guides, page by page. SPDX-License-Identifier: Apache-2.0"""

import os
import sys

from harness import BUILD, ROOT, check, main, run


@check("every command of README.md and docs/, run as a reader would", seconds=1800)
def commands():
    done = run(sys.executable, os.path.join(ROOT, "tests", "docs", "docs_test.py"), BUILD, check=False, timeout=1700)
    if done.returncode != 0:
        sys.stderr.write(done.stdout + done.stderr)
        raise AssertionError(next(line for line in done.stdout.splitlines() if line.startswith("FAIL")))
    pages = [line for line in done.stdout.splitlines() if " blocks, " in line]
    lines = sum(int(line.split(" blocks, ")[1].split()[0]) for line in pages)
    return "%d pages, %d lines of commands" % (len(pages), lines)


if __name__ == "__main__":
    main()
