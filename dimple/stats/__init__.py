"""Statistics of measurements: aggregates with intervals, comparisons with a null distribution, phases of training."""
