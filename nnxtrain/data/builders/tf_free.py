"""What our builders have in common: they list their downloads, and they keep quiet.

tensorflow-datasets reads every set without TensorFlow, but its official builders cannot *prepare*
one: they open files through ``tf.io`` and hand over arrays that TensorFlow would encode. Ours
subclass them, read the files themselves and yield PIL images. Name, version, features and
everything that tensorflow-datasets does around the reading (download, checksums, shuffling,
writing) stay the same, so that stock ``tfds.data_source(name, data_dir=..., download=False)`` reads
what was prepared here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tensorflow_datasets.core.download import checksums


class TFFree:
    """Mixin for a ``tfds.core.GeneratorBasedBuilder``; goes before it in the list of bases."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)  # for skip_registration

    accepted: Mapping[str, Any] | None = None
    """URL -> ``UrlInfo`` to check files against in place of the published ones."""

    def urls(self) -> list[str]:
        """The files that the set is made from."""
        return []

    def expected(self) -> dict[str, Any]:
        """URL -> the published ``UrlInfo`` (size, SHA-256, file name)."""
        published = checksums.get_all_url_infos()
        return {url: published[url] for url in self.urls()}

    def _make_download_manager(self, **kwargs: Any) -> Any:
        manager = super()._make_download_manager(**kwargs)  # type: ignore[misc]
        if self.accepted:
            # On a copy: its own dictionary is the one of published sums that all managers share.
            manager._url_infos = {**manager._url_infos, **self.accepted}
        return manager

    def _log_download_bytes(self) -> None:
        """Print nothing: standard output belongs to the command."""

    def _log_download_done(self) -> None:
        """Print nothing: standard output belongs to the command."""
