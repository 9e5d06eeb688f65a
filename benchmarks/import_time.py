"""What ``import pyro_mixvae`` costs beyond ``import pyro``: processor seconds, medians over fresh processes."""

from __future__ import annotations

import statistics
import subprocess
import sys

from benchmarks.record import HERE, described, write_json

ROUNDS = 7


def seconds(statement: str) -> float:
    code = f"import time; start = time.process_time(); {statement}; print(time.process_time() - start)"
    return float(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout)


def main() -> None:
    pairs = [(seconds("import pyro"), seconds("import pyro_mixvae")) for _ in range(ROUNDS)]
    ours, pyro = statistics.median(pair[1] for pair in pairs), statistics.median(pair[0] for pair in pairs)
    more = statistics.median(mine - theirs for theirs, mine in pairs)
    write_json("import_time", {"import pyro": pyro, "import pyro_mixvae": ours, "difference": more, "rounds": ROUNDS})
    text = (
        f"`import pyro` takes {pyro:.2f} s of processor time, `import pyro_mixvae` {ours:.2f} s: {more:.2f} s more "
        f"(medians over {ROUNDS} rounds of fresh processes in turn; at most 0.3 s is promised)."
    )
    (HERE / "import_time.md").write_text(described("Import", text), encoding="utf-8")


if __name__ == "__main__":
    main()
