"""Makes inputs: real samples with something changed, by a random generator whose seed gives the same input again."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Literal

Kind = Literal["bytes", "text", "json", "lines", "toml"]
"""How a sample is taken apart. ``lines``: one JSON value a line."""

MOST = 1 << 20
"""Bytes of the largest input."""

WORDS: tuple[str, ...] = (
    *("", " ", "\t", "\r\n", "\0", "\x1b[31m", "\x9b", "\u202e", "\u2028", "\x85", "\ufeff", "\ud800", "\udcff"),
    *("²", "٣", "İ", "ß", "é", "𝟛", "e\u0301", "-", "_", ".", "..", "../../x", "/", "//", "\\", "C:\\x", "%", "%00"),
    *("%ff", "@", "#", "?", ":", ";", ",", "=", "'", '"', "`", "$HOME", "${x}", "~", "~nobody-here/x", "*", "[", "]"),
    *("{", "}", "<", ">", "<!--", "-->", "</html>", "<base href='//['>", "&#0;", "&#x110000;", "(?:a+)+$", "None"),
    *("null", "true", "NaN", "Infinity", "-1", "-0", "0", "1", "255", "65535", "65536", "2147483648", "4294967296"),
    *("18446744073709551616", "1e999", "0x10", "1_000", "1.5", "9" * 20, "9" * 999, "9" * 4301, "1." * 600 + "1"),
    *(
        "1!1",
        "2.0.dev20260231+cu130",
        "2.0.dev20260231+cu130",
        "cp38.cp39",
        "cp3x",
        "2.11.0+cu999",
        "2.11.0+",
        "==2.*",
        "~=1",
        ">=3.9,<4",
        "===x",
        "!=1.*",
        "<0",
    ),
    *(
        "; python_version > 'x'",
        "; os_name ~= 'x'",
        "; 'x' in extras",
        "; extra == ''",
        "torch @ https://h/x.whl",
        "torch[x,y]>1; 'a' in os_name",
    ),
    *("cp312-cp312-manylinux_2_28_x86_64", "py3-none-any", "none", "any", "manylinux_9999999999_1_x86_64", "cu1280"),
    *("sm_120", "sm_", "sm_99999999999999999999", "compute_90a", "12.0", "12", "999.999", "0.0", "570.86.10"),
    *("https://[::1", "https://h:99999/", "//[", "http://h:b@d/", "file:///dev/zero", "file://\0/x", "data:,", "nan"),
    *("9999-12-31T23:59:59+23:59", "0001-01-01T00:00:00-23:59", "2026-02-30", "A" * 300, "é" * 5000, "[" * 3000),
    *('{"a":' * 3000, "a/" * 3000, "gzip", "chunked", "bytes */0", "bytes 5-1/3", "Mon, 99 Foo 9999 99:99:99 +9999"),
)
"""Texts that readers stumbled over, here and elsewhere."""

LEAVES: tuple[object, ...] = (
    *(None, True, False, 0, -1, 1, 2**31, 2**53 + 1, 2**63, 2**64, 10**30, 10**400, 0.5, -0.0, 1e308, [], {}, [[]]),
    *({"": None}, ["x"], [1], {"a": 1}, *WORDS),
)

_TOKEN = re.compile(rb"\"[^\"\n]*\"|'[^'\n]*'|[\w.+-]+")
_INTEGERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 2**63 - 1, 2**63, 2**64 - 1)


def mutate(random: Random, kind: Kind, samples: Sequence[bytes]) -> bytes:
    """One sample with one to four changes; of a structured kind mostly such that it can still be parsed."""
    data = random.choice(samples)
    for _ in range(random.choice((1, 1, 1, 2, 3, 4))):
        if kind in _TREES and random.random() < 0.7:
            data = _TREES[kind](random, data, samples)
        else:
            data = random.choice(_CHANGES)(random, data, samples)
    return data[:MOST]


def word(random: Random) -> bytes:
    return random.choice(WORDS).encode("utf-8", "surrogatepass")


def _span(random: Random, data: bytes, most: int = 64) -> tuple[int, int]:
    start = random.randrange(len(data) + 1)
    return start, min(len(data), start + random.randint(1, most))


def _flip(random: Random, data: bytes, samples: Sequence[bytes]) -> bytes:
    if not data:
        return word(random)
    at = random.randrange(len(data))
    return data[:at] + bytes([data[at] ^ (1 << random.randrange(8))]) + data[at + 1 :]


def _integer(random: Random, data: bytes, samples: Sequence[bytes]) -> bytes:
    """Another number in place of one of a binary format, or one more or less than is there."""
    size = random.choice((1, 2, 4, 8))
    if len(data) < size:
        return data + word(random)
    at = random.randrange(len(data) - size + 1)
    here = int.from_bytes(data[at : at + size], "little")
    value = random.choice((*_INTEGERS, here + 1, here - 1, here * 2, len(data), len(data) - at))
    return data[:at] + (value % (1 << 8 * size)).to_bytes(size, "little") + data[at + size :]


def _delete(random: Random, data: bytes, samples: Sequence[bytes]) -> bytes:
    start, end = _span(random, data, random.choice((1, 8, 64, 4096)))
    return data[:start] + data[end:]


def _insert(random: Random, data: bytes, samples: Sequence[bytes]) -> bytes:
    at = random.randrange(len(data) + 1)
    return data[:at] + word(random) + data[at:]


def _token(random: Random, data: bytes, samples: Sequence[bytes]) -> bytes:
    """Another word in place of one that stands there: from the list, or from a sample."""
    found = list(_TOKEN.finditer(data[:MOST]))
    if not found:
        return data + word(random)
    here = random.choice(found)
    other = list(_TOKEN.finditer(random.choice(samples)[:65536])) if random.random() < 0.3 else []
    new = random.choice(other)[0] if other else word(random)
    quote = here[0][:1] if here[0][:1] in (b'"', b"'") and random.random() < 0.8 else b""
    return data[: here.start()] + quote + new.strip(b"\"'" if quote else b"") + quote + data[here.end() :]


def _line(random: Random, data: bytes, samples: Sequence[bytes]) -> bytes:
    lines = data.splitlines(keepends=True) or [b""]
    at, other = random.randrange(len(lines)), random.randrange(len(lines))
    match random.randrange(4):
        case 0:
            del lines[at]
        case 1:
            lines.insert(other, lines[at])
        case 2:
            lines[at], lines[other] = lines[other], lines[at]
        case _:
            taken = random.choice(samples).splitlines(keepends=True) or [b""]
            lines.insert(at, random.choice(taken))
    return b"".join(lines)


def _cut(random: Random, data: bytes, samples: Sequence[bytes]) -> bytes:
    at = random.randrange(len(data) + 1)
    return data[:at] if random.random() < 0.7 else data[at:]


def _splice(random: Random, data: bytes, samples: Sequence[bytes]) -> bytes:
    other = random.choice(samples)
    return data[: random.randrange(len(data) + 1)] + other[random.randrange(len(other) + 1) :]


def _repeat(random: Random, data: bytes, samples: Sequence[bytes]) -> bytes:
    start, end = _span(random, data)
    times = random.choice((2, 10, 300, 10_000))
    return data[:start] + data[start:end] * min(times, MOST // max(1, end - start)) + data[end:]


_CHANGES: tuple[Callable[[Random, bytes, Sequence[bytes]], bytes], ...] = (
    *(_flip, _integer, _integer, _delete, _insert, _token, _token, _token, _line, _cut, _splice, _repeat),
)


def _json(random: Random, data: bytes, samples: Sequence[bytes]) -> bytes:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return _token(random, data, samples)
    return _dump(random, _changed(random, value))


def _dump(random: Random, value: object) -> bytes:
    return json.dumps(value, ensure_ascii=random.random() < 0.5).encode("utf-8", "surrogatepass")


def _lines(random: Random, data: bytes, samples: Sequence[bytes]) -> bytes:
    lines = data.splitlines()
    if not lines:
        return data
    at = random.randrange(len(lines))
    lines[at] = _json(random, lines[at], samples)
    return b"\n".join(lines) + b"\n"


def _toml(random: Random, data: bytes, samples: Sequence[bytes]) -> bytes:
    import tomlkit

    try:
        value = tomllib.loads(data.decode())
        return tomlkit.dumps(_changed(random, value)).encode("utf-8", "surrogatepass")
    except (ValueError, TypeError, AttributeError, RecursionError, tomlkit.exceptions.TOMLKitError):
        return _token(random, data, samples)


_TREES: dict[str, Callable[[Random, bytes, Sequence[bytes]], bytes]] = {"json": _json, "lines": _lines, "toml": _toml}


def _changed(random: Random, value: Any) -> Any:  # Any: parsed JSON and TOML
    """The value with one node changed."""
    places: list[tuple[Any, Any]] = []
    todo = [value] if isinstance(value, dict | list) else []
    while todo:
        each = todo.pop()
        pairs = list(each.items()) if isinstance(each, dict) else list(enumerate(each))
        for key, below in pairs:
            places.append((each, key))
            if isinstance(below, dict | list):
                todo.append(below)
    if not places:
        return random.choice(LEAVES)
    holder, key = random.choice(places)
    match random.randrange(8):
        case 0:
            del holder[key]
        case 1 if isinstance(holder, dict):
            holder[random.choice(WORDS)] = holder.pop(key)
        case 1 | 2 if isinstance(holder, list):
            holder.extend(holder[key : key + 1] * random.choice((1, 1, 50)))
        case 3:
            holder[key] = [holder[key]] if random.random() < 0.5 else {"x": holder[key]}
        case 4:
            other, place = random.choice(places)
            with_value = other[place] if place in (other if isinstance(other, dict) else range(len(other))) else None
            holder[key] = with_value if not isinstance(with_value, dict | list) else None
        case 5 if isinstance(holder[key], str):
            text = holder[key]
            at = random.randrange(len(text) + 1)
            holder[key] = text[:at] + random.choice(WORDS) + text[at + random.randrange(3) :]
        case _:
            holder[key] = random.choice(LEAVES)
    return value
