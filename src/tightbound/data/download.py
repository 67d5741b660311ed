"""Downloads that are whole and verified, or leave nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tightbound.data.atomic import replacing
from tightbound.data.progress import Progress, Ticker
from tightbound.errors import DataError

_TIMEOUT = (10.0, 30.0)  # seconds without an answer, and without a byte
_ROUNDS = 2  # each address is tried so often, in turn


def fetch(
    urls: Sequence[str],
    destination: Path,
    *,
    checksum: str,
    progress: Progress = None,
    timeout: tuple[float, float] = _TIMEOUT,
    hint: str = "",
) -> Path:
    """The file, from the first address that gives it whole.

    The bytes go to a temporary name beside ``destination`` and are renamed only after their checksum: no reader ever
    sees half a file.

    Args:
        urls: addresses of the same file, the best first; all are tried twice, in turn.
        destination: where it goes. A file that lies there with the right checksum is kept.
        checksum: ``"sha256:..."`` or ``"md5:..."``.
        progress: told how far a slow download is.
        timeout: seconds without an answer, and without a byte, after which an address is given up.
        hint: what to do if no address gives the file.

    Raises:
        DataError: if no address gives it, with what each of them said; or if ``destination`` cannot be written.
    """
    algorithm, _, digest = checksum.partition(":")
    if algorithm not in ("sha256", "md5") or not digest:
        raise ValueError(f"expected a checksum 'sha256:...' or 'md5:...'; got {checksum!r}")
    if destination.is_file() and file_digest(destination, algorithm) == digest:
        return destination
    failures: dict[str, str] = {}
    for url in [*urls] * _ROUNDS:
        failure = _try(url, destination, algorithm, digest, progress, timeout)
        if failure is None:
            return destination
        failures[url] = failure
    said = "; ".join(f"{url}: {failure}" for url, failure in failures.items()) or "no address is known"
    raise DataError(f"cannot download {destination.name}: {said}", hint=hint or f"put the file at {destination}")


def _try(
    url: str, destination: Path, algorithm: str, digest: str, progress: Progress, timeout: tuple[float, float]
) -> str | None:
    """None if the file is now there, else why it is not."""
    import pooch
    import requests

    try:
        with replacing(destination) as part:
            # Any: pooch's annotations are narrower than its documentation, which allows a bar and two timeouts.
            options: Any = {"progressbar": _Bar(destination.name, progress), "timeout": timeout}
            pooch.HTTPDownloader(**options)(url, str(part), None)
            if (found := file_digest(part, algorithm)) != digest:
                raise _WrongChecksumError(f"wrong checksum ({algorithm} {found}, expected {digest})")
    except _WrongChecksumError as error:
        return str(error)
    except requests.HTTPError as error:
        status = "an error" if error.response is None else f"status {error.response.status_code}"
        return f"the server answers {status}"
    except requests.RequestException as error:  # before OSError, of which it is one
        return _reason(error)
    except OSError as error:
        hint = "set TIGHTBOUND_CACHE to another folder"
        raise DataError(f"{destination}: cannot be written: {error}", hint=hint) from error
    return None


class _WrongChecksumError(Exception):
    pass


def _reason(error: Exception) -> str:
    """The innermost message: requests wraps several of them."""
    names = {"ConnectTimeout": "no answer in time", "ReadTimeout": "no answer in time"}
    return names.get(type(error).__name__, f"the connection failed ({type(error).__name__}: {str(error)[:120]})")


def file_digest(path: Path, algorithm: str) -> str:
    """The checksum of a file, in hexadecimal digits; ``algorithm`` is ``"md5"`` or ``"sha256"``."""
    import pooch

    return pooch.file_hash(str(path), alg=algorithm)


class _Bar:
    """What pooch calls while it reads, as sentences of ours."""

    def __init__(self, name: str, progress: Progress) -> None:
        self.total = 0
        self.count = 0
        self.name = name
        self.ticker = Ticker("bytes", None, progress)

    def update(self, size: int) -> None:
        self.count += size
        self.ticker.what = f"bytes of {self.name}" + (f" ({self.total:,} in all)" if self.total else "")
        self.ticker.done(self.count)

    def reset(self) -> None:
        self.count = 0

    def close(self) -> None:
        pass
