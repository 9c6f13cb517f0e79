"""What the command line says: progress and errors on stderr, the table of utilities on stdout."""

import contextlib
import os
import re
import signal
import sys
import time
import warnings

import typer

from .errors import InputError, users_line

# A progress line each so many percent, where there is no terminal to redraw.
_LINE_EVERY = 10


class Run:
    """What is being done, on stderr: a line redrawn in a terminal, else a line each phase.

    clean_up: takes back what was begun on disk, for an interrupt that cannot unwind. interrupted: what is said then.
    """

    def __init__(self):
        self.clean_up, self.interrupted = None, "interrupted; nothing was written"
        self._phase, self._percent = "", 0
        self._started = time.monotonic()
        self._status = None

    def say(self, phase: str) -> None:
        if sys.stderr.isatty():
            self._redraw(phase)
        else:
            self._write(phase)

    def done(self) -> None:
        """Clear the line; what follows is the result."""
        if self._status is not None:
            self._status.stop()
            self._status = None

    def _redraw(self, phase):
        from rich.console import Console
        from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        if self._status is None:
            columns = SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn()
            self._status = Progress(*columns, console=Console(stderr=True), transient=True)
            self._status.add_task(phase)
            # A line that is drawn anew after a warning goes on counting.
            self._status.tasks[0].start_time = self._started
            self._status.start()
        self._status.update(self._status.task_ids[0], description=phase)

    def _write(self, phase):
        counted = re.fullmatch(r"(.*?) (\d+)/(\d+)", phase)
        name = counted[1] if counted else phase
        percent = 100 * int(counted[2]) // max(int(counted[3]), 1) if counted else 0
        if name == self._phase and percent < 100 and percent - self._percent < _LINE_EVERY:
            return
        if phase == self._phase:
            return
        self._phase, self._percent = name, percent
        print(f"[{time.monotonic() - self._started:5.1f} s] {phase}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def reporting():
    """Run a command: JAX's cache set up, warnings as single lines, errors as one message and an exit code."""
    run = Run()

    def show(message, category, filename, lineno, file=None, line=None):
        run.done()
        print(f"warning: {' '.join(str(message).split())}", file=sys.stderr)

    def interrupt(number, frame):
        # Compiled chains cannot be unwound: waiting for them would take as long as the run.
        run.done()
        if run.clean_up is not None:
            run.clean_up()
        print(run.interrupted, file=sys.stderr, flush=True)
        os._exit(130)

    previous = _on_interrupt(interrupt)
    try:
        from .compilation import keep_compiled_code

        keep_compiled_code()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # Of other libraries' warnings users can make nothing.
            warnings.filterwarnings("always", module=r"utiliscope(\.|$)|__main__$")
            warnings.showwarning = show
            yield run
    except InputError as error:
        run.done()
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        run.done()
        raise typer.Exit(130) from None
    except (typer.Exit, typer.Abort):
        raise
    except Exception as error:
        run.done()
        text = " ".join(str(error).split())[:500]
        print(f"error: the run failed: {type(error).__name__}{users_line(error)}: {text}", file=sys.stderr)
        raise typer.Exit(1) from None
    finally:
        run.done()
        if previous is not None:
            signal.signal(signal.SIGINT, previous)


def _on_interrupt(handler):
    try:
        return signal.signal(signal.SIGINT, handler)
    except ValueError:  # not in the main thread
        return None


def print_findings(findings) -> None:
    """What `check_posterior` found, a line each."""
    from rich.console import Console
    from rich.table import Table

    shown = Table(box=None, show_header=False, pad_edge=False)
    shown.add_column(no_wrap=True)
    shown.add_column(no_wrap=True)
    shown.add_column(overflow="fold")
    for what, says, good in findings:
        shown.add_row({True: "ok", False: "!!", None: ""}[good], what, says)
    Console(highlight=False, markup=False).print(shown)


def print_weights(table, most: int = 10) -> None:
    """The `most` features of a weight table that matter most."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    shown = Table(box=SIMPLE_HEAD, pad_edge=False)
    shown.add_column("feature", overflow="fold")
    for name in ("weight", "above 0", "largest"):
        shown.add_column(name, justify="right", no_wrap=True)
    for row in table.reindex(table["weight"].abs().sort_values(ascending=False).index).head(most).itertuples():
        weight = f"{row.weight:.3f} ± {row.std_error:.3f}"
        shown.add_row(row.feature, weight, f"{row.positive:.3f}", f"{row.largest:.3f}")
    console = Console(highlight=False, markup=False)
    console.print(shown)
    if len(table) > most:
        console.print(f"and {len(table) - most} others with smaller weights")


def print_parameters(table, most: int = 10) -> None:
    """The first `most` rows of a parameter table."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    shown = Table(box=SIMPLE_HEAD, pad_edge=False)
    shown.add_column("parameter", overflow="fold")
    for name in ("median", "middle 90 %", "mean"):
        shown.add_column(name, justify="right", no_wrap=True)
    for row in table.head(most).itertuples():
        mean = f"{row.mean:.3g} ± {row.std_error:.2g}"
        shown.add_row(row.parameter, f"{row.median:.3g}", f"{row.low:.3g} to {row.high:.3g}", mean)
    console = Console(highlight=False, markup=False)
    console.print(shown)
    if len(table) > most:
        console.print(f"and {len(table) - most} others")


def print_table(table, most: int = 10) -> None:
    """The likeliest `most` utilities of a utility table."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    shown = Table(box=SIMPLE_HEAD, pad_edge=False)
    shown.add_column("utility", overflow="fold")
    for name in ("probability", "code length", "intelligence"):
        shown.add_column(name, justify="right", no_wrap=True)
    for row in table.head(most).itertuples():
        least = "≥ " if row.is_lower_bound else ""
        bits = (
            f"{least}{row.intelligence:.1f} ± {row.std_error:.1f} bits" if row.intelligence == row.intelligence else "-"
        )
        shown.add_row(
            row.utility,
            f"{row.probability:.3f} ± {row.probability_error:.3f}",
            f"{row.code_length:.1f} bits",
            bits,
        )
    console = Console(highlight=False, markup=False)
    console.print(shown)
    if len(table) > most:
        rest = table["probability"].iloc[most:]
        console.print(f"and {len(rest)} other{'s' * (len(rest) > 1)}, together {rest.sum():.3f}")
