"""Logging in: dialects, signing, encryption, and what is said when the server refuses."""

from __future__ import annotations

import importlib.util
import logging
import socket
import subprocess
import sys
import time
import traceback
from typing import Any

import pytest
import spnego

from media_watch_tasks.errors import (
    AssetNotFound,
    AuthenticationRequiredError,
    ConfigurationError,
    MissingDependencyError,
    SourceOfflineError,
)
from media_watch_tasks.smb import SmbConnection, _smbprotocol
from media_watch_tasks.testing.clock import FakeClock

Options = Any
Server = Any
Servers = Any
"""What the fixtures of conftest.py give, and what foreign calls take."""

HANG_GUARD_SECONDS = 60
SECRET = "Secr3t!-do-not-show"
_CIPHERS = "server smb3 encryption algorithms"
KINDS: dict[str, tuple[tuple[str, ...], dict[str, Any], str, bool, bool]] = {
    "2.0.2": (("server max protocol = SMB2_02",), {}, "2.0.2", True, False),
    "2.1": (("server max protocol = SMB2_10",), {}, "2.1", True, False),
    "3.0": (("server max protocol = SMB3_00",), {}, "3.0", True, False),
    "3.0 encrypted": (("server max protocol = SMB3_00", "smb encrypt = required"), {}, "3.0", False, True),
    "3.1.1": ((), {}, "3.1.1", True, False),
    "3.1.1 signing mandatory": (("server signing = mandatory",), {"require_signing": False}, "3.1.1", True, False),
    "3.1.1 encryption required": (("smb encrypt = required",), {}, "3.1.1", False, True),
    "3.1.1 encryption asked for": ((), {"encrypt": True}, "3.1.1", False, True),
    "3.1.1 unsigned": ((), {"require_signing": False}, "3.1.1", False, False),
    "3.1.1 AES-CMAC": (("server smb3 signing algorithms = AES-128-CMAC",), {}, "3.1.1", True, False),
    "3.1.1 AES-128-CCM": ((f"{_CIPHERS} = AES-128-CCM",), {"encrypt": True}, "3.1.1", False, True),
    "3.1.1 AES-256-GCM": ((f"{_CIPHERS} = AES-256-GCM",), {"encrypt": True}, "3.1.1", False, True),
    "ntlm": ((), {"auth": "ntlm"}, "3.1.1", True, False),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_session_lists_and_reads(smb_servers: Servers, kind: str) -> None:
    lines, options, dialect, signed, encrypted = KINDS[kind]
    server = smb_servers(*lines)
    share = server.empty()
    (share / "folder").mkdir()
    content = bytes(range(256)) * 4096
    (share / "folder" / "film.mp4").write_bytes(content)
    with server.connect(**options) as connection:
        status = connection.status()
        assert (status.dialect, status.signed, status.encrypted) == (dialect, signed, encrypted)
        assert [entry.path for entry in connection.list_directory(recursive=True)] == ["folder", "folder/film.mp4"]
        assert connection.read_partial("folder/film.mp4") == content[: 512 * 1024]
        with connection.open("folder/film.mp4") as file:
            assert file.read() == content
        assert connection.status().fast_path


def sessions(server: Server) -> int:
    """Sessions of the test's user, as the server counts them."""
    command = ["smbstatus", "-b", "-s", server.config]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.count("mediatest")


def test_a_session_is_logged_off(server: Server) -> None:
    with server.connect() as connection:
        connection.stat("")
        assert connection.status().connected
        assert sessions(server) == 1
    assert not connection.status().connected
    limit = time.monotonic() + HANG_GUARD_SECONDS
    while sessions(server) and time.monotonic() < limit:
        time.sleep(0.05)
    assert sessions(server) == 0
    # The object logs in again at its next use.
    assert connection.stat("").is_dir
    connection.close()


@pytest.mark.parametrize("fast_path", [True, False])
def test_a_wrong_password_asks_for_credentials_and_names_no_secret(
    server: Server,
    caplog: pytest.LogCaptureFixture,
    fast_path: bool,
) -> None:
    caplog.set_level(logging.DEBUG)
    connection = server.connect(password="wrong-" + SECRET, fast_path=fast_path)
    with pytest.raises(AuthenticationRequiredError) as caught:
        connection.connect()
    assert caught.value.party == "source"
    assert "//127.0.0.1/media" in str(caught.value)
    shown = "".join(traceback.format_exception(caught.value)) + repr(connection) + repr(vars(connection)) + caplog.text
    assert SECRET not in shown
    assert caught.value.__cause__ is None


def test_a_login_that_works_shows_no_secret_either(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with server.connect() as connection:
        connection.stat("")
        session = connection.session
        channel = session.pool.channels[0]
        shown = repr(connection) + repr(session.credentials) + repr(channel.login) + repr(connection.status())
    keys = [channel.login.signing_key.hex(), repr(channel.login.signing_key)]
    assert not any(secret in shown + caplog.text for secret in [SECRET, *keys])


def test_a_missing_share_is_offline_and_is_not_tried_again(server: Server) -> None:
    clock = FakeClock()
    with pytest.raises(SourceOfflineError, match="no such share"):
        server.connect(share="nothere", clock=clock).connect()


def test_a_dead_server_is_tried_three_times_and_then_offline() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    waits: list[float] = []

    class Clock(FakeClock):
        def sleep(self, seconds: float) -> None:
            waits.append(seconds)

    connection = SmbConnection("127.0.0.1", "media", username="u", password="p", port=port, clock=Clock())
    with pytest.raises(SourceOfflineError):
        connection.connect()
    assert waits == [1.0, 2.0]


def test_the_password_is_asked_for_at_every_login(server: Server) -> None:
    asked: list[str] = []

    def password() -> str:
        asked.append("asked")
        return SECRET

    with server.connect(password=password) as connection:
        connection.reconnect()
        assert connection.stat("").is_dir
    assert len(asked) == 2


@pytest.mark.parametrize("options", [{}, {"require_signing": False}])
def test_a_guest_session_is_refused_unless_asked_for_by_name(smb_servers: Servers, options: dict[str, Any]) -> None:
    server = smb_servers(guest=True)
    with pytest.raises(AuthenticationRequiredError, match="guest"):
        server.connect(username="nobody-knows-me", **options).connect()


def test_a_guest_session_that_is_asked_for_by_name_works(smb_servers: Servers) -> None:
    server = smb_servers(guest=True)
    (server.empty() / "open.mp4").write_bytes(b"x")
    with server.connect(username="guest", require_signing=False) as connection:
        assert [entry.path for entry in connection.list_directory()] == ["open.mp4"]


@pytest.mark.parametrize(
    ("lines", "options"),
    [(("server smb encrypt = off", "server max protocol = SMB2_10"), {"encrypt": True}),
     (("smb encrypt = required",), {"encrypt": False})],
)  # fmt: skip
def test_a_quarrel_about_encryption_is_a_configuration_error(
    smb_servers: Servers, lines: tuple[str, ...], options: dict[str, Any]
) -> None:
    with pytest.raises(ConfigurationError, match="encrypt"):
        smb_servers(*lines).connect(**options).connect()


@pytest.mark.parametrize(
    "arguments",
    [
        {"host": ""},
        {"share": "a/b"},
        {"username": ""},
        {"port": 0},
        {"auth": "none"},
        {"connections": 0},
        {"timeout": 0},
    ],
)
def test_wrong_arguments_are_refused(arguments: dict[str, Any]) -> None:
    settings: dict[str, Any] = {"host": "nas", "share": "media", "username": "u", "password": "p"} | arguments
    with pytest.raises(ConfigurationError):
        SmbConnection(settings.pop("host"), settings.pop("share"), **settings)


@pytest.mark.parametrize("path", ["a/../b", "./a", "a\0b"])
def test_a_path_that_leads_elsewhere_is_refused(server: Server, path: str) -> None:
    with server.connect() as connection, pytest.raises(ConfigurationError):
        connection.stat(path)


def test_what_is_not_there_is_not_found(server: Server) -> None:
    with server.connect() as connection:
        for look in (connection.stat, connection.open, connection.read_partial):
            with pytest.raises(AssetNotFound):
                look("nothing.mp4")
        with pytest.raises(AssetNotFound):
            list(connection.list_directory("nothing"))


def test_kerberos_without_its_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "gssapi" else real(name, *rest)
    )
    with pytest.raises(MissingDependencyError, match=r"media-watch-tasks\[smb-kerberos\]"):
        SmbConnection("nas", "media", username="u", password="p", auth="kerberos")


@pytest.mark.parametrize("auth", ["kerberos", "ntlm", "negotiate"])
def test_the_provider_that_was_asked_for_is_used(server: Server, monkeypatch: pytest.MonkeyPatch, auth: str) -> None:
    asked: list[tuple[str, str, str]] = []

    def client(*_args: object, **options: Options) -> None:
        asked.append((options["protocol"], options["service"], options["hostname"]))
        raise spnego.exceptions.BadMechanismError(context_msg="no ticket")

    monkeypatch.setattr(_smbprotocol, "require_kerberos", lambda: None)
    monkeypatch.setattr(spnego, "client", client)
    with pytest.raises(AuthenticationRequiredError):
        server.connect(auth=auth).connect()
    assert asked == [(auth, "cifs", "127.0.0.1")]


def test_smbprotocol_has_all_internals_that_are_leant_on(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _smbprotocol.moved_internals() == ()
    monkeypatch.setitem(_smbprotocol._LEANT_ON, "Session", ("signing_key", "a_name_that_moved"))
    assert _smbprotocol.moved_internals() == ("Session.a_name_that_moved",)


def test_a_release_of_smbprotocol_that_moved_internals_is_refused(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(_smbprotocol._LEANT_ON, "TreeConnect", ("gone",))
    with pytest.raises(ConfigurationError, match=r"TreeConnect\.gone.*pip install"):
        server.connect().connect()


def test_without_smbprotocol_the_constructor_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "smbclient", None)
    monkeypatch.delitem(sys.modules, "media_watch_tasks.smb._smbprotocol")
    with pytest.raises(MissingDependencyError, match=r"media-watch-tasks\[smb\]") as caught:
        SmbConnection("nas", "media", username="u", password="p")
    assert caught.value.extra == "smb"


def test_a_host_that_nobody_knows_is_offline() -> None:
    connection = SmbConnection("no-such-host.invalid", "media", username="u", password="p", clock=FakeClock())
    with pytest.raises(SourceOfflineError, match="no-such-host"):
        connection.connect()
