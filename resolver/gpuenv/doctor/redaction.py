"""Takes out of texts what says who and where a person is, so that the rest can be sent to others; pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Self

from gpuenv.net.location import redact, secrets_of

_SECRET_NAME = re.compile(r"TOKEN|SECRET|PASS|CREDENTIAL|AUTH|COOKIE|SIGNATURE|API_?KEY|ACCESS_?KEY|PRIVATE|_KEY$|_PW$")
_ADDRESS = re.compile(r"\b([A-Za-z][A-Za-z0-9+.-]*://)([^/\s'\"`<>]*)([^\s'\"`<>]*)")
_KEPT = re.compile(r"[A-Za-z0-9_.+-]+\.(?:whl|tar\.gz|zip|html)")
_UUID = re.compile(r"\b(GPU|MIG)-[0-9a-fA-F]{4}[0-9a-fA-F-]{0,40}")
_LEAST = 4
"""Characters of the shortest value that is taken for a secret: `1` and `yes` are none."""
_SWITCHES = frozenset({"true", "false", "none", "auto", "basic", "bearer", "enabled", "disabled"})
"""What variables named like secrets hold that are none."""
_ANYBODY = frozenset({"root"})
"""Names of users that name nobody."""


@dataclass(slots=True, kw_only=True)
class Redaction:
    """What a text must not tell. Identifiers of GPUs become ``GPU-0``, ``GPU-1`` … in the order they are met, the same
    one each time."""

    home: str = ""
    project: str = ""
    user: str = ""
    host: str = ""
    secrets: tuple[str, ...] = ()
    words: frozenset[str] = frozenset()
    """Words that a report needs, such as names of packages: a user or a host named so is replaced in paths only."""
    _numbers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        environ: Mapping[str, str],
        *,
        home: str,
        project: str,
        user: str,
        host: str,
        said: Iterable[str] = (),
        words: Iterable[str] = (),
    ) -> Self:
        """Collect the secrets of a session: values of variables whose name says so, and those in any address.

        ``said`` are further texts that may be addresses, as options hold them.
        """
        named = [value for name, value in environ.items() if _SECRET_NAME.search(name.upper())]
        inside = [secret for text in (*environ.values(), *said) for secret in secrets_of(text)]
        secrets = {each for each in (*named, *inside) if len(each) >= _LEAST and each.lower() not in _SWITCHES}
        return cls(
            home=home.rstrip("/\\"),
            project=project.rstrip("/\\"),
            user="" if user in _ANYBODY else user,
            host=host,
            secrets=tuple(sorted(secrets, key=len, reverse=True)),
            words=frozenset(words),
        )

    def __call__(self, text: str) -> str:
        """The text without all that."""
        text = redact(text, self.secrets)
        text = _ADDRESS.sub(_shortened, text)
        for folder, name in ((self.project, "PROJECT"), (self.home, "~")):
            if folder:
                text = re.sub(rf"{re.escape(folder)}(?![A-Za-z0-9_.-])", name, text)
        for word, name in ((self.host, "HOST"), (self.host.partition(".")[0], "HOST"), (self.user, "USER")):
            text = self._without(text, word, name)
        return _UUID.sub(self._number, text)

    def _without(self, text: str, word: str, name: str) -> str:
        if not word:
            return text
        if len(word) < _LEAST - 1 or word in self.words:
            return re.sub(rf"(?<=[/\\]){re.escape(word)}(?=[/\\]|$)", name, text)
        return re.sub(rf"(?<![A-Za-z0-9]){re.escape(word)}(?![A-Za-z0-9])", name, text)

    def _number(self, match: re.Match[str]) -> str:
        """A list of visible devices may hold the beginning of an identifier alone, as CUDA takes it."""
        whole = match[0].lower()
        known = [each for each in self._numbers if each == whole or each.startswith(whole)]
        if len(known) == 1:
            return self._numbers[known[0]]
        kind = match[1]
        count = sum(1 for each in self._numbers if each.startswith(f"{kind.lower()}-"))
        return self._numbers.setdefault(whole, f"{kind}-{count}")

    def all(self, value: object) -> object:
        """JSON values with every text in them redacted; keys stay."""
        if isinstance(value, str):
            return self(value)
        if isinstance(value, Mapping):
            return {key: self.all(each) for key, each in value.items()}
        if isinstance(value, list | tuple):
            return [self.all(each) for each in value]
        return value


def _shortened(match: re.Match[str]) -> str:
    """An address by its host and the file it names: a path may hold a token, and names of teams."""
    scheme, host, path = match.groups()
    last = path.partition("?")[0].partition("#")[0].rstrip(").,;:").rpartition("/")[2]
    kept = last if _KEPT.fullmatch(last) else ""
    host = host.rpartition("@")[2]
    return f"{scheme}{host}/…/{kept}" if path.count("/") > 1 or kept else f"{scheme}{host}{'/…' if path else ''}"
