from __future__ import annotations

import pytest
import torch

from tightbound.networks.maps import division, divisions, padding_of

SIZES = [(8, 8), (28, 28), (32, 32), (7, 11), (17, 33), (9, 4), (5, 40), (10, 19)]
every_stage = pytest.mark.parametrize(
    ("size", "kernel", "stride"),
    [(size, kernel, stride) for size in SIZES for kernel in (3, 4, 5, 6, 7) for stride in (2, 3)],
)


@every_stage
def test_the_way_back_is_the_adjoint(size: tuple[int, int], kernel: int, stride: int) -> None:
    """With the same weights, ⟨conv(x), y⟩ = ⟨x, transposed(y)⟩: same sizes, nothing cropped, nothing made up."""
    stage = division(size, kernel, stride)
    down = stage.convolution(2, 3, bias=False)
    up = stage.transposed(3, 2, bias=False)
    with torch.no_grad():
        up.weight.copy_(down.weight)
    x, y = torch.randn(1, 2, *stage.large), torch.randn(1, 3, *stage.small)
    torch.testing.assert_close((down(x) * y).sum(), (x * up(y)).sum())


@every_stage
def test_every_pixel_is_read(size: tuple[int, int], kernel: int, stride: int) -> None:
    down = division(size, kernel, stride).convolution(1, 1, bias=False)
    with torch.no_grad():
        down.weight.fill_(1)
    x = torch.zeros(1, 1, *size, requires_grad=True)
    down(x).sum().backward()
    assert (x.grad >= 1).all()


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "sizes"),
    [
        ((28, 28), 3, 2, [(14, 14), (7, 7), (4, 4), (4, 4)]),
        ((28, 28), 4, 2, [(14, 14), (7, 7), (7, 7), (7, 7)]),
        ((218, 178), 3, 2, [(109, 89), (55, 45), (28, 23), (14, 12)]),
        ((7, 33), 4, 2, [(7, 16), (7, 8), (7, 4), (7, 4)]),
        ((8, 8), 3, 2, [(4, 4), (4, 4), (4, 4), (4, 4)]),
        ((28, 28), 5, 3, [(9, 9), (3, 3), (3, 3), (3, 3)]),
        ((64, 64), 5, 3, [(21, 21), (7, 7), (7, 7), (7, 7)]),
        ((218, 178), 5, 3, [(73, 59), (24, 20), (8, 7), (3, 7)]),
        ((7, 8), 5, 3, [(7, 3), (7, 3), (7, 3), (7, 3)]),
    ],
)
def test_sizes(size: tuple[int, int], kernel: int, stride: int, sizes: list[tuple[int, int]]) -> None:
    assert [stage.small for stage in divisions(size, 4, kernel, stride)] == sizes


@pytest.mark.parametrize(("stride", "kernel"), [(2, 4), (2, 6), (3, 5), (3, 7)])
def test_matching_parity_pads_as_published(stride: int, kernel: int) -> None:
    """(k − s) / 2 zeros, where a whole number of strides fits: the windows then end where the padded image does."""
    published = (kernel - stride) // 2
    fitting = [n for n in range(kernel, 60) if (n + 2 * published - kernel) % stride == 0]
    assert {padding_of(n, kernel, stride) for n in fitting} == {published}
