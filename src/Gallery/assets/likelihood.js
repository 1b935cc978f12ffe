// How likely a picture, or a point, is to the model.
import { make, minus } from "./drawing.js";
import { Refusal, askJson, modelAddress } from "./api.js";
import { choice, classEntries, field, number } from "./fields.js";
import { pictureField, valuesOf } from "./pictures.js";
import { commandBlock, isOn, toggle } from "./stage.js";
import { beside, file, npyOf } from "./files.js";
import { tile } from "./interpolate.js";

export const likelihood = {
  id: "likelihood",
  title: "Likelihood",
  action: "Find the likelihood",
  startsAtOnce: false,
  isFor: () => true,
  open(context) {
    const { model, name } = context;
    const image = model.kind === "images";
    const label = choice(classEntries(model));
    const size = model.shape.reduce((product, side) => product * side, 1);
    const results = make("ul", { className: "results", ariaLabel: "What was found" });
    const after = make("div", { className: "after" });
    const preview = make("div", { className: "preview" });
    // Of a text the bytes, filled up with spaces or cut to the model's length.
    const text = model.kind === "text" ? make("input", { type: "text", className: "wide", maxLength: model.shape[0] }) : null;
    // More numbers than a form has room for are one line of them.
    const line = !image && !text && (size > 16 || model.shape.length > 1) ? make("input", { type: "text", className: "wide" }) : null;
    const coordinates = image || text || line ? [] : Array.from({ length: size }, () => number("0", { step: "any" }));
    let picture = null;
    const invert = toggle("Inverted", () => look());
    const look = () => {
      if (picture) preview.replaceChildren(make("p", {}, "As the model sees it"), tile(model, valuesOf(model, picture, { invert: isOn(invert) }), 140), invert);
    };

    return {
      elements: [
        make("p", { className: "hint" }, image
          ? "A picture of yours is made as small as the model’s own, and followed along the flow to its noise. Higher is likelier."
          : text
            ? `A bound on the probability of ${model.shape[0]} bytes: a shorter text is filled up with spaces.`
            : "The density of a point, followed along the flow to its noise."),
        make("div", { className: "figure likelihood" },
          ...(image
            ? [pictureField("A picture.", async (given) => {
              picture = given;
              look();
            }, context), preview]
            : text ? [field("Text", text)]
            : line ? [field("Values", line, `${size} numbers, with commas or spaces between them${model.shape.length > 1 ? ", one series after the other" : ""}`)]
            : [make("div", { className: "row" }, ...coordinates.map((input, k) => field(`x${k + 1}`, input)))]),
          results),
        after,
      ],
      fields: model.isConditional ? [field("As of class", label)] : [],
      async run(request) {
        if (image && !picture) throw new Refusal(0, "Drop a picture first.");
        after.replaceChildren();
        context.say("Following the flow …");
        const values = image
          ? valuesOf(model, picture, { invert: isOn(invert) })
          : text
            ? [...new TextEncoder().encode(text.value.padEnd(model.shape[0]))].slice(0, model.shape[0])
            : line ? line.value.split(/[\s,;]+/).filter(Boolean).map(Number)
            : coordinates.map((input) => Number(input.value));
        if (line && !(values.length === size && values.every(Number.isFinite))) {
          throw new Refusal(0, `Give ${size} numbers: here are ${values.length}.`);
        }
        const { nats, bitsPerDimension, command } = await askJson(modelAddress(name, "/likelihood"), {
          ...request,
          body: { values, class: model.isConditional ? label.value : null, seed: Number(context.settings().seed || 0) },
        });
        const what = image ? tile(model, values, 44) : text ? `“${text.value}”` : line ? tile(model, values, 44) : `(${values.map((x) => minus(String(x))).join(", ")})`;
        results.prepend(make("li", {}, what,
          make("span", { className: "value" }, `${minus(nats.toFixed(2))} nats`),
          make("span", { className: "note" }, `${minus(bitsPerDimension.toFixed(3))} bits a dimension${model.isConditional ? `, as ${model.classes[Number(label.value)]}` : ""}`)));
        after.replaceChildren(commandBlock(command), beside(file("sample.npy", npyOf(values, [1, ...model.shape]))));
        return "One density";
      },
    };
  },
};
