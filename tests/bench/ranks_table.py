"""What ranks.py has measured: figures of a training, comparisons, and the table as Markdown."""

import statistics
from dataclasses import dataclass, field

from table import NotMeasured, number, spread


@dataclass
class Sample:
    """One training: of its last epoch, whose steps no longer compile or allocate anything."""
    step_ms: float               # median
    wait: float = None           # part of the time, mean of the ranks; None: one process
    exchange_ms: float = None    # a step, mean of the ranks
    hidden: float = None         # part of that behind the backward pass; None: no exchange


def mean(values):
    values = [v for v in values if v is not None]
    return statistics.mean(values) if values else None


def sample(events):
    """From a run's log."""
    epochs = [e for e in events if e["event"] == "epoch"]
    if not epochs:
        raise NotMeasured("the training had no epoch")
    last = epochs[-1]
    steps = [e["ms"] for e in events if e["event"] == "step" and e["epoch"] == last["epoch"]]
    if not steps:
        raise NotMeasured("the last epoch had no step")
    made = Sample(statistics.median(steps))
    ranks = last.get("ranks") or []
    if len(ranks) > 1:
        made.wait = mean([1e3 * r["wait_s"] / sum(steps) for r in ranks])
        made.exchange_ms = mean([1e3 * r["exchange_s"] / len(steps) for r in ranks])
        made.hidden = mean([r["exchange_hidden"] for r in ranks])
    return made


def link_of(round_trip_ms, mbyte_s, size):
    """(bytes a second, seconds of a message) of a link on which `size` bytes and an answer of
    one byte went at mbyte_s, and a byte there and back in round_trip_ms."""
    took = size / mbyte_s / 1e6
    travel = round_trip_ms / 1e3
    return size / (took - travel if travel < 0.9 * took else took), travel / 2


@dataclass
class Side:
    """A training that is measured once a round."""
    title: str
    images: int                  # of a step, all ranks together
    samples: list = field(default_factory=list)
    problem: str = ""

    def ms(self):
        return [s.step_ms for s in self.samples]


@dataclass
class Row:
    """A training in several ranks beside another one."""
    side: Side
    other: Side
    ideal: float                 # times as many images a second as the other side at best
    kind: str                    # strong, weak, ...: for the JSON
    plan_ms: float = None        # what clfcn plan says of the side; None: not asked
    note: str = ""

    def speedups(self):
        """Times as many images a second, round by round."""
        return [(self.side.images / a) / (self.other.images / b)
                for a, b in zip(self.side.ms(), self.other.ms())]

    def efficiencies(self):
        return [s / self.ideal for s in self.speedups()]

    def problem(self):
        for side in (self.side, self.other):
            if side.problem or not side.samples:
                return f"not measured: {side.problem or 'no time left'}"
        return ""

    def plan_ratios(self):
        """How many times as long as planned."""
        return [ms / self.plan_ms for ms in self.side.ms()]

    def cells(self):
        problem = self.problem()
        if problem:
            return [self.side.title, problem, self.other.title, "", "", "", "", "", self.note]
        samples = self.side.samples
        planned = ""
        if self.plan_ms:
            planned = f"{number(self.plan_ms)} ms, took {spread(self.plan_ratios())} times that"
        return [self.side.title, spread(self.side.ms(), "ms"),
                f"{self.other.title}: {spread(self.other.ms(), 'ms')}",
                spread(self.speedups()), spread([100 * e for e in self.efficiencies()], "%"),
                exchange_words(samples), percent([s.wait for s in samples]), planned, self.note]

    def as_json(self):
        return {"kind": self.kind, "title": self.side.title, "images": self.side.images,
                "step_ms": self.side.ms(), "against": self.other.title,
                "against_images": self.other.images, "against_step_ms": self.other.ms(),
                "speedup": self.speedups(), "ideal": self.ideal,
                "exchange_ms": [s.exchange_ms for s in self.side.samples],
                "exchange_hidden": [s.hidden for s in self.side.samples],
                "wait": [s.wait for s in self.side.samples], "plan_ms": self.plan_ms,
                "note": self.note, "problem": self.problem() or None}


def percent(parts):
    parts = [100 * p for p in parts if p is not None]
    return spread(parts, "%") if parts else ""


def exchange_words(samples):
    took = [s.exchange_ms for s in samples if s.exchange_ms is not None]
    if not took:
        return ""
    hidden = percent([s.hidden for s in samples])
    return spread(took, "ms") + (f", hidden {hidden}" if hidden else "")


HEAD = ["ranks", "step", "against", "speed-up", "of the ideal", "exchange a step", "waiting",
        "`clfcn plan`", ""]


def markdown(about, rows, left_out=()):
    lines = [f"- {key}: {value}" for key, value in about.items() if value]
    lines += ["", "Median (lowest-highest) over the rounds; speed-up: images a second, as many "
              "times as in the same round of what it is held against.", "",
              "| " + " | ".join(HEAD) + " |", "|" + "---|" * len(HEAD)]
    lines += ["| " + " | ".join(row.cells()) + " |" for row in rows]
    lines += [""] * bool(left_out) + [f"Left out: {what}" for what in left_out]
    return "\n".join(lines)
