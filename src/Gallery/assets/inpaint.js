// A picture of which a part is wiped out by hand, and what may have been there.
import { colour, counted, make } from "./drawing.js";
import { Refusal, askJson, modelAddress, queryOf } from "./api.js";
import { choice, field, number } from "./fields.js";
import { Stage, commandBlock } from "./stage.js";
import { beside, file, npyOf } from "./files.js";
import { pictureField, valuesOf } from "./pictures.js";
import { seen } from "./interpolate.js";
import { sheetOf } from "./recording.js";

export const inpaint = {
  id: "inpaint",
  title: "Inpaint",
  action: "Fill in",
  startsAtOnce: false,
  isFor: (model) => model.kind === "images",
  open(context) {
    const { model, name } = context;
    const [channels, height, width] = model.shape;
    const scale = Math.max(2, Math.floor(308 / Math.max(height, width)));
    const hidden = new Uint8Array(height * width);
    const board = make("canvas", { width: width * scale, height: height * scale, tabIndex: 0, className: "board" });
    board.setAttribute("role", "application");
    board.setAttribute("aria-label", "The picture. Drag to wipe out; or move the brush with the arrow keys and press space.");
    const brush = number(String(Math.max(1, Math.round(width / 9))), { min: 1, max: width });
    const steerer = choice([["", "the usual one"], ...context.parts.steerers.map((s) => [s.name, s.name, s.equation])]);
    const count = number("9", { min: 1, max: 36 });
    const stage = new Stage(context, `What may have been in the wiped out part, by ${name}`);
    stage.element.hidden = true;
    const after = make("div", { className: "after" });
    let values = null;
    let at = [Math.floor(width / 2), Math.floor(height / 2)];
    let down = false;

    const paint = () => {
      const pen = board.getContext("2d");
      pen.imageSmoothingEnabled = false;
      pen.fillStyle = colour("grid");
      pen.fillRect(0, 0, board.width, board.height);
      if (values) pen.drawImage(sheetOf(seen(model, values), [1, ...model.shape], 1), 0, 0, width, height, 0, 0, board.width, board.height);
      pen.fillStyle = colour("model");
      pen.globalAlpha = 0.78;
      hidden.forEach((isHidden, i) => isHidden && pen.fillRect((i % width) * scale, Math.floor(i / width) * scale, scale, scale));
      pen.globalAlpha = 1;
      if (document.activeElement === board) {
        pen.strokeStyle = colour("accent");
        pen.lineWidth = 2;
        pen.beginPath();
        pen.arc((at[0] + 0.5) * scale, (at[1] + 0.5) * scale, (scale * Number(brush.value)) / 2, 0, 2 * Math.PI);
        pen.stroke();
      }
    };
    const wipe = ([x, y]) => {
      const radius = Math.max(0.5, Number(brush.value) / 2);
      for (let i = 0; i < hidden.length; i++) {
        if (Math.hypot((i % width) - x, Math.floor(i / width) - y) <= radius) hidden[i] = 1;
      }
      paint();
    };
    const hide = (test) => {
      for (let i = 0; i < hidden.length; i++) hidden[i] = test(i % width, Math.floor(i / width)) ? 1 : 0;
      paint();
    };
    const place = (event) => {
      const { left, top, width: shown } = board.getBoundingClientRect();
      return [((event.clientX - left) / shown) * width - 0.5, ((event.clientY - top) / shown) * width - 0.5];
    };
    board.addEventListener("pointerdown", (event) => {
      down = true;
      board.setPointerCapture(event.pointerId);
      wipe((at = place(event)));
      event.preventDefault();
    });
    board.addEventListener("pointermove", (event) => down && wipe((at = place(event))));
    board.addEventListener("pointerup", () => (down = false));
    board.addEventListener("pointercancel", () => (down = false));
    board.addEventListener("focus", paint);
    board.addEventListener("blur", paint);
    board.addEventListener("keydown", (event) => {
      const [dx, dy] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key] ?? [0, 0];
      if (event.key === " ") wipe(at);
      else if (dx || dy) {
        at = [Math.min(width - 1, Math.max(0, at[0] + dx)), Math.min(height - 1, Math.max(0, at[1] + dy))];
        paint();
      } else return;
      event.preventDefault();
    });

    const show = (next) => {
      values = next;
      paint();
    };
    const sample = async (request) => {
      context.say("Drawing a sample to begin with …");
      const query = queryOf({ ...context.settings(), count: 1, seed: Math.floor(Math.random() * 1e6) });
      const answer = await askJson(modelAddress(name, `/samples.json?${query}`), request);
      show(answer.values[0]);
      return "A sample";
    };
    const tool = (text, act) => {
      const button = make("button", { type: "button", className: "tool" }, text);
      button.addEventListener("click", act);
      return button;
    };
    hide((x) => x >= width / 2);
    context.run(sample);

    return {
      elements: [
        make("p", { className: "hint" }, "Wipe out a part of the picture. What is left is held fast, and the model makes what may have been in the rest."),
        make("div", { className: "figure inpaint" },
          make("div", {}, board),
          make("div", { className: "board-tools" },
            field("Brush", brush),
            make("div", { className: "row" }, tool("Right half", () => hide((x) => x >= width / 2)), tool("Lower half", () => hide((x, y) => y >= height / 2)),
              tool("Middle", () => hide((x, y) => Math.abs(x - width / 2 + 0.5) < width / 4 && Math.abs(y - height / 2 + 0.5) < height / 4)), tool("Nothing", () => hide(() => false))),
            tool("Another sample", () => context.run(sample)),
            pictureField("Or a picture of yours", async (picture) => show(valuesOf(model, picture)), context))),
        stage.element, after,
      ],
      fields: [field("Fillings", count), field("Method", steerer)],
      async run(request) {
        if (!values) await sample(request);
        if (!hidden.includes(1)) throw new Refusal(0, "Wipe out a part of the picture first.");
        const { class: label, guidance, solver, steps, grid, seed } = context.settings();
        const known = Array.from({ length: channels * height * width }, (_, i) => !hidden[i % (height * width)]);
        const numeric = (text) => (text ? Number(text) : null);
        after.replaceChildren();
        stage.element.hidden = false;
        const body = {
          values: Array.from(values), known, steerer: steerer.value || null,
          asked: { count: Number(count.value), seed: numeric(seed), solver: solver || null, grid: grid || null, steps: numeric(steps), class: label || null, guidance: numeric(guidance) },
        };
        const recording = await stage.play(modelAddress(name, "/inpaint/stream"), { ...request, body });
        const nested = (flags) => Array.from({ length: channels }, (_, c) => Array.from({ length: height }, (_, y) =>
          flags.slice((c * height + y) * width, (c * height + y + 1) * width).map(Number)));
        after.replaceChildren(commandBlock(recording.command),
          beside(file("mask.json", JSON.stringify({ mask: nested(known), noise: 0 }), "application/json"),
            file("seen.npy", npyOf(values, [1, ...model.shape]))));
        return counted(recording.count, "filling");
      },
    };
  },
};
