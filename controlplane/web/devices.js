// Cameras, microphones and the screen of the person who publishes.
//
// Holds at most one track per slot of whip.js and says `change` (detail: the slot) when one comes,
// goes, or ends by itself.

/** @typedef {import("./whip.js").Slot} Slot */
/** @typedef {{id: string, label: string}} Device */

/** @type {Record<string, number>} */
const LINES_TO_WIDTH = { 360: 640, 720: 1280, 1080: 1920 };
const FRAME_RATE = 30;
const SCREEN_FRAME_RATE_MAX = 30;
/** The value of a device list that means "none". */
export const OFF = "off";

export class Devices extends EventTarget {
  /** @type {Record<Slot, MediaStreamTrack | null>} */
  tracks = { microphone: null, camera: null, screenSound: null, screen: null };

  /**
   * Opens the camera `deviceId` ("" for the default, OFF for none) at `lines` lines.
   * @param {string} deviceId
   * @param {string} lines
   */
  async openCamera(deviceId, lines) {
    const video = {
      width: { ideal: LINES_TO_WIDTH[lines] },
      height: { ideal: Number(lines) },
      frameRate: { ideal: FRAME_RATE },
    };
    await this.#open("camera", deviceId, video);
  }

  /**
   * Opens the microphone `deviceId` ("" for the default, OFF for none); music wants no cleaning up.
   * @param {string} deviceId
   * @param {boolean} isVoice
   */
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

  /** What there is to choose from. @returns {Promise<{camera: Device[], microphone: Device[]}>} */
  async list() {
    const all = await navigator.mediaDevices.enumerateDevices();
    const of = (/** @type {string} */ kind, /** @type {string} */ word) =>
      all
        .filter((device) => device.kind === kind && device.deviceId !== "")
        .map((device, index) => ({ id: device.deviceId, label: device.label || `${word} ${index + 1}` }));
    return { camera: of("videoinput", "Camera"), microphone: of("audioinput", "Microphone") };
  }

  /** @param {"camera" | "microphone"} slot @param {string} deviceId @param {MediaTrackConstraints} constraints */
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

  /** @param {Slot} slot @param {MediaStreamTrack | null} track */
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
