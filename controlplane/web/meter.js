// How loud a microphone is.

const READ_MS = 60;
/** Below this nobody speaks, dB of full scale. */
const FLOOR_DB = -60;
/** How long a peak stays on the meter, as the share that is left after a reading. */
const DECAY = 0.85;

/**
 * Calls `onLevel` with 0 (-60 dB) to 1 (0 dB) while `track` is heard. Returns a function that ends it.
 * @param {MediaStreamTrack} track
 * @param {(level: number) => void} onLevel
 */
export function meter(track, onLevel) {
  const context = new AudioContext();
  const analyser = new AnalyserNode(context, { fftSize: 1024 });
  context.createMediaStreamSource(new MediaStream([track])).connect(analyser);
  const samples = new Float32Array(analyser.fftSize);
  let level = 0;
  const timer = setInterval(() => {
    analyser.getFloatTimeDomainData(samples);
    const power = samples.reduce((total, sample) => total + sample * sample, 0) / samples.length;
    const now = Math.min(1, Math.max(0, 1 - (10 * Math.log10(power + 1e-9)) / FLOOR_DB));
    level = Math.max(now, level * DECAY);
    onLevel(level);
  }, READ_MS);
  // A page that nobody has touched may not listen yet.
  const resume = () => context.resume();
  addEventListener("pointerdown", resume, { once: true });
  addEventListener("keydown", resume, { once: true });
  return () => {
    removeEventListener("pointerdown", resume);
    removeEventListener("keydown", resume);
    clearInterval(timer);
    context.close();
  };
}
