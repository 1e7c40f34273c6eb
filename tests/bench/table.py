"""A row of the table, its verdict, and the table as Markdown."""

import statistics
from dataclasses import dataclass, field

# Values of alternating rounds that differ by more than this part of their median say too little.
SPREAD_MAX = 0.25


class NotMeasured(Exception):
    """A row cannot be measured here; the message says why."""


@dataclass
class Row:
    figure: str
    unit: str = ""
    ours: list = field(default_factory=list)    # one value a round
    other: str = ""                             # what it is compared with; "": nothing
    theirs: list = field(default_factory=list)  # of the same rounds
    more_is_better: bool = False
    must: float = None  # of the ratio where there is another side, else of the figure
    aim: float = None
    problem: str = ""  # why there is no figure
    name: str = ""     # in --only

    def ratios(self):
        """How many times better clfcn is, round by round."""
        pairs = zip(self.ours, self.theirs)
        return [a / b if self.more_is_better else b / a for a, b in pairs]

    def judged(self):
        return self.ratios() if self.other else self.ours

    def reaches(self, value, goal):
        return value >= goal if self.other or self.more_is_better else value <= goal

    def verdict(self):
        if self.problem:
            return f"not measured: {self.problem}"
        values = self.judged()
        middle = statistics.median(values)
        words = []
        if self.must is not None:
            if self.aim is not None and self.reaches(middle, self.aim):
                words.append("reaches the aim")
            else:
                words.append("met" if self.reaches(middle, self.must) else "MISSED")
            if len({self.reaches(v, self.must) for v in values}) > 1:
                words.append("but not in every round")
        if len(values) < 2:
            words.append("one round only")
        elif middle > 0 and (max(values) - min(values)) / middle > SPREAD_MAX:
            words.append("spread too wide to trust")
        return ", ".join(words)

    def as_json(self):
        return {"row": self.name, "figure": self.figure, "unit": self.unit,
                "clfcn": self.ours, "other": self.other or None, "other_values": self.theirs,
                "ratios": self.ratios() if self.other else None, "must": self.must,
                "aim": self.aim, "verdict": self.verdict()}


def number(value):
    """Three significant digits, no exponent."""
    for limit, digits in ((100, 0), (10, 1), (1, 2)):
        if abs(value) >= limit:
            return f"{value:.{digits}f}"
    return f"{value:.3f}"


def spread(values, unit=""):
    """Median (lowest-highest)."""
    if not values:
        return ""
    text = number(statistics.median(values)) + (f" {unit}" if unit else "")
    if len(values) > 1:
        text += f" ({number(min(values))}-{number(max(values))})"
    return text


def goal(row, value):
    if value is None:
        return ""
    if row.other:
        return f"{value:g}×"
    return f"≤ {value:g}" + (f" {row.unit}" if row.unit else "")


def markdown(machine, rows):
    lines = [f"- {key}: {value}" for key, value in machine.items() if value]
    lines += ["", "Median (lowest-highest) over the rounds; ratio: how many times better clfcn "
              "is in the same round.", "",
              "| figure | clfcn | other side | ratio | must | aim | verdict |",
              "|---|---|---|---|---|---|---|"]
    for row in rows:
        other = f"{row.other} {spread(row.theirs, row.unit)}" if row.other else ""
        ratio = spread(row.ratios()) if row.other else ""
        cells = [row.figure, spread(row.ours, row.unit), other.strip(), ratio,
                 goal(row, row.must), goal(row, row.aim), row.verdict()]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
