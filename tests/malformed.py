"""Files with one fault each, of the kinds that files get when they are cut, edited, joined or converted."""

import gzip
import random
from collections.abc import Callable

JUNK = (
    b"\t",
    b"\n",
    b"\r",
    b"\r\n",
    b'"',
    b",",
    b";",
    b"::",
    b"\0",
    b"\x01",
    b"\xff",
    b"{",
    b"]",
    b"#",
    b"''",
    b"\xc3",
    b" ",
)


def _swap_columns(lines: list[bytes], rng: random.Random) -> list[bytes]:
    """Swap two columns, in all lines but the first or in some."""
    separator = max(b",\t; ", key=lambda each: lines[0].count(bytes([each])))
    share = rng.choice([0.0, 0.9])

    def swap(line: bytes) -> bytes:
        values = line.split(bytes([separator]))
        if len(values) < 2 or rng.random() < share:
            return line
        one, two = rng.sample(range(len(values)), 2)
        values[one], values[two] = values[two], values[one]
        return bytes([separator]).join(values)

    return lines[:1] + [swap(line) for line in lines[1:]]


def _mix_units(lines: list[bytes], rng: random.Random) -> list[bytes]:
    """Multiply the long numbers of some lines, as where seconds and milliseconds were joined."""

    def multiply(line: bytes) -> bytes:
        words = line.replace(b"\t", b",").split(b",")
        number = next((word for word in words if word.strip().isdigit() and len(word.strip()) >= 9), b"")
        return line.replace(number, number.strip() + b"000") if number else line

    return [multiply(line) if rng.random() < 0.1 else line for line in lines]


def damage(content: bytes, rng: random.Random) -> bytes:
    """Return the content with one fault, drawn by `rng`."""
    at, n = rng.randrange(len(content)), rng.randrange(1, 60)
    lines, text = content.split(b"\n"), content.decode("utf-8", errors="replace")
    some = [line for line in lines if rng.random() > 0.02]
    faults: list[Callable[[], bytes]] = [
        lambda: content[:at],
        lambda: content[:at] + content[at + n :],
        lambda: content[:at] + rng.choice(JUNK) * rng.randrange(1, 4) + content[at:],
        lambda: content[:at] + bytes([rng.randrange(256)]) + content[at + 1 :],
        lambda: content + content[at:],
        lambda: content[at:],
        lambda: b"\n".join(rng.sample(lines, len(lines))),
        lambda: b"\n".join(some),
        lambda: b"\n".join(_swap_columns(lines, rng)),
        lambda: b"\n".join(_mix_units(lines, rng)),
        lambda: b"\r\n".join(lines[: len(lines) // 2]) + b"\r\n" + b"\n".join(lines[len(lines) // 2 :]),
        lambda: b"\r\n".join(lines),
        lambda: b"\n\n".join(lines),
        lambda: text.encode(rng.choice(["utf-16", "utf-16-le", "utf-8-sig", "utf-32"])),
        lambda: text.replace("a", "é").encode("latin-1", "replace"),
        lambda: gzip.compress(content)[: rng.choice([None, -3, len(content) // 8])],
        lambda: b"\n".join(line.replace(b",", b";") if rng.random() < 0.1 else line for line in lines),
        lambda: b"\n".join(line + b"," if rng.random() < 0.1 else line for line in lines),
        lambda: content[:at] + b"x" * 3_000_000 + content[at:],
    ]
    return rng.choice(faults)()
