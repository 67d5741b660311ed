"""Encoders (x -> features) and decoders (z -> the likelihood's parameters)."""

from tightbound.networks.mlp import MLPDecoder, MLPEncoder
from tightbound.networks.network import Decoder, Encoder, Network

__all__ = ["Decoder", "Encoder", "MLPDecoder", "MLPEncoder", "Network"]
