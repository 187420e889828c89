"""The explorer of a run's songs as one page for a browser: python -m recsys.explore RUN=… RECIPE=…"""

import sys
from collections.abc import Sequence

from recsys.files import write_atomically
from recsys.models.neighbours import map_positions
from recsys.recommend import PARAMETERS, Recommender
from recsys.reports import explorer
from recsys.reports.pages import explorer_page
from recsys.reports.parameters import read_values
from recsys.runs import project_root


def main(arguments: Sequence[str] | None = None) -> int:
    """Write explorer.html into the run's folder and print its path. Return the exit status, 0 or 2."""
    known = {name: PARAMETERS[name] for name in ("RUN", "RECIPE")}
    try:
        values = read_values(sys.argv[1:] if arguments is None else arguments, known, project_root())
        recommender = Recommender.load(values.get("RUN", ""), values.get("RECIPE", ""))
    except (ValueError, FileNotFoundError, RuntimeError) as error:
        print(error, file=sys.stderr)
        return 2
    path = recommender.run.folder / explorer.PAGE
    page = explorer_page(recommender.explorer_data(map_positions(recommender.vectors)))
    with write_atomically(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    print(f"{path.relative_to(recommender.run.root)}: {path.stat().st_size:,} bytes; open it in a browser")
    return 0


if __name__ == "__main__":
    sys.exit(main())
