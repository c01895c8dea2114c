"""The roofline on paper, and what minicnn's fused jetson asks of a GPU, from the launches of its own host code."""
import pytest

from benchmarks.kernels import roofline

NANO, TI = roofline.DEVICES[:2]


@pytest.fixture(scope="module")
def layers():
    return roofline.layers()


@pytest.fixture(scope="module")
def plan():
    return roofline.plan()


def test_work_of_each_layer(layers):
    assert [round(layer.macs / 1e6, 2) for layer in layers] == \
        [11.06, 248.83, 87.09, 0.32, 2.90, 348.36, 995.33, 9.83]
    assert sum(layer.outputs for layer in layers) == 8_658_944
    assert sum(layer.weights for layer in layers) == 296_120
    assert round(roofline.moved(layers) / 1e6, 1) == 70.2
    assert round(roofline.moved(roofline.one_by_one_fused(layers)) / 1e6, 1) == 30.0


def test_best_possible_speed(layers):
    fewest = roofline.one_by_one_fused(layers)
    assert [round(roofline.fps(layers, NANO, passes=4)), round(roofline.fps(layers, NANO)),
            round(roofline.fps(fewest, NANO)), round(roofline.fps(fewest, NANO, half=True))] == [48, 65, 69, 137]
    assert [round(roofline.fps(layers, TI, passes=4)), round(roofline.fps(layers, TI))] == [2338, 5006]


def test_the_fused_plan_moves_little(layers, plan):
    """One kernel a layer, each reading what the one before it wrote, and little more than must be moved."""
    assert len(plan) <= len(layers) and roofline.without_gaps(plan)
    assert roofline.bytes_of(plan) <= 1.3 * roofline.moved(layers)


def test_a_gap_is_seen(plan):
    assert not roofline.without_gaps(plan[:2] + plan[3:])


@pytest.mark.parametrize("arch", [53, 75, 86, 89, 90])
def test_tiles_fit_the_channels(layers, arch):
    """At 75, 90 and 105 channels a block hardly computes what nobody needs."""
    wide = [(layer, launch) for layer, launch in zip(layers, roofline.plan(arch)) if launch.constants["K"] >= 75]
    assert {launch.constants["K"] for _, launch in wide} == {75, 90, 105}
    for layer, launch in wide:
        assert 1 <= roofline.executed(launch) / layer.macs <= 1.15, (layer.name, launch.constants)


def test_tiles_that_do_not_fit_are_seen(layers, plan):
    """Tiles of 64 channels would do 1.7 times the work at 75 channels."""
    layer, launch = next((a, b) for a, b in zip(layers, plan) if b.constants["K"] == 75)
    grid = launch.grid[0], 2, launch.grid[2]
    misfit = launch._replace(grid=grid, constants={**launch.constants, "TX": 16, "TN": 4})
    assert roofline.executed(misfit) / layer.macs == pytest.approx(128 / 75)
