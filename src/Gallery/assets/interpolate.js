// From one sample to another through their latents.
import { colour, make } from "./drawing.js";
import { Refusal, askJson, modelAddress, queryOf } from "./api.js";
import { Recording, sheetOf, viewOf } from "./recording.js";
import { Stage, commandBlock } from "./stage.js";
import { beside, file, npyOf } from "./files.js";
import { field, number } from "./fields.js";

// Numbers in the data's units as the views have them: bytes of images, the numbers of points.
export const seen = (model, values) => {
  if (model.kind !== "images") return Float32Array.from(values);
  const [low, high] = model.range;
  return Uint8Array.from(values, (x) => Math.min(255, Math.max(0, Math.round((255 * (x - low)) / (high - low)))));
};

export const tile = (model, values, size = 56) => {
  if (model.kind !== "images") return curveTile(values, model.shape, size);
  const sheet = sheetOf(seen(model, values), [1, ...model.shape], 1);
  const canvas = make("canvas", { className: "tile-canvas", width: sheet.width, height: sheet.height });
  canvas.getContext("2d").drawImage(sheet, 0, 0);
  canvas.style.width = `${size}px`;
  return canvas;
};

// The curves of a window's series, each on a scale of its own.
const curveTile = (values, shape, size) => {
  const [width, height] = [2 * size, size];
  const canvas = make("canvas", { className: "tile-canvas", width, height });
  const pen = canvas.getContext("2d");
  const length = shape.at(-1);
  pen.fillStyle = colour("grid");
  pen.fillRect(0, 0, width, height);
  pen.lineWidth = 1.5;
  for (let first = 0; first < values.length; first += length) {
    const own = values.slice(first, first + length);
    const [low, high] = [Math.min(...own), Math.max(...own)];
    pen.strokeStyle = colour(shape.length > 1 ? `series-${(first / length) % 8}` : "model");
    pen.beginPath();
    own.forEach((value, k) => pen.lineTo((width * (k + 0.5)) / length, 3 + ((height - 6) * (high - value)) / (high - low || 1)));
    pen.stroke();
  }
  return canvas;
};

// States that did not come by a stream.
const recordingOf = (model, shape, labels, frames) => {
  const recording = new Recording({ kind: model.kind, shape, labels, steps: frames.length - 1 });
  recording.states = frames.map(({ time, values }, step) => {
    const x = seen(model, values);
    return { step, time, x: recording.seen(x) };
  });
  return recording;
};

