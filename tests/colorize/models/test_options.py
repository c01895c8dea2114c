"""Options of models as texts, from a command line."""
import pytest

from colorize.color.bins import gamut
from colorize.models import build, model_options, options


@pytest.mark.parametrize("name", ["nano", "zhang", "knet"])
def test_bins_are_a_name_or_a_number_for_every_model(name):
    for text, q in (("313", 313), ("18x18", 324), ("20", 101), ("12.5", len(gamut(12.5)))):
        assert build(name, width=0.05, **model_options(name, options(name), {"bins": text})).bins.q == q
    for text in ("314", "1", "nan", "many"):
        with pytest.raises(ValueError, match="bins must be '313', '18x18', the step"):
            build(name, **model_options(name, options(name), {"bins": text}))
