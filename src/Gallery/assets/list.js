// The models of the folder, each with the picture of its samples.
import { counted, make, whole } from "./drawing.js";
import { askJson, modelAddress, nameOf } from "./api.js";

const lineOf = ({ settings, result, isReady }) => {
  if (!isReady) return "no model yet: it is being trained";
  const steps = result?.step ?? settings?.steps;
  return [nameOf(settings?.dataSet), nameOf(settings?.loss), nameOf(settings?.network), steps && `${whole(steps)} steps`].filter(Boolean).join(" · ");
};

const cardOf = (card) => {
  const picture = card.hasPicture
    ? make("img", { src: modelAddress(card.name, "/picture"), alt: "", loading: "lazy" })
    : make("span", { className: "initial", ariaHidden: "true" }, card.name.slice(0, 1));
  // A picture of data beside samples: the samples are what the card is about.
  if (card.hasPicture) picture.addEventListener("load", () => picture.classList.toggle("wide", picture.naturalWidth > 1.4 * picture.naturalHeight));
  const body = [
    make("div", { className: "thumbnail" }, picture),
    make("h2", {}, card.name),
    make("p", {}, lineOf(card) || "a model’s file"),
  ];
  return make("li", {}, card.isReady
    ? make("a", { className: "card", href: `#/model/${encodeURIComponent(card.name)}` }, ...body)
    : make("div", { className: "card waiting" }, ...body));
};

export const openList = async (page) => {
  document.title = "Gallery · Fokker";
  const cards = await askJson("/api/models");
  // What was made last is what one came for.
  cards.sort((a, b) => (b.written ?? "").localeCompare(a.written ?? ""));
  const list = make("ul", { className: "cards" }, ...cards.map(cardOf));
  const filter = make("input", { type: "search", id: "filter", placeholder: "name or data set", autocomplete: "off" });
  filter.addEventListener("input", () => {
    [...list.children].forEach((item) => (item.hidden = !item.textContent.toLowerCase().includes(filter.value.trim().toLowerCase())));
  });
  page.append(
    make("header", {},
      make("p", { className: "origin" }, make("span", { className: "mark" }, "Fokker")),
      make("h1", {}, "Gallery"),
      make("p", { className: "summary" }, cards.length
        ? `${counted(cards.length, "model")}. Open one to draw from it, step by step.`
        : "There is no model here yet. Train one with ./fokker train moons, and load this page again.")),
    ...(cards.length > 8 ? [make("p", { className: "filter" }, make("label", { htmlFor: "filter" }, "Find"), filter)] : []),
    list);
  return () => {};
};