export const interpolate = {
  id: "interpolate",
  title: "Interpolate",
  action: "Interpolate",
  startsAtOnce: true,
  // Tokens have no latents.
  isFor: (model) => model.kind !== "text",
  open(context) {
    const { model, name } = context;
    // What is chosen by its picture, and not by its place in the plane.
    const image = model.kind !== "points";
    const ends = { from: number("0", { min: 0 }), to: number("1", { min: 0 }) };
    const places = number("9", { min: 2, max: 60 });
    const picker = make("div", { className: "picker" });
    const figure = make("div", { className: "figure" }, make("h2", {}, "Samples to choose from"), picker);
    const stage = new Stage(context, `The way from one sample of ${name} to another`);
    stage.element.hidden = true;
    const after = make("div", { className: "after" });
    let drawn = null;
    let cloud = null;
    let way = null;
    let next = "from";

    const chosen = () => [Number(ends.from.value), Number(ends.to.value)];
    const pick = (k) => {
      ends[next].value = k;
      next = next === "from" ? "to" : "from";
      mark();
    };
    const mark = () => {
      const [a, b] = chosen();
      if (image) {
        [...picker.children].forEach((button, k) => {
          button.ariaPressed = String(k === a || k === b);
          button.dataset.end = k === a ? "from" : k === b ? "to" : "";
        });
      } else cloud?.draw(...cloud.shows.slice(0, 2), { marks });
    };

    // Rings at the two ends, and the way between them.
    const marks = (pen, plane) => {
      const at = (k) => [drawn.values[k]?.[0], drawn.values[k]?.[1] ?? 0];
      pen.globalAlpha = 1;
      pen.lineWidth = 2;
      if (way) {
        pen.strokeStyle = colour("accent");
        pen.beginPath();
        way.forEach(({ values }) => pen.lineTo(plane.column(values[0]), plane.row(values[1] ?? 0)));
        pen.stroke();
      }
      chosen().forEach((k, end) => {
        const [x, y] = at(k);
        if (x === undefined) return;
        pen.fillStyle = colour(end ? "series-2" : "accent");
        pen.beginPath();
        pen.arc(plane.column(x), plane.row(y), 6, 0, 2 * Math.PI);
        pen.fill();
        pen.fillText(end ? "to" : "from", plane.column(x) + 16, plane.row(y) - 10);
      });
    };

    // The settings that samples depend on: others draw anew, the same ones keep what is there.
    const offer = async (request) => {
      const query = queryOf({ ...context.settings(), count: image ? 24 : 400 });
      if (drawn?.query === query) return;
      context.say("Drawing samples to choose from …");
      drawn = { ...(await askJson(modelAddress(name, `/samples.json?${query}`), request)), query };
      way = null;
      ends.from.max = ends.to.max = drawn.values.length - 1;
      if (image) {
        picker.replaceChildren(...drawn.values.map((values, k) => {
          const button = make("button", { type: "button", ariaLabel: `Sample ${k}`, ariaPressed: "false" }, tile(model, values));
          button.addEventListener("click", () => pick(k));
          return button;
        }));
      } else {
        cloud = viewOf(model, "Samples; a click chooses one");
        const recording = recordingOf(model, drawn.shape, drawn.labels, [{ time: 0, values: drawn.values.flat() }]);
        cloud.frame(recording);
        picker.replaceChildren(make("div", { className: "solo" }, cloud.canvas));
        cloud.shows = [recording, 0, { marks }];
        cloud.canvas.style.cursor = "pointer";
        cloud.canvas.addEventListener("click", (event) => {
          const { left, top } = cloud.canvas.getBoundingClientRect();
          const [x, y] = [cloud.plane.x(event.clientX - left), cloud.plane.y(event.clientY - top)];
          const distance = (values) => (values[0] - x) ** 2 + ((values[1] ?? 0) - y) ** 2;
          way = null;
          pick(drawn.values.reduce((best, values, k) => (distance(values) < distance(drawn.values[best]) ? k : best), 0));
        });
      }
    };
    for (const input of Object.values(ends)) input.addEventListener("input", mark);

    return {
      elements: [
        make("p", { className: "hint" }, "Two samples are taken back to the noise that makes them; what lies between those makes what lies between the samples. Choose two, then interpolate."),
        figure, stage.element, after,
      ],
      fields: [field("From sample", ends.from), field("To sample", ends.to), field("Places", places)],
      async run(request) {
        after.replaceChildren();
        await offer(request);
        mark();
        const [a, b] = chosen();
        const last = drawn.values.length - 1;
        if (!(a >= 0 && b >= 0 && a <= last && b <= last)) throw new Refusal(0, `Samples are numbered from 0 to ${last}.`);
        context.say("Following the flow there and back …");
        const { solver, steps } = context.settings();
        const labels = (k) => (drawn.labels ? String(drawn.labels[k]) : null);
        const answer = await askJson(modelAddress(name, "/interpolate"), {
          ...request,
          body: {
            from: drawn.values[a], to: drawn.values[b], fromClass: labels(a), toClass: labels(b),
            frames: Number(places.value), solver: context.parts.solvers.find((s) => s.name === solver)?.isStochastic === false ? solver : null,
            steps: steps ? Number(steps) : null,
          },
        });
        way = answer.places;
        const frames = way.map(({ fraction, values }) => ({ time: fraction, values }));
        if (image) {
          const recording = recordingOf(model, [1, ...model.shape], null, frames);
          stage.element.hidden = false;
          stage.view.frame(recording);
          stage.show(recording, { times: frames.map((frame) => frame.time), clock: { symbol: "s", first: "from", last: "to" } });
        } else mark();
        after.replaceChildren(commandBlock(answer.command),
          beside(file("ends.npy", npyOf([...drawn.values[a], ...drawn.values[b]], [2, ...model.shape]))));
        return `${way.length} places`;
      },
    };
  },
};
