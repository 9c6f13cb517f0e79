"""The live table of a suite: what each method has come to so far."""

import math
import sys


class LiveTable:
    """A table on stderr, redrawn with every job in a terminal; elsewhere a line now and then (`Run.say`).

    Give `update` as the progress of `execute`. `stop` leaves the last state of the table.
    """

    def __init__(self, run):
        self._run, self._live, self._sums = run, None, {}
        self._total = self._done = self._failed = 0

    def update(self, done: int, failed: int, total: int, last: dict | None) -> None:
        """One job more; `last` is its row."""
        self._done, self._failed, self._total = done, failed, total
        for method, scores in _each(last or {}):
            self._add(method, scores)
        if not sys.stderr.isatty():
            self._run.say(f"jobs {done + failed}/{total}")
            return
        if self._live is None:
            from rich.console import Console
            from rich.live import Live

            self._run.done()
            self._live = Live(console=Console(stderr=True), refresh_per_second=4)
            self._live.start()
        self._live.update(self._table())

    def stop(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _add(self, method, scores):
        sums = self._sums.setdefault(method, {"jobs": 0})
        sums["jobs"] += 1
        for name in ("log_score", "best_true", "regret"):
            value = scores.get(name)
            if value is not None and not math.isnan(value):
                total, number = sums.get(name, (0.0, 0))
                sums[name] = total + value, number + 1

    def _table(self):
        from rich.box import SIMPLE_HEAD
        from rich.table import Table

        failed = f", {self._failed} failed" if self._failed else ""
        table = Table(box=SIMPLE_HEAD, pad_edge=False, title=f"{self._done} of {self._total} jobs{failed}")
        table.add_column("method")
        for name in ("recordings", "ln P(true)", "true goal first", "regret"):
            table.add_column(name, justify="right")
        for method, sums in self._sums.items():
            means = (_mean(sums.get(name)) for name in ("log_score", "best_true", "regret"))
            table.add_row(method, str(sums["jobs"]), *means)
        return table


def _each(last):
    """The claims in a job's row."""
    if not last or "reason" in last:
        return
    if "variant" not in last:
        yield last["method"], last
        return
    for place, variant in enumerate(last["variant"]):
        yield (
            variant,
            {name: values[place] for name, values in last.items() if isinstance(values, list) and len(values) > place},
        )


def _mean(part) -> str:
    return f"{part[0] / part[1]:.3f}" if part else "-"
