"""`make spark`: say what ENGINE=spark lacks and how to get it, install PySpark, and run a job of one row."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LEAST = 17  # the version of Java
HOW = """Install Java 17 or later, then type `make spark` again:
  Debian, Ubuntu  sudo apt-get install openjdk-17-jre-headless
  Fedora          sudo dnf install java-17-openjdk-headless
  macOS           brew install openjdk@17, then set JAVA_HOME to what `brew --prefix openjdk@17` prints
  conda           conda install -c conda-forge openjdk=17"""


def find_java() -> tuple[str, int]:
    """Return the path of the Java that Spark uses and its version; "" and 0 if there is none."""
    home = os.environ.get("JAVA_HOME")
    path = str(Path(home) / "bin" / "java") if home else shutil.which("java") or ""
    try:
        said = subprocess.run([path, "-version"], capture_output=True, text=True, check=True).stderr
    except (OSError, subprocess.CalledProcessError):
        return path, 0
    found = re.search(r'version "(?:1\.)?(\d+)', said)
    return path, int(found[1]) if found else 0


def install() -> None:
    """Install the extra `spark` of pyproject.toml into the environment of this Python."""
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    print(f"installing {' '.join(wanted['spark'])}: some minutes, about 450 MB", flush=True)
    uv = shutil.which("uv")
    installer = (
        [uv, "pip", "install", "--quiet", "--python", sys.executable]
        if uv
        else [sys.executable, "-m", "pip", "-q", "install"]
    )
    subprocess.run([*installer, *wanted["spark"]], check=True)


def main() -> int:
    """Return the status: 0 if Spark runs, 2 if something is missing."""
    path, version = find_java()
    if version < LEAST:
        arrived = f"version {version} at {path}" if version else f"none at {path}" if path else "none"
        print(f"Java: expected version {LEAST} or later, got {arrived}\n{HOW}", file=sys.stderr)
        return 2
    try:
        if not importlib.util.find_spec("pyspark"):
            install()
        done = subprocess.run([sys.executable, __file__, "--job"], check=True, capture_output=True, text=True)
    except subprocess.CalledProcessError as error:
        last = (error.stderr or "see above").strip().splitlines()[-1]
        print(f"Spark: expected PySpark and a job of one row, got an error: {last}", file=sys.stderr)
        return 2
    print(f"{done.stdout.strip()}, Java {version}. make reports ENGINE=spark and make recommend ENGINE=spark work.")
    return 0


def run_job() -> None:
    """Run a job of one row, and print the version of Spark and the master."""
    from recsys.data.spark import spark_session

    with spark_session() as session:
        assert session.range(1).count() == 1
        print(f"Spark {session.version} at {session.sparkContext.master}")


if __name__ == "__main__":
    sys.exit(run_job() if "--job" in sys.argv else main())
