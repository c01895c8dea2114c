"""The benchmark of the rebalanced loss compares what is equal, and says so if it is not."""
import copy

import pytest

from benchmarks import losses


@pytest.fixture(scope="module")
def found():
    """Each variant at a small size; one of them in its own process."""
    small = {v: losses.measure(v, 1, 8, 1) for v in losses.VARIANTS if v != "fused"}
    return {**small, "fused": losses.in_its_own_process("fused", 1, 8, 2, 1)}


@pytest.mark.slow
def test_variants_agree(found):
    losses.check(found)
    assert all(r["seconds"] > 0 and r["mb"] >= 0 for r in found.values())


@pytest.mark.parametrize("key", ["loss", "norm"])
def test_a_wrong_variant_is_found(found, key):
    wrong = copy.deepcopy(found)
    wrong["one-hot"][key] *= 1.01
    with pytest.raises(SystemExit, match=f"one-hot computes another {key}"):
        losses.check(wrong)


def test_table_has_ratios():
    found = {v: {"seconds": s, "mb": 1500.0} for v, s in (("looped", 5.0), ("fused", 0.5))}
    text = "\n".join(losses.table(found, "title"))
    assert "| looped | 5,000 ms | 10.0x | 1,500 MB |" in text and "| fused | 500 ms | 1.0x | 1,500 MB |" in text
