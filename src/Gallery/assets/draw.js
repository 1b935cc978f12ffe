// Samples, from noise to data.
import { counted, make } from "./drawing.js";
import { modelAddress, queryOf } from "./api.js";
import { nounOf } from "./recording.js";
import { Stage, commandBlock, downloads } from "./stage.js";

export const draw = {
  id: "draw",
  title: "Draw",
  action: "Draw",
  startsAtOnce: true,
  isFor: () => true,
  open(context) {
    const noun = nounOf(context.model);
    const stage = new Stage(context, `Samples of ${context.name} on their way from noise to data`);
    const after = make("div", { className: "after" });
    return {
      elements: [stage.element, after],
      async run(request) {
        const query = queryOf(context.settings());
        after.replaceChildren();
        const recording = await stage.play(modelAddress(context.name, `/stream?${query}`), request);
        after.replaceChildren(downloads(context, query), commandBlock(recording.command));
        return counted(recording.count, noun);
      },
    };
  },
};
