// Where samples are watched as they are made, and gone through afterwards.
import { addPlayer, addStrip, make } from "./drawing.js";
import { modelAddress } from "./api.js";
import { record, viewOf } from "./recording.js";

export const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

export const toggle = (label, onChange) => {
  const button = make("button", { type: "button", className: "tool", ariaPressed: "false" }, label);
  button.addEventListener("click", () => {
    button.ariaPressed = String(button.ariaPressed !== "true");
    onChange();
  });
  return button;
};

export const isOn = (button) => button.ariaPressed === "true";

export const commandBlock = (command, title = "The command that repeats it") => {
  const code = make("code", {}, command);
  const copy = make("button", { type: "button", className: "copy" }, "Copy");
  copy.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(command);
      copy.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(code);
      copy.textContent = "Selected";
    }
    setTimeout(() => (copy.textContent = "Copy"), 1600);
  });
  return make("div", {}, make("h2", {}, title), make("div", { className: "command" }, make("pre", {}, code), copy));
};

export const downloads = ({ name, model }, query) => make("p", { className: "downloads" }, "Download ",
  ...["npy", model.kind === "text" ? "txt" : "png", "json"].map((kind) =>
    make("a", { className: "tool", href: modelAddress(name, `/samples.${kind}?${query}`), download: `${name}.${kind}` }, kind)));

export class Stage {
  constructor(context, description) {
    this.context = context;
    this.view = viewOf(context.model, description);
    this.denoised = toggle("Denoised", () => this.again());
    this.denoised.title = "What the network takes the data for at each time, E[x₀ | x_t]";
    this.paths = toggle("Paths", () => this.again());
    this.tools = make("div", { className: "bar-of-tools" }, this.denoised,
      ...(context.model.kind === "points" ? [this.paths] : []));
    this.under = make("div", {});
    this.solo = make("div", { className: "solo" }, this.tools, this.view.canvas, this.under);
    this.element = make("div", { className: "figure" }, this.solo);
    this.tools.hidden = true;
  }

  get options() {
    return { which: isOn(this.denoised) ? "denoised" : "x", paths: isOn(this.paths), marks: this.marks };
  }

  again() { this.player?.again(); }

  // Draws states as they come; then there is a slider.
  async play(address, request) {
    this.player = null;
    this.under.replaceChildren();
    this.tools.hidden = true;
    let due = 0;
    const recording = await record(address, request, (recording) => {
      const isFirst = recording.states.length === 1;
      if (isFirst) this.view.frame(recording);
      this.context.progress(recording.final.step / recording.steps);
      this.context.say(`step ${recording.final.step} of ${recording.steps}, t = ${recording.final.time.toFixed(2)}`);
      if (isFirst) this.view.draw(recording, 0);
      else if (!calm()) {
        due ||= requestAnimationFrame(() => {
          due = 0;
          if (!this.player) this.view.draw(recording, recording.last);
        });
      }
    });
    cancelAnimationFrame(due);
    this.show(recording);
    return recording;
  }

  show(recording, spec = { times: recording.times }) {
    this.recording = recording;
    this.view.frame(recording);
    this.tools.hidden = false;
    this.denoised.hidden = !recording.states.some((state) => state.denoised);
    this.under.replaceChildren();
    this.player = addPlayer(this.under, spec, (place) => this.view.draw(recording, place, this.options));
    addStrip(this.under, spec, this.player, (place) => this.view.thumbnail(recording, place, {}));
    this.player.show(recording.last);
  }
}
