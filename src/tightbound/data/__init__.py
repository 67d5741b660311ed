"""Images: shipped sets, the user's own, and the splits that training and evaluation read from.

    data = load_data(DataSettings(name="digits"))
    x = data.train.batch(torch.arange(32))  # float32 (32, 1, 8, 8) in {0, 1}, binarized afresh

Importing this package makes the shipped sets known to the registry, and reads nothing.
"""

from __future__ import annotations

from tightbound.data.catalog import DataSetInfo, data_of, data_sets, load_data, split_of
from tightbound.data.celeba64 import CelebA64
from tightbound.data.cifar10 import Cifar10
from tightbound.data.data_set import DataSet, PartialDataSet
from tightbound.data.digits import Digits
from tightbound.data.download import fetch
from tightbound.data.images import Images, Parts
from tightbound.data.mnist import FashionMnist, Mnist
from tightbound.data.multi_dsprites import MultiDsprites
from tightbound.data.multi_mnist import MultiMnist
from tightbound.data.multi_objects import object_attributes
from tightbound.data.omniglot import Omniglot
from tightbound.data.settings import DataSettings
from tightbound.data.split import Data, Split
from tightbound.data.static_mnist import StaticMnist
from tightbound.data.svhn import Svhn

__all__ = [
    "CelebA64",
    "Cifar10",
    "Data",
    "DataSet",
    "DataSetInfo",
    "DataSettings",
    "Digits",
    "FashionMnist",
    "Images",
    "Mnist",
    "MultiDsprites",
    "MultiMnist",
    "Omniglot",
    "PartialDataSet",
    "Parts",
    "Split",
    "StaticMnist",
    "Svhn",
    "data_of",
    "data_sets",
    "fetch",
    "load_data",
    "object_attributes",
    "split_of",
]
