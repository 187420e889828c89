"""300 texts that try to act as markup, code, a formula, a path or a command of the terminal."""

from itertools import product

from hostile import NAMES, TAKEN

TAGS = (
    "img src=x",
    "svg",
    "body",
    "video src=x",
    "audio src=x",
    "input",
    "details open",
    "marquee",
    "object data=x",
    "a",
)
EVENTS = ("onerror", "onload", "onfocus autofocus", "onmouseover", "onanimationstart", "ontoggle", "onbegin", "onstart")
SCHEMES = (
    "javascript:",
    "JaVaScRiPt:",
    "java\tscript:",
    "data:text/html,",
    "vbscript:",
    "\x01javascript:",
    "view-source:",
)
PLACES = (
    "<a href='{}'>x</a>",
    "<iframe src='{}'>",
    "<form action='{}'>",
    "[x]({})",
    "<{}>",
    "![x]({})",
    "<embed src='{}'>",
)
FORMULAS = (
    "=1+1",
    "+1+1",
    "-1+1",
    "@SUM(1)",
    "\t=1+1",
    "\r=1+1",
    "=cmd|'/C calc'!A0",
    '=WEBSERVICE("http://host.example/")',
)
ENCODED = (
    "<scr\0ipt>",
    "%3Cscript%3E",
    "\\x3cscript\\x3e",
    "&lt;img&gt;",
    "&#x3c;svg&#x3e;",
    "＜script＞",
    "<\u200bscript>",
)
LATEX = (
    "$\\href{{javascript:{0}}}{{x}}$",
    "\\input{{/etc/passwd}}{0}",
    "$$\\unicode{{x3c}}script{0}$$",
    "\\write18{{{0}}}",
)
TERMINAL = (
    "\x1b]0;title\x07",
    "\x1b[2J\x1b[H",
    "\x9b31m",
    "\x1b]52;c;AAAA\x07",
    "\x1bP1$tx\x1b\\",
    "\x07\x08\x08",
    "\x0e",
)
BIDI = (
    "\u202etxt.exe",
    "\u2067a\u2066b",
    "a\u200bb\u200cc\u200dd\ufeff",
    "\u2028line\u2029",
    "\u0000",
    "\ufffe\uffff",
    "e" + "\u0301" * 99,
)
FILES = (
    "../x",
    "..\\x",
    "/etc/passwd",
    "CON",
    "a/b",
    ".",
    "..",
    "-rf",
    "$(id)",
    "`id`",
    "x; id",
    "~root",
    "x\ny",
    "%00",
)
WORDS = (
    "__proto__",
    "constructor",
    "{{7*7}}",
    "${7*7}",
    "#{7*7}",
    "<%= 7 %>",
    "{% include 'x' %}",
    "undefined",
    "1e999",
    "x" * 100_000,
)

MADE = [*FORMULAS, *TERMINAL, *BIDI, *FILES, *WORDS]
MADE += [f"{each}{TAKEN}" for each in ENCODED] + [each.format(TAKEN) for each in LATEX]
MADE += [place.format(f"{scheme}{TAKEN}") for place, scheme in product(PLACES, SCHEMES)]
MADE += [f"<{tag} {event}={TAKEN}>" for tag, event in product(TAGS, EVENTS)]
MADE += [f'"><{tag} {event}="{TAKEN}" ' for tag, event in product(TAGS[:9], EVENTS)]
PAYLOADS = tuple(dict.fromkeys([*NAMES, *MADE]))[:300]
