"""Names that try to act as markup or code, and a log whose songs, artists, albums and users all have such names."""

from pathlib import Path

import numpy as np
import pandas as pd

TAKEN = "document.title='taken'"
NAMES = (
    f"<script>alert(1);{TAKEN}</script>",
    f"</script><script>{TAKEN}</script>",
    f"<ScRiPt >{TAKEN}</sCrIpT >",
    f"<scr<script>ipt>{TAKEN}</scr</script>ipt>",
    f'<img src=x onerror="{TAKEN}">',
    f'"><img src=x onerror={TAKEN}>',
    f"'><svg/onload={TAKEN}>",
    f"<svg><animate onbegin={TAKEN} attributeName=x dur=1s></svg>",
    f"<math><mtext></mtext><img src=x onerror={TAKEN}></math>",
    f"<body onload={TAKEN}>",
    f"<details open ontoggle={TAKEN}>x</details>",
    f"<input autofocus onfocus={TAKEN}>",
    f'<iframe srcdoc="<script>parent.{TAKEN}</script>"></iframe>',
    f'<a href="javascript:{TAKEN}">press</a>',
    f"<!--><script>{TAKEN}</script-->",
    f"<![CDATA[<script>{TAKEN}</script>]]>",
    f"&lt;script&gt;{TAKEN}&lt;/script&gt;",
    f"&#60;script&#62;{TAKEN}&#60;/script&#62;",
    f"\\u003cscript\\u003e{TAKEN}",
    f"{{{{ constructor.constructor(\"{TAKEN}\")() }}}}",
    "{% raw %}{{ 7 * 7 }}{% endraw %}",
    "</td></tr></table></div></main><h1>another page</h1>",
    "<style>body { display: none }</style>",
    "<link rel=stylesheet href=http://host.example/a.css>",
    "<meta http-equiv=refresh content='0;url=http://host.example/'>",
    "<base href=http://host.example/>",
    "<form action=http://host.example/><button>press</button></form>",
    "![a](http://host.example/a.png)",
    "[a link](javascript:alert(1))",
    "# a heading\n\n- and a list\n\n```\nand code",
    "**bold** _it_ `code` | a | cell |",
    "<http://host.example/>",
    "$\\frac{1}{",
    "$$\\alpha$ costs $5 & up_to^10 %",
    "\\(x\\) \\[y\\] \\begin{equation}",
    "\x1b[31mred\x1b[0m\x1b]8;;http://host.example/\x07link\x1b]8;;\x07\x1b[2J",
    "\u202emoc.elpmaxe\u202c \u2066isolated\u2069 \u200fright",
    "שלום עליכם",
    "مرحبا بالعالم",
    "🎵👩‍👩‍👧‍👦🏳️‍🌈",
    "Z̸̧͠a̴͝l̵̈́g̶o̷͑" * 8,
    "a\ttab, a\rreturn\nand a line",
    'a "quoted" \'name\', with; commas',
    "=HYPERLINK(\"http://host.example/\")",
    "../../../etc/passwd",
    "null",
    "NaN",
    "None",
    " ",
    "x" * 10_000,
)
MARK = "listener7f3a"  # part of every user id


def write_log(path: Path, n_users: int = 60, n_items: int = 60, seed: int = 0) -> Path:
    """Write a Parquet file for the data set `csv`: 30 listens per user in 100 days, in two groups of taste."""
    rng = np.random.default_rng(seed)
    user = np.repeat(np.arange(n_users), 30)
    item = (rng.zipf(1.3, len(user)) * 2 + user % 2) % n_items
    names = np.array([NAMES[i % len(NAMES)] for i in range(max(n_users, n_items))], object)
    log = pd.DataFrame(
        {
            "user_id": [f"{names[u]}{MARK}-{u}" for u in user],
            "item_id": [f"{names[i]}-{i}" for i in item],
            "timestamp": 1_600_000_000 + rng.permutation(len(user)) * 100 * 86_400 // len(user),
            "name": names[item],
            "artist": names[(item * 7 + 1) % n_items],
            "album": names[(item * 3 + 2) % n_items],
        }
    )
    log.to_parquet(path, index=False)
    return path
