"""The benchmark of docs/reliability.md with eight jobs: real edits, real kills, a full disk, Ctrl-C."""

import subprocess
import sys


def test_eight_jobs_survive_it_all(repository):
    script = repository / "benchmarks" / "batch_reliability.py"
    done = subprocess.run([sys.executable, str(script), "--jobs", "8"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [line.split("│") for line in done.stdout.splitlines() if line.startswith("│")]
    codes = {row[1].strip(): row[2].strip() for row in rows}
    assert codes["worker and command killed"] == "-9"
    assert codes["disk full"] in ("10", "5")
    canceled = codes["worker killed and canceled (Ctrl-C) at once"]
    assert canceled in ("130", "0")  # 0 where all was done before the blow came
