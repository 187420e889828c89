"""The charts of the pages as coordinates: templates draw them as SVG in the page's own colours."""

import math
from typing import Any


def intervals(entries: list[tuple[str, dict[str, Any]]]) -> dict[str, Any]:
    """Lay out means and intervals on a scale from 0: its end, and 2 to 5 ticks at round numbers."""
    top = end([entry for _, entry in entries])
    power = 10 ** math.floor(math.log10(top))
    step = next(step for step in (0.2 * power, 0.5 * power, power, 2 * power) if top / step <= 5)
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    ticks = ["0", *(f"{step * i:.{digits}f}" for i in range(1, int(top / step) + 1))]
    return {"entries": entries, "top": top, "ticks": ticks}


def end(entries: list[dict[str, Any]]) -> float:
    """Return the end of a scale from 0 that holds all means and intervals; 1 if there is nothing on it."""
    return max((entry.get("high") or entry["value"] for entry in entries), default=0) or 1


def curves(found: dict[str, Any], width: float, height: float) -> dict[str, Any]:
    """Lay out accuracies from 0 to 1 by the number of random songs, on a logarithmic axis of a width and a height.

    `found` is what `summary.accuracy_curves` returns. The result has the points of each line, the ticks with their
    places, and the place of the marked number.
    """
    negatives = found["negatives"]
    last = math.log(negatives[-1]) or 1.0

    def x(n: float) -> float:
        return round(width * math.log(n) / last, 1)

    lines = {
        name: " ".join(f"{x(n)},{round(height * (1 - value), 1)}" for n, value in zip(negatives, values, strict=True))
        for name, values in found["curves"].items()
    }
    ticks = [1, found["mark"], negatives[-1]]
    return {"lines": lines, "ticks": [(f"{n:,}", x(n)) for n in ticks], "mark": x(found["mark"])}


def history(values: list[float], width: float, height: float) -> str:
    """Return the points of a small line through values in the order of time; one value gives no line."""
    if len(values) < 2:
        return ""
    low, spread = min(values), (max(values) - min(values)) or 1.0
    step = width / (len(values) - 1)
    places = enumerate(values)
    return " ".join(f"{i * step:.1f},{height * (1 - (value - low) / spread):.1f}" for i, value in places)
