"""Processes that crash, hang, flood or lie: the runner ends them all, and says how they ended."""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path

import pytest

from gpuenv.verify.messages import Message
from gpuenv.verify.runner import PayloadEnded, PayloadJob, run_jobs


def _job(folder: Path, name: str, body: str, *, waits: bool = False) -> PayloadJob:
    """A stand-in for the environment's interpreter: a shell script that ignores what it is told to run."""
    path = folder / f"{name}.sh"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    environ = {"PATH": os.environ["PATH"]}
    return PayloadJob(name=name, python=path, settings={"task": name}, environ=environ, waits=waits)


def _run(
    *jobs: PayloadJob, deadline: float = 30.0, silence: float = 30.0
) -> tuple[dict[str, PayloadEnded], list[Message]]:
    heard: list[Message] = []
    ended = run_jobs(jobs, deadline=time.monotonic() + deadline, silence=silence, on_message=heard.append)
    assert [item.job for item in ended] == [job.name for job in jobs]
    return {item.job: item for item in ended}, heard


def _say(event: str, more: str = "") -> str:
    return f"""echo '{{"event": "{event}", "at": 0.5{more}}}'"""


def _gone(pid: int) -> bool:
    """A process that was killed may stay for its parent to collect, and does nothing any more."""
    for _ in range(1200):
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX":
                return True
        except OSError:
            return True
        time.sleep(0.05)
    return False


def test_what_a_process_says_arrives_in_order(tmp_path: Path) -> None:
    second = _say("no-device", ', "found": 1')
    ended, heard = _run(_job(tmp_path, "one", f"{_say('profiling')}; {second}; echo oh >&2"))
    assert [(m.job, m.event, m.at) for m in heard] == [("one", "profiling", 0.5), ("one", "no-device", 0.5)]
    assert heard[1].whole("found") == 1
    assert (ended["one"].ending, ended["one"].status, ended["one"].stderr) == ("exited", 0, ("oh",))
    assert ended["one"].last == "no-device"


@pytest.mark.parametrize(("body", "ending", "status"), [("kill -9 $$", "signal", 9), ("exit 7", "exited", 7)])
def test_how_it_ended_is_told(tmp_path: Path, body: str, ending: str, status: int) -> None:
    ended, _ = _run(_job(tmp_path, "one", f"{_say('profiling')}; {body}"))
    assert (ended["one"].ending, ended["one"].status, ended["one"].last) == (ending, status, "profiling")


def test_silence_ends_a_process_that_ignores_polite_signals_and_its_children(tmp_path: Path) -> None:
    deaf = f"trap '' TERM INT HUP; sleep 600 & echo $! > {tmp_path}/child"
    body = f"{deaf}; {_say('profiling')}; while :; do sleep 600; done"
    ended, _ = _run(_job(tmp_path, "one", body), silence=3.0)
    assert ended["one"].ending == "silence"
    assert not ended["one"].stuck
    assert _gone(int((tmp_path / "child").read_text()))


def test_the_deadline_holds_against_a_process_that_never_falls_silent(tmp_path: Path) -> None:
    ended, heard = _run(_job(tmp_path, "one", f"while :; do {_say('profiling')}; sleep 0.05; done"), deadline=3.0)
    assert ended["one"].ending == "deadline"
    assert heard


def test_a_child_that_keeps_the_pipes_open_does_not_keep_us(tmp_path: Path) -> None:
    body = f"sleep 600 & echo $! > {tmp_path}/child; {_say('finished')}"
    ended, _ = _run(_job(tmp_path, "one", body))
    assert ended["one"].ending == "exited"
    assert _gone(int((tmp_path / "child").read_text()))


def test_what_is_no_event_is_kept_as_words(tmp_path: Path) -> None:
    noise = """echo 'Hello'; echo '[1]'; echo '{"no": 1}'; head -c 3000000 /dev/zero | tr '\\0' x; echo"""
    body = f"{noise}; {_say('profiling')}"
    ended, heard = _run(_job(tmp_path, "one", body))
    assert [message.event for message in heard] == ["profiling"]
    assert ended["one"].stderr[0] == "not an event: 'Hello'"


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (_say("sead"), "there is no event sead"),
        (_say("seed", ', "sead": 1, "loss": 2.0'), "the event seed holds an unknown value sead"),
        (_say("seed", ', "loss": 2.0'), "the event seed holds no value seed"),
    ],
)
def test_a_misspelled_event_or_key_fails_the_job(tmp_path: Path, said: str, why: str) -> None:
    _, heard = _run(_job(tmp_path, "one", said))
    assert [(message.event, message.text("message")) for message in heard] == [("failed", why)]


def test_words_without_end_are_bounded(tmp_path: Path) -> None:
    ended, _ = _run(_job(tmp_path, "one", "seq 1 20000 >&2"))
    assert len(ended["one"].stderr) == 400
    assert ended["one"].stderr[-1] == "20000"


def test_the_timed_job_waits_for_the_others(tmp_path: Path) -> None:
    order = tmp_path / "order"
    timed = f"{_say('waiting')}; read line; echo timed >> {order}; {_say('resumed')}"
    other = f"sleep 0.7; echo other >> {order}; {_say('profiling')}"
    # Waiting is no silence: the other job takes longer than the watchdog would allow.
    ended, _ = _run(_job(tmp_path, "timed", timed, waits=True), _job(tmp_path, "other", other), silence=5.0)
    assert order.read_text().split() == ["other", "timed"]
    assert {item.ending for item in ended.values()} == {"exited"}


def test_the_timed_job_goes_on_when_another_crashes(tmp_path: Path) -> None:
    timed = _job(tmp_path, "timed", f"{_say('waiting')}; read line; {_say('resumed')}", waits=True)
    ended, heard = _run(timed, _job(tmp_path, "other", "kill -11 $$"))
    assert ended["other"].status == 11
    assert heard[-1].event == "resumed"


def test_an_interpreter_that_does_not_start_is_an_ending(tmp_path: Path) -> None:
    missing = PayloadJob(name="one", python=tmp_path / "no" / "python", settings={}, environ={})
    ended, _ = _run(missing)
    assert ended["one"].ending == "not-started"


def test_an_interruption_leaves_no_process_behind(tmp_path: Path) -> None:
    body = f"sleep 600 & echo $! > {tmp_path}/child; {_say('profiling')}; sleep 600"

    def interrupt(message: Message) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_jobs([_job(tmp_path, "one", body)], deadline=time.monotonic() + 30, silence=30, on_message=interrupt)
    assert _gone(int((tmp_path / "child").read_text()))
