// The page: a photo that somebody picks, its masks over it, and boxes to choose from.
import { SeveralPeople, asImage, makeMasks } from "./tryon-masks.mjs";

const COLOURS = { upper: "rgb(220 40 40 / 45%)", lower: "rgb(40 80 220 / 45%)" };
const [form, said, people, picture] = ["form", "said", "people", "picture"].map((id) =>
  document.getElementById(id),
);
const canvas = picture.getContext("2d");

form.addEventListener("submit", (event) => {
  event.preventDefault();
  show();
});

async function show(personBox) {
  const photo = form.photo.files[0];
  people.replaceChildren();
  said.textContent = "…";
  try {
    const picked = await createImageBitmap(photo, { imageOrientation: "from-image" });
    picture.width = picked.width;
    picture.height = picked.height;
    canvas.drawImage(picked, 0, 0);
    const request = { image: await asImage(photo), ...(personBox && { person_box: personBox }) };
    const answer = await makeMasks(form.api.value.replace(/\/$/, ""), request, form.token.value);
    for (const [name, address] of Object.entries(answer.masks)) await lay(address, COLOURS[name]);
    said.textContent = answer.refused.map(({ message }) => message).join(" ") || "Done.";
  } catch (error) {
    said.textContent = error.message;
    if (error instanceof SeveralPeople) ask(error.people);
  }
}

/** Draw a mask over the photo: white is coloured, black is left out. */
async function lay(address, colour) {
  const response = await fetch(address);
  if (!response.ok) throw new Error(`The mask cannot be read: ${response.status}`);
  const mask = await createImageBitmap(await response.blob());
  const layer = new OffscreenCanvas(picture.width, picture.height).getContext("2d");
  layer.drawImage(mask, 0, 0, picture.width, picture.height);
  const pixels = layer.getImageData(0, 0, picture.width, picture.height);
  for (let at = 0; at < pixels.data.length; at += 4) pixels.data[at + 3] = pixels.data[at];
  layer.putImageData(pixels, 0, 0);
  layer.globalCompositeOperation = "source-in";
  layer.fillStyle = colour;
  layer.fillRect(0, 0, picture.width, picture.height);
  canvas.drawImage(layer.canvas, 0, 0);
}

/** Let somebody choose who is meant: a frame and a button for each. */
function ask(found) {
  canvas.lineWidth = Math.max(2, picture.width / 200);
  canvas.font = `${Math.max(16, picture.width / 20)}px sans-serif`;
  canvas.strokeStyle = canvas.fillStyle = "rgb(220 40 40)";
  found.forEach(({ box: [x0, y0, x1, y1] }, place) => {
    canvas.strokeRect(x0, y0, x1 - x0, y1 - y0);
    canvas.fillText(String(place + 1), x0 + canvas.lineWidth, y1 - canvas.lineWidth);
    const button = document.createElement("button");
    button.textContent = `Person ${place + 1}`;
    button.addEventListener("click", () => show(found[place].box));
    people.append(button);
  });
}
