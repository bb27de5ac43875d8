"""FFmpeg publishes H.264 and Opus by WHIP, aiortc plays them.

FFmpeg differs from every browser: it is the DTLS server (`setup:passive`), so Sluice sends the ClientHello;
it takes AES128_CM_HMAC_SHA1_80, so the SRTP that is no AEAD is used; and it answers no keyframe request.
"""

import asyncio
import contextlib
import json
import subprocess
import unittest

import imageio_ffmpeg
import numpy
from aiortc import RTCPeerConnection

from exchange import offer, receive, send
from server import ARTIFACTS, Server

SIZE = (640, 360)
# A second apart, so that a viewer who joins does not wait longer: FFmpeg makes no keyframe when asked.
KEYFRAME_FRAMES = 30
TONE_HZ = 440
VIDEO_FRAMES_WANTED = 60
AUDIO_FRAMES_WANTED = 100
LIVE_SECONDS_MAX = 10
PLAY_SECONDS_MAX = 10
STOP_SECONDS_MAX = 5


def command(url):
    """A moving test picture and a tone in real time, published to `url` until FFmpeg is ended."""
    width, height = SIZE
    arguments = (
        f"-hide_banner -nostdin -loglevel verbose -re -f lavfi -i testsrc2=size={width}x{height}:rate=30"
        f" -re -f lavfi -i sine=frequency={TONE_HZ}:sample_rate=48000"
        f" -c:v libx264 -profile:v baseline -pix_fmt yuv420p -bf 0 -g {KEYFRAME_FRAMES} -preset ultrafast -b:v 1M"
        f" -c:a libopus -ar 48000 -ac 2 -f whip {url}"
    )
    return [imageio_ffmpeg.get_ffmpeg_exe(), *arguments.split()]


@contextlib.asynccontextmanager
async def publishing(server, room):
    """Runs FFmpeg. It is asked to stop at the end, so that it says goodbye, and is killed if it does not."""
    with open(ARTIFACTS / "ffmpeg.log", "wb") as log:
        process = subprocess.Popen(command(f"{server.url}/whip/{room}"), stdout=log, stderr=log)
        try:
            yield process
        finally:
            process.terminate()
            try:
                await asyncio.to_thread(process.wait, STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


async def is_live(server, room):
    """Whether a room has a publisher whose ICE and DTLS are done."""
    _, _, text = await send("GET", f"{server.url}/api/rooms")
    publishers = [entry["publisher"] for entry in json.loads(text)["rooms"] if entry["name"] == room]
    return any(publisher and publisher["connected"] for publisher in publishers)


async def until_live(server, room, wanted):
    """Returns once the room is live, or is no longer."""
    while await is_live(server, room) != wanted:
        await asyncio.sleep(0.1)


def loudest_hz(frames):
    """The loudest frequency of some sound frames, interleaved stereo."""
    left = numpy.concatenate([frame.to_ndarray().reshape(-1, 2)[:, 0] for frame in frames]).astype(float)
    spectrum = numpy.abs(numpy.fft.rfft(left * numpy.hanning(len(left))))
    return numpy.fft.rfftfreq(len(left), 1 / frames[0].sample_rate)[spectrum.argmax()]


class Ffmpeg(unittest.IsolatedAsyncioTestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server("ffmpeg")
        cls.addClassCleanup(cls.server.stop)

    async def test_a_stream_of_ffmpeg_is_played_and_ends_with_it(self):
        player = RTCPeerConnection()
        try:
            async with publishing(self.server, "ffmpeg"):
                await asyncio.wait_for(until_live(self.server, "ffmpeg", True), LIVE_SECONDS_MAX)
                audio = player.addTransceiver("audio", direction="recvonly").receiver
                video = player.addTransceiver("video", direction="recvonly").receiver
                session = await offer(player, self.server, "/whep/ffmpeg")

                pictures, sounds = await asyncio.wait_for(
                    asyncio.gather(
                        receive(video.track, VIDEO_FRAMES_WANTED), receive(audio.track, AUDIO_FRAMES_WANTED)
                    ),
                    PLAY_SECONDS_MAX,
                )
                self.assertEqual((pictures[-1].width, pictures[-1].height), SIZE)
                moved = numpy.abs(grey(pictures[-1]) - grey(pictures[0])).mean()
                self.assertGreater(moved, 1, "the picture is frozen")
                self.assertAlmostEqual(loudest_hz(sounds[len(sounds) // 2 :]), TONE_HZ, delta=5)
            await asyncio.wait_for(until_live(self.server, "ffmpeg", False), STOP_SECONDS_MAX)
            await send("DELETE", session)
        finally:
            await player.close()


def grey(picture):
    return picture.to_ndarray(format="gray").astype(int)


if __name__ == "__main__":
    unittest.main()
