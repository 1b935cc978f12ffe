// Pictures of the reader's own, as the model's samples are: its size, its channels, its range. They never leave the browser as files.
import { Refusal } from "./api.js";
import { make } from "./drawing.js";

// The values [channels; height; width] of a picture in the data's units. The picture covers the square; a light ground is turned dark
// where the model's own samples are on a dark one.
export const valuesOf = (model, picture, { invert = false } = {}) => {
  const [channels, height, width] = model.shape;
  const [low, high] = model.range;
  const canvas = make("canvas", { width, height });
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  const cover = Math.max(width / picture.width, height / picture.height);
  pen.imageSmoothingQuality = "high";
  pen.fillRect(0, 0, width, height);
  pen.drawImage(picture, (width - cover * picture.width) / 2, (height - cover * picture.height) / 2, cover * picture.width, cover * picture.height);
  const { data } = pen.getImageData(0, 0, width, height);
  const values = [];
  for (let c = 0; c < channels; c++) {
    for (let i = 0; i < height * width; i++) {
      const [r, g, b] = [data[4 * i], data[4 * i + 1], data[4 * i + 2]];
      // Rec. 601's luma where there are no colours.
      const level = channels === 3 ? [r, g, b][c] : 0.299 * r + 0.587 * g + 0.114 * b;
      const share = (invert ? 255 - level : level) / 255;
      values.push(low + share * (high - low));
    }
  }
  return values;
};

// A place to drop a picture, which is a choice of a file as well.
export const pictureField = (label, onPicture, context) => {
  const input = make("input", { type: "file", accept: "image/*", id: "picture", className: "unseen" });
  const zone = make("label", { className: "drop", htmlFor: "picture" }, make("strong", {}, label), " Drop it here, or choose a file.");
  const take = async (files) => {
    if (!files.length) return;
    await context.run(async () => {
      let picture;
      try {
        picture = await createImageBitmap(files[0]);
      } catch {
        throw new Refusal(0, `${files[0].name} is no picture that this browser reads.`);
      }
      await onPicture(picture);
      return "The picture was read";
    });
  };
  input.addEventListener("change", () => take(input.files));
  for (const name of ["dragenter", "dragover"]) {
    zone.addEventListener(name, (event) => {
      event.preventDefault();
      zone.classList.add("over");
    });
  }
  zone.addEventListener("dragleave", () => zone.classList.remove("over"));
  zone.addEventListener("drop", (event) => {
    event.preventDefault();
    zone.classList.remove("over");
    take(event.dataTransfer.files);
  });
  return make("div", {}, input, zone);
};
