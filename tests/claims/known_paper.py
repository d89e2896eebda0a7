"""A paper whose experiment has rows that are known."""

import math
import os
import signal
from typing import ClassVar, final

from dimple.claims.experiments import Experiment, Resources, Row
from dimple.settings import Finite, settings

# The seed that kills its process.
KILLED_SEED = "DIMPLE_TEST_KILLED_SEED"
PAPER = """
id: known2026
title: A known <result>
authors: Nobody 2026
link: https://example.org
read: All of it.
leaves:
  - {id: large, primary: true, statement: It is large., source: ours, experiment: {kind: known}, controls: None.,
     contradicted_by: A small one., beside: [{column: null_value, meaning: the null}],
     criteria: [{column: value, statistic: size, at_least: 5.0, null_column: null_value}]}
  - {id: near, statement: It is near 10 and has no gap., source: abstract, experiment: {kind: known}, controls: None.,
     contradicted_by: A far one., references: [{value: "10", of: its size, seen: the abstract}],
     criteria: [{column: value, statistic: size, within: [5.0, 100.0]}, {column: gap, statistic: gap, at_most: 1.0}]}
  - {id: later, statement: It is so later., source: ours, experiment: {kind: known, shift: 1.0}, controls: None.,
     contradicted_by: It is not., quick: false, criteria: [{column: value, statistic: size, at_most: 5.0}]}
"""


@final
@settings
class Known(Experiment):
    """Rows that are known; the seeds that were run, and those that fail, are kept by the class."""

    runs: ClassVar[list[int]] = []
    failing: ClassVar[dict[int, BaseException]] = {}

    shift: Finite = 0.0

    def replicate(self, seed: int, resources: Resources) -> dict[str, Row]:
        if seed in self.failing:
            raise self.failing[seed]
        if os.environ.get(KILLED_SEED) == str(seed):
            os.kill(os.getpid(), signal.SIGKILL)
        self.runs.append(seed)
        gap = math.nan if seed == 3 else 0.0
        row = {"value": 10.0 + seed + self.shift, "null_value": 1.0, "gap": gap}
        return {"a": row, "b": row | {"value": math.inf}, "c": row | {"value": -math.inf}}
