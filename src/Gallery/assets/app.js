// Which view the address asks for: #/ is the list, #/model/NAME?settings a model.
import { make, repaints } from "./drawing.js";
import { openList } from "./list.js";
import { openStudio } from "./studio.js";

const main = document.getElementById("main");
let close = () => {};
let turn = 0;

const show = async (focus) => {
  const [, path = "", query = ""] = /^#\/([^?]*)\??(.*)$/.exec(location.hash) ?? [];
  const mine = ++turn;
  close();
  close = () => {};
  repaints.clear();
  main.replaceChildren(make("p", { className: "summary", role: "status" }, "One moment …"));
  const page = make("div", { className: "view" });
  try {
    const name = /^model\/(.+)$/.exec(path)?.[1];
    const opened = name === undefined
      ? await openList(page)
      : await openStudio(page, decodeURIComponent(name), new URLSearchParams(query));
    if (mine !== turn) opened();
    else close = opened;
  } catch (error) {
    page.replaceChildren(
      make("p", { className: "origin" }, make("a", { className: "mark", href: "#/" }, "Fokker’s gallery")),
      make("h1", {}, "This cannot be shown"),
      make("p", { className: "refusal", role: "alert" }, error.message));
  }
  if (mine !== turn) return;
  main.replaceChildren(page);
  if (focus) main.focus({ preventScroll: true });
  scrollTo(0, 0);
};

addEventListener("hashchange", (event) => {
  // The link that skips to the content is no view.
  if (location.hash === "" || location.hash.startsWith("#/")) show(event.oldURL !== "");
});
show(false);
