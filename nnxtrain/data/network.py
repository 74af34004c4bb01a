"""Find out within seconds whether a download can succeed at all.

tensorflow-datasets retries an unreachable host for minutes before it says so.
"""

from __future__ import annotations

import queue
import socket
import threading
from collections.abc import Iterable
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

TIMEOUT = 1.5  # seconds, name look-up included; a lost first packet is sent again after one second


def unreachable_host(urls: Iterable[str]) -> str | None:
    """Return the first host among ``urls`` that takes no connection, or None if all do.

    A host behind a proxy is not tried: only the proxy knows.
    """
    hosts = dict.fromkeys(
        (parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80))
        for parts in map(urlsplit, urls)
        if not _behind_proxy(parts.scheme, parts.hostname or "")
    )
    return next((host for host, port in hosts if not _accepts(host, port)), None)


def _behind_proxy(scheme: str, host: str) -> bool:
    proxies = getproxies()
    return (scheme in proxies or "all" in proxies) and not proxy_bypass(host)


def _accepts(host: str, port: int) -> bool:
    """Whether a connection opens in time.

    It is tried in a thread of its own, because a name look-up cannot be given a time limit.
    """
    answers: queue.SimpleQueue[bool] = queue.SimpleQueue()

    def connect() -> None:
        try:
            socket.create_connection((host, port), TIMEOUT).close()
        except OSError:
            answers.put(False)
        else:
            answers.put(True)

    threading.Thread(target=connect, daemon=True, name=f"connect-{host}").start()
    try:
        return answers.get(timeout=TIMEOUT)
    except queue.Empty:
        return False
