"""What Colab lacks of this package's requirements, installed with nothing moved: python -m recsys.colab"""

import subprocess
import sys
import tempfile
from importlib import metadata

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def install_missing() -> list[str]:
    """Install by pip the requirements of this package that are missing, every package that is there held; return them.

    Raises CalledProcessError where pip finds no versions that go with those that are there.
    """
    there = {canonicalize_name(each.name): each.version for each in reversed([*metadata.distributions()]) if each.name}
    wanted = map(Requirement, metadata.requires("recsys") or ())
    base = [each for each in wanted if each.marker is None or each.marker.evaluate({"extra": ""})]
    missing = [f"{each.name}{each.specifier}" for each in base if canonicalize_name(each.name) not in there]
    if missing:
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as held:
            print(*(f"{name}==={version}" for name, version in there.items()), sep="\n", file=held, flush=True)
            command = [sys.executable, "-m", "pip", "install", "--quiet", "--constraint", held.name, *missing]
            subprocess.run(command, check=True)
    return missing


if __name__ == "__main__":
    print("installed:", " ".join(install_missing()) or "nothing, all was there")
