"""A client that is neither a browser nor str0m: aiortc publishes by WHIP and plays by WHEP."""

import asyncio
import os
import socket
import subprocess
import tempfile
import time
import unittest
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urljoin

from aiortc import RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack, VideoStreamTrack

WORKSPACE = Path(__file__).resolve().parents[2]
SHARDS = 2
READY_SECONDS_MAX = 15
STOP_SECONDS_MAX = 7
# Enough to be sure that pictures go on coming after the first keyframe.
VIDEO_FRAMES_WANTED = 30
AUDIO_FRAMES_WANTED = 50
PLAY_SECONDS_MAX = 15


class Server:
    """The server under test, on free loopback ports; it is ended by its process id."""

    def __init__(self):
        self.data = tempfile.TemporaryDirectory(prefix="sluice-aiortc-")
        port = free_tcp_port()
        self.url = f"http://127.0.0.1:{port}"
        artifacts = WORKSPACE / "tests/artifacts"
        artifacts.mkdir(exist_ok=True)
        self.log = open(artifacts / "aiortc-server.log", "wb")
        environment = os.environ | {
            "SLUICE_HTTP_LISTEN": f"127.0.0.1:{port}",
            "SLUICE_RTC_LISTEN": "127.0.0.1",
            "SLUICE_RTC_PORT": str(free_udp_ports(SHARDS)),
            "SLUICE_SHARDS": str(SHARDS),
            "SLUICE_DATA_DIR": self.data.name,
        }
        binary = os.environ.get("SLUICE_BIN", str(WORKSPACE / "target/debug/sluice"))
        self.process = subprocess.Popen([binary], env=environment, stdout=self.log, stderr=self.log)
        try:
            self.wait_until_ready()
        except Exception:
            self.stop()
            raise

    def wait_until_ready(self):
        deadline = time.monotonic() + READY_SECONDS_MAX
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError(f"the server ended at start with {self.process.returncode}")
            try:
                with urllib.request.urlopen(f"{self.url}/readyz", timeout=1):
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        raise RuntimeError("the server was not ready in time")

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()
        self.data.cleanup()


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


async def send(method, url, body=None):
    """One HTTP request: `(status, headers, text)`."""

    def blocking():
        headers = {"Content-Type": "application/sdp"} if body is not None else {}
        request = urllib.request.Request(url, data=body and body.encode(), headers=headers, method=method)
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status, response.headers, response.read().decode()

    return await asyncio.to_thread(blocking)


async def offer(connection, server, path):
    """Connects to an endpoint. Returns the session URL."""
    await connection.setLocalDescription(await connection.createOffer())
    status, headers, answer = await send("POST", f"{server.url}{path}", connection.localDescription.sdp)
    assert status == 201, status
    assert headers.get_content_type() == "application/sdp", headers.get_content_type()
    await connection.setRemoteDescription(RTCSessionDescription(answer, "answer"))
    return urljoin(server.url, headers["Location"])


async def receive(track, count):
    """Reads `count` frames of a track and returns the last."""
    frame = None
    for _ in range(count):
        frame = await track.recv()
    return frame


class Aiortc(unittest.IsolatedAsyncioTestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server()
        cls.addClassCleanup(cls.server.stop)

    async def test_published_picture_and_sound_are_played(self):
        publisher, player = RTCPeerConnection(), RTCPeerConnection()
        sessions = []
        try:
            publisher.addTrack(AudioStreamTrack())
            publisher.addTrack(VideoStreamTrack())
            sessions.append(await offer(publisher, self.server, "/whip/aiortc"))

            audio = player.addTransceiver("audio", direction="recvonly").receiver.track
            video = player.addTransceiver("video", direction="recvonly").receiver.track
            sessions.append(await offer(player, self.server, "/whep/aiortc"))

            frames = asyncio.gather(receive(video, VIDEO_FRAMES_WANTED), receive(audio, AUDIO_FRAMES_WANTED))
            picture, sound = await asyncio.wait_for(frames, PLAY_SECONDS_MAX)
            self.assertEqual((picture.width, picture.height), (640, 480))
            self.assertEqual(sound.sample_rate, 48_000)
        finally:
            for session in sessions:
                status, _, _ = await send("DELETE", session)
                self.assertEqual(status, 200)
            await publisher.close()
            await player.close()

    async def test_a_deleted_session_is_gone(self):
        player = RTCPeerConnection()
        try:
            player.addTransceiver("video", direction="recvonly")
            session = await offer(player, self.server, "/whep/gone")
            status, _, _ = await send("DELETE", session)
            self.assertEqual(status, 200)
            with self.assertRaises(urllib.error.HTTPError) as refused:
                await send("DELETE", session)
            self.assertEqual(refused.exception.code, 404)
            refused.exception.close()
        finally:
            await player.close()


if __name__ == "__main__":
    unittest.main()
