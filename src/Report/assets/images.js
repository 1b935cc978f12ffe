// A grid of images that changes with time. Each frame is one PNG with the images edge to edge; they are cut apart here.

const loadImage = async (address) => {
  const image = new Image();
  image.src = address;
  await image.decode();
  return image;
};

const mountImageMotion = async (stage, spec) => {
  const { count, columns, width, height } = spec;
  const sheets = await Promise.all(spec.frames.map(loadImage));
  const rows = Math.ceil(count / columns);

  // Each pixel of an image becomes a square of `scale` pixels.
  const draw = (canvas, place, shownColumns, shownRows, scale, gap) => {
    const sheet = sheets[Math.round(place)];
    canvas.width = shownColumns * (width * scale + gap) - gap;
    canvas.height = shownRows * (height * scale + gap) - gap;
    const pen = canvas.getContext("2d");
    pen.imageSmoothingEnabled = false;
    for (let i = 0; i < shownColumns * shownRows; i++) {
      const [column, row] = [i % shownColumns, Math.floor(i / shownColumns)];
      if (row * columns + column >= count) continue;
      pen.drawImage(sheet, column * width, row * height, width, height,
        column * (width * scale + gap), row * (height * scale + gap), width * scale, height * scale);
    }
  };

  const scale = Math.max(1, Math.round(64 / width));
  const screen = make("canvas", { className: "screen", role: "img", ariaLabel: spec.description });
  screen.style.maxWidth = `${columns * (width * scale + 3) - 3}px`;
  const solo = make("div", { className: "solo" }, screen);
  // The slider is as wide as the images, unless they are few and small.
  solo.style.maxWidth = `max(24rem, ${screen.style.maxWidth})`;
  stage.append(solo);
  let shown = -1;
  const player = addPlayer(solo, spec, (place) => {
    if (Math.round(place) === shown) return;
    shown = Math.round(place);
    draw(screen, place, columns, rows, scale, 3);
  });
  addStrip(stage, spec, player, (place) => {
    const canvas = make("canvas");
    draw(canvas, place, Math.min(3, columns), Math.min(3, rows), Math.max(1, Math.round(48 / width)), 2);
    return { canvas };
  });
  player.show(0);
};
