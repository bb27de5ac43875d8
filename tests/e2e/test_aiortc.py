"""A client that is neither a browser nor str0m: aiortc publishes by WHIP and plays by WHEP."""

import asyncio
import unittest
import urllib.error

from aiortc import RTCPeerConnection
from aiortc.mediastreams import AudioStreamTrack, VideoStreamTrack

from exchange import offer, receive, send
from server import SHARDS, Server

# Enough to be sure that pictures go on coming after the first keyframe.
VIDEO_FRAMES_WANTED = 30
AUDIO_FRAMES_WANTED = 50
PLAY_SECONDS_MAX = 15


class Aiortc:
    """The promises; the classes below say on which backend."""

    @classmethod
    def setUpClass(cls):
        cls.server = Server(f"aiortc-{cls.backend}", cls.backend)
        cls.addClassCleanup(cls.server.stop)

    async def test_published_picture_and_sound_are_played(self):
        publisher, player = RTCPeerConnection(), RTCPeerConnection()
        sessions = []
        try:
            publisher.addTrack(AudioStreamTrack())
            publisher.addTrack(VideoStreamTrack())
            sessions.append(await offer(publisher, self.server, "/whip/aiortc"))

            audio = player.addTransceiver("audio", direction="recvonly").receiver
            video = player.addTransceiver("video", direction="recvonly").receiver
            sessions.append(await offer(player, self.server, "/whep/aiortc"))

            # aiortc makes the tracks when it gets the answer.
            frames = asyncio.gather(
                receive(video.track, VIDEO_FRAMES_WANTED), receive(audio.track, AUDIO_FRAMES_WANTED)
            )
            pictures, sounds = await asyncio.wait_for(frames, PLAY_SECONDS_MAX)
            self.assertEqual((pictures[-1].width, pictures[-1].height), (640, 480))
            self.assertEqual(sounds[-1].sample_rate, 48_000)
            self.assertEqual(self.server.backends(), [self.backend] * SHARDS)
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


class AiortcOnUring(Aiortc, unittest.IsolatedAsyncioTestCase):
    backend = "uring"


class AiortcOnMmsg(Aiortc, unittest.IsolatedAsyncioTestCase):
    backend = "mmsg"


if __name__ == "__main__":
    unittest.main()
