// One model: its settings at the side, what is made with them in the middle.
import { make, whole } from "./drawing.js";
import { askJson, modelAddress, nameOf, queryOf } from "./api.js";
import { choice, classEntries, field, number, solverEntries } from "./fields.js";
import { draw } from "./draw.js";
import { compare } from "./compare.js";
import { inpaint } from "./inpaint.js";
import { interpolate } from "./interpolate.js";
import { likelihood } from "./likelihood.js";

const kinds = [draw, compare, inpaint, interpolate, likelihood];

const settingsOf = (model, parts, query) => {
  const from = (key, usual = "") => query.get(key) ?? usual;
  const image = model.kind === "images";
  const inputs = {
    class: choice(classEntries(model, "each in turn"), from("class")),
    guidance: number(from("guidance"), { min: 0, max: 20, step: "any", placeholder: "1" }),
    solver: choice(solverEntries(parts), from("solver")),
    steps: number(from("steps"), { min: 1, max: 1000, placeholder: { images: "10", points: "25", series: "250", text: "250" }[model.kind] }),
    grid: choice([["", "the solver’s own"], ...parts.grids.map((grid) => [grid.name, grid.name, grid.equation])], from("grid")),
    count: number(from("count", model.kind === "points" ? "2000" : "36"), { min: 1, max: model.kind === "points" ? 20000 : 400 }),
    seed: number(from("seed", "0"), { min: 0 }),
  };
  const another = make("button", { type: "button", className: "tool", title: "Another seed" }, "Another");
  another.addEventListener("click", () => {
    inputs.seed.value = Math.floor(Math.random() * 1e6);
    form.requestSubmit();
  });
  const seed = field("Seed", inputs.seed);
  seed.append(another);
  seed.classList.add("with-button");
  const form = make("form", { className: "settings", ariaLabel: "Settings", noValidate: false },
    ...(model.isConditional ? [field("Class", inputs.class), field("Guidance", inputs.guidance, "0 is unconditional, 3 a good deal")] : []),
    field("Solver", inputs.solver, "~ draws on its way"),
    field("Steps", inputs.steps),
    field("Spacing", inputs.grid),
    field("Samples", inputs.count),
    seed,
    make("button", { type: "submit", hidden: true }));
  const values = () => {
    const all = Object.fromEntries(Object.entries(inputs).map(([key, input]) => [key, input.value.trim()]));
    return model.isConditional ? all : { ...all, class: "", guidance: "" };
  };
  return { form, values, inputs };
};

const describe = ({ shape, kind, path, classes, card }) => {
  const steps = card.result?.step ?? card.settings?.steps;
  const what = {
    images: () => `images of ${shape[1]} × ${shape[2]}${shape[0] === 3 ? " in colour" : ""}`,
    points: () => `points in ${shape.join(" × ")} dimension${shape[0] === 1 ? "" : "s"}`,
    series: () => shape.length > 1
      ? `windows of ${shape[1]} values of ${shape[0]} series, each on a scale of its own`
      : `windows of ${shape[0]} values of a series`,
    text: () => `texts of ${shape[0]} bytes`,
  }[kind]();
  return [what, classes.length > 1 && `${classes.length} classes`, `path ${path}`, nameOf(card.settings?.loss), nameOf(card.settings?.network),
    steps && `${whole(steps)} steps of training`].filter(Boolean).join(" · ");
};

