// Cameras, microphones and the screen of the person who publishes.
//
// Holds at most one track per slot of whip.js and says `change` (detail: the slot) when one comes,
// goes, or ends by itself.

const LINES_TO_WIDTH = { 360: 640, 720: 1280, 1080: 1920 };
const FRAME_RATE = 30;
const SCREEN_FRAME_RATE_MAX = 30;
/** The value of a device list that means "none". */
export const OFF = "off";

export class Devices extends EventTarget {
  tracks = { microphone: null, camera: null, screenSound: null, screen: null };

  /** Opens the camera `deviceId` ("" for the default, OFF for none) at `lines` lines. */
  async openCamera(deviceId, lines) {
    const video = {
      width: { ideal: LINES_TO_WIDTH[lines] },
      height: { ideal: Number(lines) },
      frameRate: { ideal: FRAME_RATE },
    };
    await this.#open("camera", deviceId, video);
  }

  /** Opens the microphone `deviceId` ("" for the default, OFF for none); music wants no cleaning up. */
  async openMicrophone(deviceId, isVoice) {
    const audio = { echoCancellation: isVoice, noiseSuppression: isVoice, autoGainControl: isVoice };
    await this.#open("microphone", deviceId, audio);
  }

  /** Asks for a screen, window or tab, with its sound where the browser can. */
  async openScreen() {
    const stream = await navigator.mediaDevices.getDisplayMedia({
      video: { frameRate: { max: SCREEN_FRAME_RATE_MAX } },
      audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false },
    });
    const [picture] = stream.getVideoTracks();
    picture.contentHint = "detail";
    this.#set("screen", picture);
    this.#set("screenSound", stream.getAudioTracks()[0] ?? null);
  }

  closeScreen() {
    this.#set("screen", null);
    this.#set("screenSound", null);
  }

  /** What there is to choose from: `{camera: [{id, label}], microphone: [...]}`. */
  async list() {
    const all = await navigator.mediaDevices.enumerateDevices();
    const of = (kind, word) =>
      all
        .filter((device) => device.kind === kind && device.deviceId !== "")
        .map((device, index) => ({ id: device.deviceId, label: device.label || `${word} ${index + 1}` }));
    return { camera: of("videoinput", "Camera"), microphone: of("audioinput", "Microphone") };
  }

  async #open(slot, deviceId, constraints) {
    // A phone cannot open its second camera while the first is open.
    this.#set(slot, null);
    if (deviceId === OFF) return;
    if (deviceId) constraints.deviceId = { exact: deviceId };
    const kind = slot === "camera" ? "video" : "audio";
    const stream = await navigator.mediaDevices.getUserMedia({ [kind]: constraints });
    const [track] = stream.getTracks();
    if (slot === "camera") track.contentHint = "motion";
    this.#set(slot, track);
  }

  #set(slot, track) {
    const old = this.tracks[slot];
    if (old === track) return;
    old?.stop();
    this.tracks[slot] = track;
    track?.addEventListener("ended", () => {
      if (this.tracks[slot] === track) this.#set(slot, null);
    });
    this.dispatchEvent(new CustomEvent("change", { detail: slot }));
  }
}

/** Calls `onLevel` with 0..1 while `track` is heard. Returns a function that ends it. */
export function meter(track, onLevel) {
  const context = new AudioContext();
  const analyser = new AnalyserNode(context, { fftSize: 512 });
  context.createMediaStreamSource(new MediaStream([track])).connect(analyser);
  const samples = new Float32Array(analyser.fftSize);
  const timer = setInterval(() => {
    analyser.getFloatTimeDomainData(samples);
    const power = samples.reduce((total, sample) => total + sample * sample, 0) / samples.length;
    // From -60 dB to 0 dB.
    onLevel(Math.min(1, Math.max(0, 1 + (10 * Math.log10(power + 1e-9)) / 60)));
  }, 80);
  return () => {
    clearInterval(timer);
    context.close();
  };
}
