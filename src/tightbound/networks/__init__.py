"""Encoders (x -> features) and decoders (z -> the likelihood's parameters), registered under their recipe kinds."""

from tightbound.networks.convolutional import ConvolutionalDecoder, ConvolutionalEncoder
from tightbound.networks.gated import GatedDecoder, GatedEncoder
from tightbound.networks.initialize import initialize_from_data
from tightbound.networks.mlp import MLPDecoder, MLPEncoder
from tightbound.networks.network import Decoder, Encoder, Network
from tightbound.networks.residual import ResidualBlock, ResidualDecoder, ResidualEncoder
from tightbound.networks.resize_convolutional import ResizeConvolutionalDecoder, ResizeConvolutionalEncoder
from tightbound.networks.skip_mlp import SkipMLPDecoder, SkipMLPEncoder
from tightbound.networks.spatial import SpatialTransformer

__all__ = [
    "ConvolutionalDecoder",
    "ConvolutionalEncoder",
    "Decoder",
    "Encoder",
    "GatedDecoder",
    "GatedEncoder",
    "MLPDecoder",
    "MLPEncoder",
    "Network",
    "ResidualBlock",
    "ResidualDecoder",
    "ResidualEncoder",
    "ResizeConvolutionalDecoder",
    "ResizeConvolutionalEncoder",
    "SkipMLPDecoder",
    "SkipMLPEncoder",
    "SpatialTransformer",
    "initialize_from_data",
]
