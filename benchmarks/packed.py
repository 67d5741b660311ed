"""``python benchmarks/packed.py [--images 100000]``: a folder of images packed and read, and the memory it takes.

Generates PNG files of 3 × 64 × 64, packs them as ``tightbound data pack`` does, and reads batches of 128 in random
order as training does. Memory is that of this process without what it has mapped of files, which the system takes back
when it needs it; it has to stay the same however many images there are.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from tightbound.data import DataSettings, load_data
from tightbound.data.packed import pack

SIDE, BATCH, FOLDERS = 64, 128, 100


class Memory:
    """The most that this process holds while the body runs, sampled ten times a second. MiB."""

    def __enter__(self) -> Memory:
        self.before = self.most = _held()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def _watch(self) -> None:
        while not self._done.wait(0.1):
            self.most = max(self.most, _held())

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        self.most = max(self.most, _held())

    @property
    def more(self) -> float:
        """Beyond what it held before."""
        return round(self.most - self.before, 1)


def _held() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("RssAnon"))) / 1024


def generate(folder: Path, number: int) -> None:
    """Smooth colors with some noise, in subfolders."""
    random = np.random.default_rng(0)
    for index in range(number):
        coarse = Image.fromarray(random.integers(0, 256, (4, 4, 3), dtype=np.uint8))
        place = folder / f"{index % FOLDERS:02}"
        place.mkdir(parents=True, exist_ok=True)
        coarse.resize((SIDE, SIDE), Image.Resampling.BILINEAR).save(place / f"{index:06}.png", compress_level=1)


def measure(number: int, seconds: float) -> None:
    """Prints the numbers of one folder; to remove its files again may take as long as all else."""
    with tempfile.TemporaryDirectory(prefix="tightbound-") as name:
        own, packed = Path(name) / "own", Path(name) / "packed"
        generate(own, number)
        started = time.perf_counter()
        with Memory() as packing:
            pack(own, packed, DataSettings())
        taken = time.perf_counter() - started
        with Memory() as reading:
            train = load_data(DataSettings(name=str(packed))).train
            steps, started = 0, time.perf_counter()
            while time.perf_counter() - started < seconds:
                train.batch(torch.randint(len(train), (BATCH,)))
                steps += 1
            rate = steps * BATCH / (time.perf_counter() - started)
        found = {
            "images": number,
            "pixels_MiB": round((packed / "pixels.npy").stat().st_size / 2**20, 1),
            "packed_images_per_second": round(number / taken),
            "read_images_per_second": round(rate),
            "more_memory_packing_MiB": packing.more,
            "more_memory_reading_MiB": reading.more,
            "load": round(os.getloadavg()[0], 1),
        }
        print(json.dumps(found), flush=True)


def main() -> None:
    """A tenth of the images, then all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=10.0, help="of reading")
    given = parser.parse_args()
    for number in (given.images // 10, given.images):
        measure(number, given.seconds)


if __name__ == "__main__":
    main()