export const openStudio = async (page, name, query) => {
  const [model, parts] = await Promise.all([askJson(modelAddress(name)), askJson("/api/parts")]);
  document.title = `${name} · Fokker’s gallery`;
  const settings = settingsOf(model, parts, query);
  const status = make("p", { className: "status", role: "status" });
  const refusal = make("p", { className: "refusal", role: "alert", hidden: true });
  const bar = make("progress", { max: 1, value: 0, hidden: true, ariaLabel: "Steps made" });
  const go = make("button", { type: "submit", className: "go" });
  const cancel = make("button", { type: "button", className: "tool", hidden: true }, "Cancel");
  const panel = make("div", { className: "panel", role: "tabpanel", id: "panel", tabIndex: -1 });
  const extras = make("div", { className: "extras" });
  let running = null;
  let tab = null;

  const context = {
    name,
    model,
    parts,
    settings: settings.values,
    inputs: settings.inputs,
    say: (text) => (status.textContent = text),
    progress: (share) => (bar.value = share),
    run: (work) => run(work),
  };

  // One thing at a time: what is asked for next takes the place of what is being made.
  const run = async (work) => {
    running?.abort();
    const mine = new AbortController();
    running = mine;
    refusal.hidden = true;
    cancel.hidden = bar.hidden = false;
    bar.value = 0;
    panel.setAttribute("aria-busy", "true");
    const began = performance.now();
    const onWait = () => context.say("The gallery is busy: waiting for a turn …");
    try {
      const said = await work({ signal: mine.signal, onWait });
      if (running === mine && said) context.say(`${said} in ${((performance.now() - began) / 1000).toFixed(1)} s`);
    } catch (error) {
      if (running !== mine) return;
      if (error.name === "AbortError") context.say("Cancelled.");
      else {
        context.say("");
        refusal.textContent = error.message;
        refusal.hidden = false;
        if (error.status === undefined) console.error(error);
      }
    } finally {
      if (running === mine) {
        running = null;
        cancel.hidden = bar.hidden = true;
        panel.removeAttribute("aria-busy");
      }
    }
  };

  const start = () => {
    if (!settings.form.reportValidity()) return;
    const kept = queryOf({ ...settings.values(), tab: tab.id === "draw" ? "" : tab.id });
    history.replaceState(null, "", `#/model/${encodeURIComponent(name)}${kept ? `?${kept}` : ""}`);
    run((request) => tab.opened.run(request));
  };
  settings.form.addEventListener("submit", (event) => {
    event.preventDefault();
    start();
  });
  go.addEventListener("click", start);
  cancel.addEventListener("click", () => running?.abort());

  const tabs = kinds.filter((kind) => kind.isFor(model)).map((kind) => {
    const button = make("button", { type: "button", role: "tab", id: `tab-${kind.id}`, ariaSelected: "false", tabIndex: -1 }, kind.title);
    button.setAttribute("aria-controls", "panel");
    return { ...kind, button };
  });
  const select = (next, focus) => {
    running?.abort();
    tab = next;
    for (const { button } of tabs) {
      button.ariaSelected = String(button === next.button);
      button.tabIndex = button === next.button ? 0 : -1;
    }
    if (focus) next.button.focus();
    next.button.scrollIntoView({ block: "nearest", inline: "nearest" });
    panel.setAttribute("aria-labelledby", next.button.id);
    refusal.hidden = true;
    context.say("");
    tab.opened = tab.open(context);
    go.textContent = tab.action;
    panel.replaceChildren(...tab.opened.elements);
    extras.replaceChildren(...(tab.opened.fields ?? []));
    settings.form.dataset.tab = tab.id;
    if (tab.startsAtOnce) start();
  };
  const list = make("div", { className: "tabs", role: "tablist", ariaLabel: "What to do with the model" }, ...tabs.map(({ button }) => button));
  tabs.forEach((kind, k) => {
    kind.button.addEventListener("click", () => select(kind));
    kind.button.addEventListener("keydown", (event) => {
      const to = { ArrowRight: k + 1, ArrowLeft: k - 1 + tabs.length, Home: 0, End: tabs.length - 1 }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      select(tabs[to % tabs.length], true);
    });
  });

  const report = model.card.hasReport
    ? [make("a", { href: modelAddress(name, "/report"), target: "_blank", rel: "noopener" }, "its training’s report")]
    : [];
  page.append(
    make("header", {},
      make("p", { className: "origin" }, make("a", { className: "mark", href: "#/" }, "Fokker’s gallery"), ...report),
      make("h1", {}, name),
      make("p", { className: "summary" }, describe(model))),
    list,
    make("div", { className: "studio" },
      make("div", { className: "work" },
        make("div", { className: "actions" }, go, cancel, bar, status),
        refusal,
        panel),
      make("aside", { className: "side", ariaLabel: "Settings" }, extras, settings.form)));
  select(tabs.find((kind) => kind.id === query.get("tab")) ?? tabs[0]);
  return () => running?.abort();
};
