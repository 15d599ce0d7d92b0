"""Answer the decision's questions about wheels, and remember the answers for this run and the next."""

from __future__ import annotations

from collections.abc import Mapping

from gpuenv import knowledge as tables
from gpuenv.errors import IntegrityError, PackageIndexError
from gpuenv.index.facts import WheelFacts
from gpuenv.index.learn import learn
from gpuenv.model.decision import Question
from gpuenv.model.wheel import Wheel, WheelContents
from gpuenv.steps.context import Context
from gpuenv.steps.sources import open_http


class Reader:
    """Reads wheels for one run. ``facts`` is what is known by URL: the decision's fourth argument."""

    def __init__(self, context: Context, *, facts: Mapping[str, WheelContents] | None = None) -> None:
        self.facts: dict[str, WheelContents] = dict(facts or {})
        self._context, self._http = context, open_http(context)
        self._memory = WheelFacts(context.cache / "wheels")
        self._unread: dict[str, str] = {}

    def read(self, question: Question) -> WheelContents | str:
        """Read what is asked for; a text is the reason why it could not be read."""
        wheel = question.wheel
        try:
            learned = learn(
                wheel,
                question.about,
                http=self._http,
                facts=self._memory,
                allow_download=self._context.options.allow_download,
                reporter=self._context.reporter,
            )
        except (PackageIndexError, IntegrityError) as error:
            reason = "; ".join([error.message, *error.causes[:1]])
            self._context.reporter.warn(f"{wheel.filename} cannot be read: {reason}")
            self._unread[wheel.url] = reason
            return reason
        self.facts[wheel.url] = learned
        self._compare(wheel, learned)
        return learned

    def known(self, question: Question) -> WheelContents | str:
        """What this run knows of a wheel already; nothing is read."""
        url = question.wheel.url
        return self.facts.get(url) or self._unread.get(url, "it was not read")

    def metadata(self, wheel: Wheel) -> WheelContents | None:
        """What a wheel requires: known, or read now; ``None`` where it cannot be read."""
        known = self.facts.get(wheel.url)
        if known is not None and known.requires_dist is not None:
            return known
        try:
            learned = learn(wheel, "metadata", http=self._http, facts=self._memory, reporter=self._context.reporter)
        except PackageIndexError as error:
            self._context.reporter.detail(f"{wheel.filename}: {error.message}")
            return None
        self.facts[wheel.url] = learned
        return learned

    def commit(self, wheel: Wheel) -> str | None:
        """torch's git commit, read out of the wheel; ``None`` where it cannot be read."""
        try:
            learned = learn(wheel, "kernels", http=self._http, facts=self._memory, reporter=self._context.reporter)
        except (PackageIndexError, IntegrityError) as error:
            self._context.reporter.detail(f"{wheel.filename}: {error.message}")
            return None
        return learned.git

    def _compare(self, wheel: Wheel, contents: WheelContents) -> None:
        """Table and wheel never disagree in silence."""
        if contents.sass is None:
            return
        disagreement = tables.load().compare(wheel, contents)
        if disagreement is not None:
            self._context.reporter.warn(
                f"{wheel.filename}: the wheel and the tables disagree: " + "; ".join(disagreement.differences)
            )
