"""All tests, the long ones too: what they printed and how long they took."""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import time

from benchmarks.record import HERE, RESULTS, described, write_json

NAME = "full_tests"
#: How many of the slowest tests are listed.
SLOWEST = 25


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", default="2", help="processes that tests run in")
    workers = parser.parse_args().workers
    pytest = ["pytest", "--full", "-n", workers, "--dist", "worksteal", "-q", "-ra", f"--durations={SLOWEST}"]
    begin = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", *pytest], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    seconds = time.perf_counter() - begin
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{NAME}.txt").write_text(done.stdout, encoding="utf-8")
    last = done.stdout.strip().splitlines()[-1].strip("= ")
    write_json(NAME, {"tests": " ".join(pytest), "status": done.returncode, "seconds": seconds, "summary": last})
    slow = [line for line in done.stdout.splitlines() if re.match(r"\s*[\d.]+s (call|setup)", line)]
    skipped = [line for line in done.stdout.splitlines() if line.startswith(("SKIPPED", "FAILED", "ERROR"))]
    text = f"""`python -m {" ".join(pytest)}`: **{last}**; whole command {seconds / 60:.1f} minutes, exit status {done.returncode}.
All that it printed is in `results/{NAME}.txt`."""
    page = f"""{described("All tests", text)}
What was not run or did not pass, and why:

```text
{chr(10).join(skipped) or "nothing"}
```

The slowest:

```text
{chr(10).join(slow)}
```
"""
    (HERE / f"{NAME}.md").write_text(page, encoding="utf-8")
    print(last)
    raise SystemExit(done.returncode)


if __name__ == "__main__":
    main()
