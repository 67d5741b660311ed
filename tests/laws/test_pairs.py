"""Law 7: every pair of components builds and takes two steps, or is refused with a reason."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def tables() -> ModuleType:
    specification = importlib.util.spec_from_file_location("tables", ROOT / "docs" / "tables.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_every_pair_trains_or_is_refused_with_a_reason(tables: ModuleType) -> None:
    refused = {(left, right): reason for left, right in tables.pairs() if (reason := tables.refusal(left, right))}
    unit = ("objective", "elbo, free bits per unit")
    analytic = ("objective", "elbo, kl: analytic")
    before, after = (
        [(("posterior", kind), objective) for kind in kinds for objective in (analytic, unit)]
        for kinds in (("flow",), ("hamiltonian", "iaf"))
    )
    before.append((("posterior", "full_covariance"), unit))
    flows = before + after
    planar, estimators = ("posterior", "flow, planar"), (("objective", "dreg"), ("objective", "stl"))
    stopped = [(planar, objective) for objective in estimators]
    moving = [(("posterior", "hamiltonian"), objective) for objective in estimators]
    slopes = (("decoder", "mlp, batch normalization"), ("posterior", "hamiltonian"))
    flows_without_inverse = [(planar, objective) for objective in (analytic, unit)]
    mixed = (("decoder", "mlp, batch normalization"), ("objective", "dreg"))
    priors = ("flow", "maf", "mixture", "vamp")
    unlike = [(("prior", kind), objective) for kind in priors for objective in (analytic, unit)]
    beta_nll = ("likelihood", "gaussian, beta_nll")
    surrogates = [(beta_nll, ("objective", kind)) for kind in ("dreg", "iwae", "stl")]
    posteriors = [*before, *moving, *after, *stopped, *flows_without_inverse]
    assert list(refused) == [slopes, mixed, *posteriors, *unlike, *surrogates]
    assert "batch statistics would make the slope of one image's log p(x, z) depend on all others" in refused[slopes]
    assert "'dreg' needs weights of samples that do not depend on each other; decoder 'mlp' has batch" in refused[mixed]
    for pair in [*stopped, *moving]:
        assert "needs a posterior whose density can be evaluated through detached weights" in refused[pair]
    for (family, kind), objective in [*flows, *unlike]:
        needed = "that are Gaussian" if objective == analytic else "whose units are independent"
        reason = f"objective 'elbo' as configured needs q(z|x) and p(z) {needed}; {family} {kind!r} is not"
        assert refused[(family, kind), objective] == reason
    for pair in surrogates:
        reason = f"objective {pair[1][1]!r} is a function of the true likelihood; likelihood 'gaussian' trains"
        assert reason in refused[pair]


def test_the_page_of_components_is_what_the_code_says(tables: ModuleType) -> None:
    assert tables.PAGE.read_text(encoding="utf-8") == tables.page(), "run `make docs`"
