"""Random YAML texts: generated ones, lines of real files, and mutations of both."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

FRAGMENTS = [
    *("a", "b: ", "- ", "? ", ": ", "\n", "\n  ", "\n    ", " ", "  ", "\t", "#c", " #c", "---\n", "\n---\n", "...\n"),
    *("\r\n", "\r", "[", "]", "{", "}", ", ", ",", "'", '"', "''", "|\n  ", ">-\n  ", "|+\n  ", ">\n   ", "&a ", "*a"),
    *("<<: ", "!!str ", "1", "0x1f", "1e3", "1e400", ".inf", "~", "yes", "null", "\\/", "\\", "\\n", "\\\n", "\\ "),
    *("\\x41", "\\u00e9", "\\ud800", "\ufeff", "\x00", "\x85", "\u2028", "é", "😀", "@", "%", "- - a\n", "a:\n- b\n"),
    *("  a: 1\n", "b: 'x\n  y'\n", 'b: "x\\\n   y"\n', "--- a\n", "-", "key: v\n", "k:\n", "- k: v\n", "  k2: v\n"),
    *("\n\n", "   \n", "0", "-1", "+1", ":", "http://a:80/b", "a:b", "[]", "{}", "{a: 1}", "[a, b]", '{"a":1}', "?"),
    *("a: &x b\n", "c: *x\n", "x" * 70, "a?b", "1_000", "0o17", "12:30", "2001-01-01", "=", "`", "x #y", "x#y"),
]
_KEYS = [
    *(
        "a",
        "b",
        "c",
        "'q'",
        '"d"',
        "e f",
        "1",
        "true",
        "0x1",
        "k.io/x",
        "y",
        "null",
        "-x",
        "é",
        "~",
        "1.5",
        "a:b",
        "<<",
    ),
    *("9223372036854775808", ".inf"),
]
_SCALARS = [
    *("x", "1", "01", "1.5", "true", "null", "~", "a b", "'x'", '"x"', '"x\\ny"', "''", '""', "'it''s'", "x # c"),
    *("x#c", "'x' # c", "'x'#c", "http://h:1/p", "a: b", "a:", "-x", "- x", "--", "---", "...", "[]", "{}", "[a,]"),
    *("[a, 'b', \"c\"]", '{a: 1, "b": [2]}', "{a}", "[ ]", "{ }", "[]#", "[] # c", "&a x", "&a", "&b 'q r'", "*a"),
    *("*a # c", "!x y", "%x", "@x", "`x", "1e400", ".inf", "9223372036854775808", "123456789012345678", "-0", "-0.0"),
    *("é", "x\u00a0y", "x ", '"x ', "'x", "|", "|-", "|+", ">", ">-", ">+", "|2", "| # c", "? x", "?x", ":x", "x\\y"),
    *('"x\\"y"', '"\\u00e9"', '"\\/"', '"\\_"', "&a |", "{'a': b}", "[[1], {}]", "{a: 1, a: 2}", "{~: 1}", "[-1, -]"),
]
_FLOW_SCALARS = [
    *(
        "a",
        "b c",
        "1",
        "-1",
        "--x",
        "-",
        "'d'",
        "''",
        '"e"',
        '"f\\n"',
        '"\\/"',
        "http://g:1/h",
        "i:j",
        "k:",
        ":l",
        "m#n",
    ),
    *(
        "o #p",
        "null",
        "~",
        "true",
        "é",
        "q?r",
        "<<",
        "'<<'",
        "*a",
        "&a s",
        "!!str t",
        "a-b",
        "a - b",
        "a:-b",
        "'it''s'",
    ),
    *("1.5", ".inf", "0x1f", "1e400", "@u", "%v", "w%", "a: b", '"a":b', "a.", "/", "...", "---"),
]
_CONTINUATIONS = ["more", "x\\", "  y ", "z'", 'z"', "a: b", "#c", "- x", "\\ q", ""]
_MARKS = re.compile(r"[:'\"\n|>\[{-]")


def random_text(random: random.Random, texts: Sequence[str]) -> str:
    """Return a text that is often valid YAML; `texts` are real files."""
    kind = random.random()
    if kind < 0.25:
        return "".join(random.choice(FRAGMENTS) for _ in range(random.randint(0, 25)))
    if kind < 0.65:
        text = _collection(random, random.choice([0, 0, 0, 2]), 0) + random.choice(["\n", "\n", "", "\n\n", "\n  "])
        while random.random() < 0.2:
            text += random.choice(["---\n", "---\n\n"]) + _collection(random, 0, 2) + "\n"
        return mutated(random, text) if random.random() < 0.3 else text
    text = random.choice(texts)
    if len(text) > 600 or random.random() < 0.5:
        lines = text.split("\n")
        first = random.randrange(len(lines))
        text = "\n".join(lines[first : first + random.randint(1, 12)])
    return mutated(random, text) if random.random() < 0.9 else text


def mutated(random: random.Random, text: str) -> str:
    """Return `text` with a few changed characters and lines."""
    for _ in range(random.choice([1, 1, 1, 2, 3, 6])):
        kind, at = random.random(), random.randint(0, len(text))
        if kind < 0.35:
            text = text[:at] + random.choice(FRAGMENTS) + text[at:]
        elif kind < 0.5:
            text = text[:at] + text[at + random.choice([1, 1, 1, 2, 5]) :]
        elif kind < 0.6:
            text = text[:at] + random.choice(FRAGMENTS) + text[at + 1 :]
        elif kind < 0.8:
            text = _with_a_changed_line(random, text)
        elif marks := list(_MARKS.finditer(text)):
            at = random.choice(marks).start()
            text = text[:at] + random.choice(FRAGMENTS) + text[at + random.randint(0, 1) :]
    return text


def _with_a_changed_line(random: random.Random, text: str) -> str:
    lines = text.split("\n")
    number, kind = random.randrange(len(lines)), random.random()
    line = lines[number]
    if kind < 0.3:
        lines[number] = " " * random.randint(0, 3) + line
    elif kind < 0.6:
        lines[number] = line[random.randint(1, 3) :] if line.startswith("   ") else line[1:]
    elif kind < 0.75:
        del lines[number]
    elif kind < 0.9:
        lines.insert(number, random.choice(lines))
    else:
        lines[number] += random.choice([" ", "  ", " #x", ":", ": x"])
    return "\n".join(lines)


def _collection(random: random.Random, indent: int, depth: int) -> str:
    margin = " " * indent
    lines: list[str] = []
    if random.random() < 0.65 or depth > 4:
        for _ in range(random.randint(1, 4)):
            lines.append(f"{margin}{random.choice(_KEYS)}:{_value(random, indent, depth)}")
            if random.random() < 0.15:
                lines.append(_noise(random, indent))
    else:
        for _ in range(random.randint(1, 3)):
            if random.random() < 0.3 and depth < 4:
                inner = _collection(random, indent + 2, depth + 1)
                lines.append(f"{margin}- {inner.lstrip(' ')}" if random.random() < 0.95 else f"{margin}-\n{inner}")
            else:
                lines.append(f"{margin}-{_value(random, indent, depth)}")
    return "\n".join(lines)


def _noise(random: random.Random, indent: int) -> str:
    margin = " " * indent
    noise = ["", margin, "#c", f"{margin}# c", "  " * random.randint(0, 4), f"{margin}  more", f"{margin}x"]
    return random.choice([*noise, f"{margin} more: x"])


def _value(random: random.Random, indent: int, depth: int) -> str:
    kind = random.random()
    if kind < 0.1:
        return " " + _flow(random, 0) + random.choice(["", "", " ", " # c", "#c", ","])
    if kind < 0.5:
        scalar = random.choice([" "] * 8 + ["  ", "   "]) + random.choice(_SCALARS)
        if scalar.endswith(("|", ">", "|-", ">-", "|+", ">+")):
            return f"{scalar}\n{_block(random, indent)}"
        if random.random() < 0.15:
            margins = (" " * (indent + random.randint(0, 3)) for _ in range(random.randint(1, 4)))
            return "\n".join(
                [scalar, *(random.choice([margin + random.choice(_CONTINUATIONS), ""]) for margin in margins)]
            )
        return scalar + random.choice([""] * 9 + [" ", "  "])
    if kind < 0.6:
        return random.choice(["", " ", "  # c", " #"])
    if kind < 0.7:
        return "\n" + " " * (indent + 2) + random.choice(_SCALARS)
    return "" if depth > 4 else "\n" + _collection(random, indent + random.choice([0, 1, 2, 2, 2, 2, 4]), depth + 1)


def _flow(random: random.Random, depth: int) -> str:
    if random.random() < 0.5 or depth > 3:
        return random.choice(_FLOW_SCALARS)
    separators = [", "] * 8 + [",", " , ", ",  ", ", \n  ", " ", ", , "]
    items = [_flow(random, depth + 1) for _ in range(random.randint(0, 3))]
    if random.random() < 0.5:
        colons = [": "] * 6 + [":", " : ", ":  ", ":\n "]
        items = [f"{random.choice(_FLOW_SCALARS)}{random.choice(colons)}{item}" for item in items]
        return "{" + random.choice(separators).join(items) + random.choice(["}"] * 9 + [" }", ",}", "]"])
    return "[" + random.choice(separators).join(items) + random.choice(["]"] * 9 + [" ]", ",]", "}"])


def _block(random: random.Random, indent: int) -> str:
    margin = " " * (indent + random.choice([0, 1, 2, 2, 2, 2]))
    lines = ["text", "  more", "", " ", "# c", "a: b", "t  "]
    return "\n".join(
        random.choice([margin + random.choice(lines)] * 6 + ["", margin[:-1]]) for _ in range(random.randint(0, 6))
    )
