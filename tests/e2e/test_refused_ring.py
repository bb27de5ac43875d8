"""Where io_uring is refused, as in a container with Docker's default seccomp profile, mmsg is used."""

import json
import os
import subprocess
import unittest
import urllib.request

import seccomp
from server import Server, binary


@unittest.skipUnless(seccomp.is_supported(), "the numbers of the system calls are not known here")
class RefusedRing(unittest.TestCase):
    def test_the_server_starts_with_mmsg_and_takes_sessions(self):
        server = Server("refused-ring", preexec_fn=seccomp.refuse_io_uring)
        try:
            with urllib.request.urlopen(f"{server.url}/readyz", timeout=2) as answer:
                self.assertEqual(answer.status, 200)
            with open(server.log.name, encoding="utf-8") as log:
                self.assertRegex(log.read(), r"(?m)^  io +mmsg\b")
        finally:
            server.stop()

    def test_the_doctor_names_the_profile(self):
        run = subprocess.run(
            [binary(), "doctor", "--json"],
            env=os.environ | {"SLUICE_RTC_PORT": "0"},
            preexec_fn=seccomp.refuse_io_uring,
            capture_output=True,
            check=False,
            timeout=60,
        )
        findings = {finding["check"]: finding for finding in json.loads(run.stdout)["findings"]}
        self.assertEqual(findings["io_uring"]["verdict"], "warn")
        self.assertIn("not permitted", findings["io_uring"]["found"])
        self.assertIn("seccomp", findings["io_uring"]["remedy"])


if __name__ == "__main__":
    unittest.main()
