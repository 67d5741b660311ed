from __future__ import annotations

import pytest
import torch

from tests.flows.subjects import make, points
from tightbound.errors import RecipeError
from tightbound.flows import Sylvester
from tightbound.numerics import orthonormal_columns, reflections


def test_bases_are_orthonormal_to_rounding() -> None:
    for basis in (orthonormal_columns(torch.randn(4, 6, 3)), reflections(torch.randn(4, 5, 6))):
        identity = torch.eye(basis.shape[-1]).expand(4, -1, -1)
        torch.testing.assert_close(basis.mT @ basis, identity, rtol=0, atol=1e-13)


def test_one_reflection_turns_its_vector_around() -> None:
    v = torch.randn(1, 6)
    torch.testing.assert_close(reflections(v) @ v[0], -v[0])


def test_a_step_by_its_formula() -> None:
    """z + Q R tanh(R̃ Qᵀ z + b), with all matrices written out (van den Berg et al. 2018, eq. 8)."""
    flow = Sylvester(0, 3, columns=2).double()
    step = flow.steps[0]
    raw = torch.randn(step.head.bias.shape)  # pyright: ignore
    with torch.no_grad():
        step.head.bias.copy_(raw)  # pyright: ignore
    b, diagonal, other = raw[:2], raw[2:4].tanh(), raw[4:6].tanh()
    R = torch.tensor([[diagonal[0], raw[6] / 2**0.5], [0.0, diagonal[1]]])
    R_tilde = torch.tensor([[other[0], raw[7] / 2**0.5], [0.0, other[1]]])
    Q = torch.linalg.qr(raw[8:].reshape(2, 3).T).Q
    z = torch.randn(3)
    y, _ = flow(z.reshape(1, 1, 3), torch.zeros(1, 0))
    torch.testing.assert_close(y[0, 0], z + Q @ R @ torch.tanh(R_tilde @ Q.T @ z + b))


def test_triangular_steps_take_the_units_in_turns() -> None:
    """The first step's Jacobian is upper triangular, the second's lower: together no unit is left behind."""
    flow = make("sylvester triangular")
    features = points()[1][:1]
    for step, empty in zip(flow.steps, (torch.tril, torch.triu), strict=True):  # pyright: ignore

        def one(z: torch.Tensor, step: torch.nn.Module = step) -> torch.Tensor:
            return step(z.reshape(1, 1, -1), features)[0].flatten()

        jacobian = torch.autograd.functional.jacobian(one, torch.randn(5))
        beyond = empty(jacobian, -1 if empty is torch.tril else 1)
        assert beyond.abs().max() == 0
        assert (jacobian - torch.diag(jacobian.diagonal())).abs().max() > 1e-3


@pytest.mark.parametrize("name", ["sylvester", "sylvester householder", "sylvester triangular"])
def test_determinants_are_positive_far_out(name: str) -> None:
    """Products of diagonals are in (−1, 1), so 1 + r r̃ tanh' > 0: the log-determinant is finite wherever z is."""
    flow = make(name, spread=5.0)
    z, features = points(200)
    assert flow(5 * z, features)[1].isfinite().all()


@pytest.mark.parametrize("raw", [(4.0, -5.0), (-9.5, 8.0), (3.0, 3.0), (20.0, -0.5)])
@pytest.mark.parametrize("b", [0.0, 1e-3, 0.5])
def test_log_det_in_float32_is_that_in_float64(raw: tuple[float, float], b: float) -> None:
    """Where r r̃ is nearly −1, 1 + r r̃ is tiny: rounded products of two tanh would lose it."""
    found = []
    for dtype in (torch.float32, torch.float64):
        flow = Sylvester(0, 1, basis="triangular").to(dtype)
        head = flow.steps[0].head  # pyright: ignore
        with torch.no_grad():
            head.bias.copy_(torch.tensor([b, *raw]))  # pyright: ignore
        found.append(flow(torch.zeros(1, 1, 1, dtype=dtype), torch.zeros(1, 0, dtype=dtype))[1].double())
    torch.testing.assert_close(*found, rtol=1e-5, atol=1e-5)
    product = torch.log1p(torch.tensor(raw).tanh().prod() * (1 - torch.tensor(b).tanh().square()))
    torch.testing.assert_close(found[1][0, 0], product, rtol=1e-6, atol=1e-6)


def test_keys_of_another_basis_are_refused() -> None:
    with pytest.raises(RecipeError, match="columns: has no effect with basis 'householder'"):
        Sylvester(2, 4, basis="householder", columns=2)
    with pytest.raises(RecipeError, match="reflections: has no effect with basis 'orthogonal'"):
        Sylvester(2, 4, reflections=2)
    with pytest.raises(RecipeError, match="columns: got 5; at most latent_dim = 4"):
        Sylvester(2, 4, columns=5)
