"""The payload's events, the table of them and those who read them: a misspelled key fails."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpuenv.verify import messages, payload
from gpuenv.verify.messages import Message
from support.verify_observed import recorded

PAYLOAD = Path(payload.__file__).parent


def emitted() -> Iterator[tuple[str, set[str], bool]]:
    """Each call of ``emit``: the event, its keys, and whether more come from a dictionary."""
    for path in sorted(PAYLOAD.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "emit":
                (name,) = [arg.value for arg in node.args if isinstance(arg, ast.Constant)]
                keys = {word.arg for word in node.keywords if word.arg is not None}
                yield str(name), keys, len(keys) < len(node.keywords)


def test_whatever_the_payload_sends_is_in_the_table_and_nothing_else() -> None:
    sent: dict[str, set[str]] = {}
    for name, keys, more in emitted():
        always, sometimes = messages.EVENTS[name]
        assert keys <= always | sometimes, name
        assert more or always <= keys, name
        sent[name] = sent.get(name, set()) | keys | (always | sometimes if more else set())
    assert sent == {name: set(always | sometimes) for name, (always, sometimes) in messages.EVENTS.items()}


def test_what_an_h200_sent_is_in_the_table() -> None:
    assert [problem for message in recorded() if (problem := messages.problem_of(message.event, message.values))] == []


def test_a_reader_that_misspells_a_key_fails() -> None:
    message = Message(job="training", event="seed", at=0.0, values={"seed": 1, "loss": 2.0})
    assert (message.whole("seed"), message.number("loss")) == (1, 2.0)
    with pytest.raises(KeyError, match="the event seed never holds sead"):
        message.whole("sead")
