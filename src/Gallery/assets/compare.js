// Two solvers from the same noise, side by side, at the same time.
import { addPlayer, counted, make } from "./drawing.js";
import { modelAddress, queryOf } from "./api.js";
import { nounOf, record, viewOf } from "./recording.js";
import { choice, field, number, solverEntries } from "./fields.js";
import { calm, commandBlock } from "./stage.js";

const rootMeanSquare = (a, b) => {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i] - b[i]) ** 2;
  return Math.sqrt(sum / a.length);
};

export const compare = {
  id: "compare",
  title: "Compare",
  action: "Compare",
  startsAtOnce: false,
  isFor: () => true,
  open(context) {
    const { model, name } = context;
    const second = {
      solver: choice(solverEntries(context.parts), "euler"),
      steps: number("", { min: 1, max: 1000, placeholder: "as many" }),
    };
    const sides = ["First", "Second"].map((title) => {
      const view = viewOf(model, `${title} solver: samples of ${name}`);
      const label = make("p", { className: "panel-title" }, `${title} solver`);
      return { title, view, label, element: make("div", {}, label, view.canvas) };
    });
    const under = make("div", {});
    const figure = make("div", { className: "figure" }, make("div", { className: "panels" }, ...sides.map((side) => side.element)), under);
    const after = make("div", { className: "after" });

    return {
      elements: [
        make("p", { className: "hint" }, "Both begin at the same noise, so that what differs is the solver’s doing."),
        figure, after,
      ],
      fields: [field("Second solver", second.solver), field("Second steps", second.steps)],
      async run(request) {
        const first = context.settings();
        const other = { ...first, solver: second.solver.value, steps: second.steps.value || first.steps };
        under.replaceChildren();
        after.replaceChildren();
        const made = [0, 0];
        const recordings = await Promise.all([first, other].map((values, k) => {
          const { view, label } = sides[k];
          const text = `${values.solver || "the usual solver"}${values.steps ? `, ${values.steps} steps` : ""}`;
          label.replaceChildren(text);
          return record(modelAddress(name, `/stream?${queryOf(values)}`), request, (recording) => {
            const isFirst = recording.states.length === 1;
            if (isFirst) view.frame(recording);
            made[k] = recording.final.step / recording.steps;
            context.progress((made[0] + made[1]) / 2);
            if (isFirst || !calm()) view.draw(recording, recording.last);
          });
        }));
        const [a, b] = recordings;
        // One window for both, so that the same place is the same place.
        sides.forEach(({ view }) => view.frame(a.last >= b.last ? a : b));
        // One clock for both: that of the one with more states.
        const times = (a.last >= b.last ? a : b).times;
        const timeAt = (place) => {
          const below = Math.floor(place);
          return times[below] + (place - below) * ((times[below + 1] ?? times[below]) - times[below]);
        };
        const player = addPlayer(under, { times }, (place) => recordings.forEach((recording, k) =>
          sides[k].view.draw(recording, place >= times.length - 1 ? recording.last : recording.placeOf(timeAt(place)))));
        player.show(times.length - 1);
        const unit = model.kind === "images" ? (model.range[1] - model.range[0]) / 255 : 1;
        const apart = unit * rootMeanSquare(a.final.x, b.final.x);
        after.replaceChildren(
          make("p", { className: "readout" }, `At the end the two are ${apart.toPrecision(3)} apart (root mean square of a number, in the data’s units).`),
          commandBlock(a.command, "The first"),
          commandBlock(b.command, "The second"));
        return counted(a.count, nounOf(model));
      },
    };
  },
};
