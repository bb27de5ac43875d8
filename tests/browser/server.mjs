// Starts the server under test on free loopback ports, and ends it by its process id.

import { spawn } from "node:child_process";
import { createSocket } from "node:dgram";
import { mkdtemp, open, readFile, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const WORKSPACE = fileURLToPath(new URL("../..", import.meta.url));
export const ARTIFACTS = join(WORKSPACE, "tests/artifacts");
const SHARDS = 2;
const READY_MS_MAX = 15_000;
/** The server promises to end its sessions within 5 s. */
const STOP_MS_MAX = 7_000;

/** Starts a server, on `port` if one is named. Resolves with `{url, port, pid, stop()}` once `/readyz` says yes. */
export async function startServer(extra = {}, wantedPort = 0) {
  const data = await mkdtemp(join(tmpdir(), "sluice-browser-"));
  const port = wantedPort || (await freeTcpPort());
  const log = await open(join(ARTIFACTS, "browser-server.log"), "a");
  const child = spawn(process.env.SLUICE_BIN ?? join(WORKSPACE, "target/debug/sluice"), [], {
    env: {
      ...process.env,
      SLUICE_HTTP_LISTEN: `127.0.0.1:${port}`,
      SLUICE_RTC_LISTEN: "127.0.0.1",
      SLUICE_RTC_PORT: String(await freeUdpPorts(SHARDS)),
      SLUICE_SHARDS: String(SHARDS),
      SLUICE_DATA_DIR: data,
      SLUICE_ROOM_LINGER_SECONDS: "1",
      ...extra,
    },
    stdio: ["ignore", log.fd, log.fd],
  });
  const exit = new Promise((resolve) => child.once("exit", (code, signal) => resolve({ code, signal })));
  child.once("error", () => {});
  const url = `http://127.0.0.1:${port}`;
  let ending = null;
  const stop = () => (ending ??= end());
  const end = async () => {
    child.kill("SIGTERM");
    const timer = setTimeout(() => child.kill("SIGKILL"), STOP_MS_MAX);
    const outcome = child.pid === undefined ? { code: null } : await exit;
    clearTimeout(timer);
    await log.close();
    await rm(data, { recursive: true, force: true });
    return outcome;
  };
  try {
    await untilReady(url, exit);
  } catch (error) {
    await stop();
    const said = (await readFile(join(ARTIFACTS, "browser-server.log"), "utf8")).split("\n");
    throw new Error(`${error.message}: ${said.findLast((line) => line.includes("io_uring cannot be used")) ?? ""}`);
  }
  return { url, port, pid: child.pid, stop };
}

/** Starts a server on io_uring; where that cannot be used, says so aloud and starts one on mmsg. */
export async function startOnUring() {
  try {
    return { ...(await startServer({ SLUICE_IO: "uring" })), backend: "uring" };
  } catch (error) {
    if (!error.message.includes("io_uring cannot be used")) throw error;
    console.log(`# SKIPPED on io_uring, and not tested there: ${error.message}`);
    return startOnMmsg();
  }
}

/** Starts a server on the other backend. */
export async function startOnMmsg() {
  return { ...(await startServer({ SLUICE_IO: "mmsg" })), backend: "mmsg" };
}

/** What moves the datagrams of each shard, as the server's metrics say. */
export async function backends(server) {
  const page = await (await fetch(`${server.url}/metrics`)).text();
  return [...page.matchAll(/^sluice_backend_info\{.*backend="(\w+)".*\} 1$/gm)].map((match) => match[1]);
}

async function untilReady(url, exit) {
  const deadline = Date.now() + READY_MS_MAX;
  let ended = null;
  exit.then((end) => (ended = end));
  while (Date.now() < deadline) {
    if (ended) throw new Error(`the server ended at start: ${JSON.stringify(ended)}, see browser-server.log`);
    const ready = await fetch(`${url}/readyz`).catch(() => null);
    if (ready?.ok) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error("the server was not ready in time, see browser-server.log");
}

function freeTcpPort() {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once("error", reject);
    probe.listen(0, "127.0.0.1", () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
}

/** The first of `count` free ports in a row: shard i binds base + i. */
async function freeUdpPorts(count) {
  for (;;) {
    const first = await bindUdp(0);
    const base = first.address().port;
    const rest = await Promise.allSettled(
      Array.from({ length: count - 1 }, (_, index) => bindUdp(base + 1 + index)),
    );
    first.close();
    rest.forEach((result) => result.value?.close());
    if (rest.every((result) => result.status === "fulfilled")) return base;
  }
}

function bindUdp(port) {
  return new Promise((resolve, reject) => {
    const socket = createSocket("udp4");
    socket.once("error", reject);
    socket.bind(port, "127.0.0.1", () => resolve(socket));
  });
}
