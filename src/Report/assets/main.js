// Starts each figure when it is about to come into view, so that a page with many of them opens at once.

const mounts = {
  "scatter": mountScatter,
  "cloud-motion": mountCloudMotion,
  "field-motion": mountFieldMotion,
  "image-motion": mountImageMotion,
  "lines": mountLines,
  "heat-map": mountHeatMap,
};

const mounted = new Map();

const mount = (figure) => {
  if (!mounted.has(figure)) {
    const stage = figure.querySelector(".stage");
    const spec = JSON.parse(figure.querySelector("script").textContent);
    mounted.set(figure, mounts[figure.dataset.kind](stage, spec).then(() => {
      stage.style.minHeight = "0";
      root.dataset.figures = Number(root.dataset.figures || 0) + 1;
    }));
  }
  return mounted.get(figure);
};

const figures = [...document.querySelectorAll("[data-kind]")];
const mountAll = () => Promise.all(figures.map(mount));

const near = new IntersectionObserver((entries) => entries.forEach((entry) => {
  if (entry.isIntersecting) {
    near.unobserve(entry.target);
    mount(entry.target);
  }
}), { rootMargin: "400px" });
figures.forEach((figure) => near.observe(figure));

// Marks where the reader is in the table of contents.
const links = new Map([...document.querySelectorAll("nav a")].map((link) => [link.hash.slice(1), link]));
const inView = new Set();
const reading = new IntersectionObserver((entries) => {
  entries.forEach((entry) => (entry.isIntersecting ? inView.add(entry.target.id) : inView.delete(entry.target.id)));
  const first = [...links.keys()].find((id) => inView.has(id));
  links.forEach((link, id) => (id === first ? link.setAttribute("aria-current", "true") : link.removeAttribute("aria-current")));
}, { rootMargin: "-10% 0px -60% 0px" });
document.querySelectorAll("main > section").forEach((section) => reading.observe(section));

document.querySelectorAll(".copy").forEach((button) => button.addEventListener("click", async () => {
  const code = button.parentElement.querySelector("code");
  try {
    await navigator.clipboard.writeText(code.textContent);
    button.textContent = "Copied";
  } catch {
    // Without leave to use the clipboard, the text is selected for the reader to copy.
    getSelection().selectAllChildren(code);
    button.textContent = "Selected";
  }
  setTimeout(() => (button.textContent = "Copy"), 1600);
}));

// Paper gets every figure, in light colours.
addEventListener("beforeprint", () => {
  root.dataset.theme = "light";
  mountAll();
  repaint();
});
addEventListener("afterprint", () => {
  delete root.dataset.theme;
  repaint();
});

// report.html#check draws every figure, moves every slider and presses every button, then says so: see errors.js.
if (location.hash === "#check") {
  const isBlank = (canvas) => {
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    return !data.some((value) => value !== 0);
  };
  (async () => {
    await mountAll();
    for (const slider of document.querySelectorAll("input[type=range]")) {
      for (const share of [0.5, 1, 0]) {
        slider.value = share * slider.max;
        slider.dispatchEvent(new Event("input"));
      }
    }
    for (const button of document.querySelectorAll(".tool:not(.save)")) {
      button.click();
      button.click();
    }
    for (const canvas of document.querySelectorAll(".stage > * canvas, .strip canvas")) {
      if (isBlank(canvas)) console.error(`a ${canvas.closest("figure").dataset.kind} figure is blank`);
    }
    root.dataset.expected = figures.length;
    root.dataset.check = "done";
  })();
}
