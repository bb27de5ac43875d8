"""The server under test, as its own process on free ports."""

import os
import re
import socket
import subprocess
import tempfile
import time
import unittest
import urllib.error
import urllib.request
from pathlib import Path

WORKSPACE = Path(__file__).resolve().parents[2]
ARTIFACTS = WORKSPACE / "tests/artifacts"
SHARDS = 2
READY_SECONDS_MAX = 15
STOP_SECONDS_MAX = 7


class Server:
    """The server under test, on free loopback ports; it is ended by its process id."""

    def __init__(self, name, backend="auto", preexec_fn=None):
        """Starts it on a backend; its log is called after `name`. `preexec_fn` runs in its process before it does.
        Where io_uring cannot be used, the test is skipped."""
        self.data = tempfile.TemporaryDirectory(prefix=f"sluice-{name}-")
        port = free_tcp_port()
        self.url = f"http://127.0.0.1:{port}"
        ARTIFACTS.mkdir(exist_ok=True)
        self.log = open(ARTIFACTS / f"{name}-server.log", "wb")
        environment = os.environ | {
            "SLUICE_HTTP_LISTEN": f"127.0.0.1:{port}",
            "SLUICE_RTC_LISTEN": "127.0.0.1",
            "SLUICE_RTC_PORT": str(free_udp_ports(SHARDS)),
            "SLUICE_SHARDS": str(SHARDS),
            "SLUICE_DATA_DIR": self.data.name,
            "SLUICE_IO": backend,
        }
        self.process = subprocess.Popen(
            [binary()], env=environment, stdout=self.log, stderr=self.log, preexec_fn=preexec_fn
        )
        try:
            self.wait_until_ready()
        except Exception:
            self.stop()
            raise

    def wait_until_ready(self):
        deadline = time.monotonic() + READY_SECONDS_MAX
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                for line in Path(self.log.name).read_text().splitlines():
                    if "io_uring cannot be used" in line:
                        raise unittest.SkipTest(line)
                raise RuntimeError(f"the server ended at start with {self.process.returncode}")
            try:
                with urllib.request.urlopen(f"{self.url}/readyz", timeout=1):
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        raise RuntimeError("the server was not ready in time")

    def backends(self):
        """What moves the datagrams of each shard, as the server's metrics say."""
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=5) as page:
            return re.findall(r'^sluice_backend_info\{.*backend="(\w+)".*\} 1$', page.read().decode(), re.MULTILINE)

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()
        self.data.cleanup()


def binary():
    """The program under test."""
    return os.environ.get("SLUICE_BIN", str(WORKSPACE / "target/debug/sluice"))


def free_tcp_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def free_udp_ports(count):
    """The first of `count` free ports in a row: shard i binds base + i."""
    while True:
        probes = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(count)]
        try:
            probes[0].bind(("127.0.0.1", 0))
            base = probes[0].getsockname()[1]
            for index, probe in enumerate(probes[1:], start=1):
                probe.bind(("127.0.0.1", base + index))
            return base
        except (OSError, OverflowError):
            continue
        finally:
            for probe in probes:
                probe.close()
