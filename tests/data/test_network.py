from __future__ import annotations

import socket

import pytest

from nnxtrain.data.network import unreachable_host


def test_a_host_that_listens_and_one_that_does_not() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/file"
        assert unreachable_host([url]) is None
    assert unreachable_host([url]) == "127.0.0.1"
    assert unreachable_host([]) is None


def test_a_host_behind_a_proxy_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy.invalid:3128")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert unreachable_host(["https://example.invalid/file"]) is None
    assert unreachable_host(["https://127.0.0.1:1/file"]) == "127.0.0.1"
