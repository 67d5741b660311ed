from __future__ import annotations

import pytest
import torch

from tests.training.toy import toy_model
from tightbound.errors import RecipeError
from tightbound.training import precision
from tightbound.training.precision import place, resolve_device, resolve_precision


def test_auto_is_bf16_only_where_the_processor_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "_processor_flags", lambda: frozenset({"avx2", "avx512f"}))
    assert resolve_precision("auto", "cpu") == "float32"
    for flag in ("avx512_bf16", "amx_bf16"):
        monkeypatch.setattr(precision, "_processor_flags", lambda flag=flag: frozenset({"avx2", flag}))
        assert resolve_precision("auto", "cpu") == "bf16"
    assert resolve_precision("auto", "mps") == "float32"
    assert resolve_precision("float64", "cpu") == "float64"


def test_auto_device_is_the_first_that_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert resolve_device("auto") == "mps"
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert resolve_device("auto") == "cpu"
    with pytest.raises(RecipeError, match="device cuda is not available on this machine"):
        resolve_device("cuda")


def test_float64_on_mps_is_refused() -> None:
    with pytest.raises(RecipeError, match="float64 is not available on mps"):
        resolve_precision("float64", "mps")


def test_bf16_rounds_network_outputs_and_keeps_parameters_float32() -> None:
    model = toy_model()
    place(model, device="cpu", precision="bf16", channels_last=False)
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    z = torch.randn(4, 3, dtype=torch.float32)
    rounded = model.decoder(z)
    assert rounded.dtype == torch.float32
    assert torch.equal(rounded, rounded.bfloat16().float())
    place(model, device="cpu", precision="float32", channels_last=False)
    full = model.decoder(z)
    assert not torch.equal(full, rounded)
    torch.testing.assert_close(full, rounded, rtol=0.05, atol=0.05)


def test_channels_last_changes_strides_not_values() -> None:
    model, x = toy_model("convolutional"), torch.rand(2, 1, 5, 6)
    model.double()
    before = model.encoder(x)
    place(model, device="cpu", precision="float64", channels_last=True)
    weight = next(p for p in model.encoder.parameters() if p.dim() == 4 and p.shape[1] > 1)
    assert weight.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(model.encoder(x), before)
