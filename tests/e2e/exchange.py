"""WHIP and WHEP as an aiortc client speaks them, and what it receives."""

import asyncio
import urllib.request
from urllib.parse import urljoin

from aiortc import RTCSessionDescription


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
    """The next `count` frames of a track."""
    return [await track.recv() for _ in range(count)]
