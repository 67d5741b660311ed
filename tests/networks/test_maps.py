from __future__ import annotations

import pytest
import torch

from tightbound.networks.maps import halving, halvings

SIZES = [(8, 8), (28, 28), (32, 32), (7, 11), (17, 33), (9, 4), (5, 40)]


@pytest.mark.parametrize("kernel", [3, 4, 5, 6])
@pytest.mark.parametrize("size", SIZES)
def test_the_way_back_is_the_adjoint(size: tuple[int, int], kernel: int) -> None:
    """With the same weights, ⟨conv(x), y⟩ = ⟨x, transposed(y)⟩: same sizes, nothing cropped, nothing made up."""
    stage = halving(size, kernel)
    down = stage.convolution(2, 3, bias=False)
    up = stage.transposed(3, 2, bias=False)
    with torch.no_grad():
        up.weight.copy_(down.weight)
    x, y = torch.randn(1, 2, *stage.large), torch.randn(1, 3, *stage.small)
    torch.testing.assert_close((down(x) * y).sum(), (x * up(y)).sum())


@pytest.mark.parametrize("kernel", [3, 4, 5, 6])
@pytest.mark.parametrize("size", SIZES)
def test_every_pixel_is_read(size: tuple[int, int], kernel: int) -> None:
    down = halving(size, kernel).convolution(1, 1, bias=False)
    with torch.no_grad():
        down.weight.fill_(1)
    x = torch.zeros(1, 1, *size, requires_grad=True)
    down(x).sum().backward()
    assert (x.grad >= 1).all()


@pytest.mark.parametrize(
    ("size", "kernel", "sizes"),
    [
        ((28, 28), 3, [(14, 14), (7, 7), (4, 4), (4, 4)]),
        ((28, 28), 4, [(14, 14), (7, 7), (7, 7), (7, 7)]),
        ((218, 178), 3, [(109, 89), (55, 45), (28, 23), (14, 12)]),
        ((7, 33), 4, [(7, 16), (7, 8), (7, 4), (7, 4)]),
        ((8, 8), 3, [(4, 4), (4, 4), (4, 4), (4, 4)]),
    ],
)
def test_sizes(size: tuple[int, int], kernel: int, sizes: list[tuple[int, int]]) -> None:
    assert [stage.small for stage in halvings(size, 4, kernel)] == sizes
