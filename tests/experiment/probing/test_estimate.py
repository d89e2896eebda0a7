"""The estimate of a measurement counts all of its searches."""

from dimple import ProbeConfig, estimate


def test_the_searches_that_are_tried_again_are_counted() -> None:
    def count_passes(probe: str, samples: int) -> float:
        return estimate(ProbeConfig(probes=(probe,), samples=samples, null_draws=3)).passes

    # At most 32 samples are searched again with more passes, which margins alone are not.
    once = count_passes("onoff", 64) - count_passes("onoff", 32)
    assert count_passes("onoff", 32) > 1.5 * once
    assert count_passes("margin", 64) == 2 * count_passes("margin", 32)
