// The page: it sends a photo once, and asks for masks of the kept person whenever a control moves.

import { dropped, isPhoto, makeCards } from "/static/many.js";
import { COLOURS, Sheet, make, percent, swatch } from "/static/sheet/sheet.js";

const KINDS = Object.keys(COLOURS);
const SIDES = ["top", "bottom", "left", "right"];
const MOST_SIDE = 1024; // of the masks that are shown, in pixels, until zooming shows more
const STEP_SIDE = 256;
const VIEW = ["opacity", "wipe", "layer-sure", "layer-bones"];
const ADVICE = {
  NO_PERSON: { do: "Take a photo in which face and torso can be seen." },
  PERSON_TOO_SMALL: { do: "Come closer, or cut the photo around the person." },
  SEVERAL_PEOPLE: { says: "Several people are in the photo.", do: "Click the person that you mean." },
  UPPER_NOT_VISIBLE: { do: "The shoulders must be in the photo, and not hidden." },
  LEGS_NOT_VISIBLE: { do: "Step back: hips and knees (for feet, ankles) must be in the photo." },
  LOW_CONFIDENCE: { do: "Try a photo with more light, or with nothing before the body." },
};
const BONES = [
  ["left_shoulder", "right_shoulder"], ["left_hip", "right_hip"],
  ...["left", "right"].flatMap((side) => [
    ["shoulder", "elbow"], ["elbow", "wrist"], ["shoulder", "hip"], ["hip", "knee"], ["knee", "ankle"],
  ].map(([a, b]) => [`${side}_${a}`, `${side}_${b}`])),
];

const $ = (id) => document.getElementById(id);
const picture = $("picture");
let kept = null;          // what the server said of the photo
let photo = null;         // ImageBitmap
let masks = {};           // kind -> canvas in the mask's colour
let told = null;          // what the server said of the masks
let side = null;          // of the masks' grid, in pixels; null: the photo's own
let parts = null;         // ImageBitmap of the part map
let opened = 0;           // how many photos were opened: answers about older ones are dropped
let shaping = null;       // the question that is on its way
let changed = false;      // since it was sent
let many = null;          // what stops the photos that are on their way to the sheet

function build() {
  KINDS.forEach((kind, n) => {
    const box = make("input", { type: "checkbox", value: kind, checked: n < 2, name: "kind" });
    $("kinds").append(make("label", {}, box, swatch(kind), kind, make("small", { id: `sure-${kind}`, title: "How sure the models are" })));
  });
  for (const side of SIDES) {
    const range = make("input", {
      type: "range", min: 0, max: 0.5, step: 0.01, value: 0, id: `margin-${side}`,
    });
    const cell = make("div", {}, make("label", { htmlFor: range.id, textContent: `${side[0].toUpperCase()}${side.slice(1)} margin` }), range);
    $("margins").append(cell);
  }
}

function options() {
  const checked = [...document.querySelectorAll("input[name=kind]:checked")];
  const expand = Object.fromEntries(SIDES.map((side) => [side, Number($(`margin-${side}`).value)]));
  return {
    masks: checked.map((box) => box.value),
    profile: $("profile").value,
    expand,
    edge: $("edge").value,
  };
}

async function ask(path, body, type) {
  const response = await fetch(path, { method: "POST", headers: { "content-type": type }, body });
  if (response.ok) return response;
  const answer = await response.json().catch(() => null);
  throw new Error(answer ? answer.error.message : `The server answered ${response.status}.`);
}

const askJson = (path, body) => ask(`/page/photos/${kept.id}/${path}`, JSON.stringify(body), "application/json");

function say(text) { $("status").textContent = text; }

async function open(file) {
  const mine = ++opened;
  say("Looking for people …");
  const started = performance.now();
  try {
    const answer = await (await ask("/page/photos", file, file.type || "application/octet-stream")).json();
    if (mine !== opened) return;
    kept = answer;
    masks = {};
    told = null;
    $("zoom").value = 1;
    side = wantedSide();
    photo = await shown(file);
    $("drop").className = "small";
    $("frame").hidden = false;
    await look();
    if (mine === opened) say(`${$("status").textContent} ${Math.round(performance.now() - started)} ms from photo to masks.`);
  } catch (error) {
    say(error.message);
  }
}

// Browsers do not read every format that the server reads: then the picture has no photo beneath.
async function shown(file) {
  try {
    return await createImageBitmap(file, { imageOrientation: "from-image" });
  } catch {
    return null;
  }
}

async function look() {
  showPeople();
  parts = null;
  await Promise.all([shape(), showParts()]);
}

// The part map is fetched once somebody wants to see it.
async function showParts() {
  if ($("layer-parts").checked && parts === null && kept.chosen !== null) {
    const asked = kept;
    const answer = await fetch(`/page/photos/${kept.id}/parts.png`);
    const bitmap = await createImageBitmap(await answer.blob());
    if (kept === asked) parts = bitmap;
  }
  draw();
}

// One question at a time: a slider moves faster than answers come, and the last place counts.
function shape() {
  changed = true;
  shaping ??= (async () => {
    while (changed) {
      changed = false;
      await shapeOnce();
    }
    shaping = null;
  })();
  return shaping;
}

async function shapeOnce() {
  const asked = kept;
  const wanted = options();
  for (const button of [$("zip"), $("copy")]) button.disabled = wanted.masks.length === 0;
  if (wanted.masks.length === 0) {
    masks = {};
    show({ masks: {}, refused: [], quality: {}, steps: [] });
    say("Choose at least one mask.");
    return;
  }
  const started = performance.now();
  try {
    const answer = await (await askJson("view", { ...wanted, ...(side && { max_side: side }) })).json();
    const made = await Promise.all(Object.entries(answer.masks).map(async ([kind, png]) => [kind, await tinted(kind, png)]));
    if (kept !== asked) return;
    masks = Object.fromEntries(made);
    show(answer);
    const became = { success: "All masks are made.", partial: "Some masks are refused.", refused: "No mask is made." };
    say(`${became[answer.status]} Shaped in ${Math.round(performance.now() - started)} ms.`);
  } catch (error) {
    say(error.message);
  }
}

async function tinted(kind, base64) {
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  const bitmap = await createImageBitmap(new Blob([bytes], { type: "image/png" }));
  const canvas = make("canvas", { width: bitmap.width, height: bitmap.height });
  const context = canvas.getContext("2d");
  context.drawImage(bitmap, 0, 0);
  context.globalCompositeOperation = "source-in";
  context.fillStyle = `rgb(${COLOURS[kind]})`;
  context.fillRect(0, 0, canvas.width, canvas.height);
  return canvas;
}

function show(answer) {
  told = answer;
  draw();
  const reasons = Map.groupBy(answer.refused, (one) => ADVICE[one.code]?.says ?? one.message);
  $("refused").replaceChildren(...[...reasons].map(([says, ones]) =>
    make("li", {}, `${ones.map((one) => one.mask).join(", ")}: ${says} ${ADVICE[ones[0].code]?.do ?? ""}`)));
  for (const kind of KINDS) {
    const made = answer.quality[kind];
    $(`sure-${kind}`).textContent = made ? percent(made.confidence) : "";
  }
  $("downloads").replaceChildren(...Object.keys(answer.masks).map((kind) =>
    make("button", { type: "button", textContent: `Save ${kind}`, onclick: () => download(kind) })));
  $("steps").replaceChildren(...waterfall(kept.steps), ...waterfall(answer.steps));
}

function waterfall(steps) {
  const end = Math.max(0.001, ...steps.map(({ start, seconds }) => start + seconds));
  return steps.map(({ step, start, seconds }) => {
    const bar = make("span", { className: "bar" });
    bar.style.marginLeft = `${(97 * start) / end}%`;
    bar.style.width = `${(97 * seconds) / end}%`;
    return make("li", {}, `${step} ${seconds.toFixed(3)}`, bar);
  });
}

// How many pixels of the screen one of the photo's takes.
function scale() {
  const room = $("stage").clientWidth - 26;
  const fit = Math.min(room / kept.width, (0.78 * innerHeight) / kept.height, 1);
  return fit * Number($("zoom").value);
}

// The canvas is as large as what can be seen of it, and moves along when the frame is scrolled.
function draw() {
  const zoom = scale();
  const width = Math.max(1, Math.round(kept.width * zoom));
  const height = Math.max(1, Math.round(kept.height * zoom));
  const frame = $("frame");
  Object.assign($("space").style, { width: `${width}px`, height: `${height}px` });
  picture.width = Math.min(width, frame.clientWidth);
  picture.height = Math.min(height, frame.clientHeight);
  const context = picture.getContext("2d");
  context.imageSmoothingEnabled = zoom < 1;
  context.translate(-frame.scrollLeft, -frame.scrollTop);
  if (photo) context.drawImage(photo, 0, 0, width, height);
  context.save();
  const from = (width * Number($("wipe").value)) / 100;
  context.beginPath();
  context.rect(from, 0, width - from, height);
  context.clip();
  context.globalAlpha = Number($("opacity").value) / 100;
  if ($("layer-parts").checked && parts) context.drawImage(parts, 0, 0, width, height);
  for (const canvas of Object.values(masks)) context.drawImage(canvas, 0, 0, width, height);
  context.globalAlpha = 1;
  if ($("layer-sure").checked) confidences(context, width, height);
  context.restore();
  if ($("layer-bones").checked) bones(context, zoom);
  place(zoom);
}

function confidences(context, width, height) {
  context.font = "600 14px system-ui, sans-serif";
  context.textAlign = "center";
  context.textBaseline = "middle";
  for (const [kind, middle] of Object.entries(told?.middles ?? {})) {
    const text = `${kind} ${percent(told.quality[kind].confidence)}`;
    const wide = context.measureText(text).width + 16;
    const [x, y] = [middle[0] * width, middle[1] * height];
    context.fillStyle = "rgb(0 0 0 / 0.75)";
    context.fillRect(x - wide / 2, y - 12, wide, 24);
    context.fillStyle = `rgb(${COLOURS[kind]})`;
    context.fillRect(x - wide / 2, y - 12, 4, 24);
    context.fillStyle = "#fff";
    context.fillText(text, x + 2, y);
  }
}

// As large as they are seen, in steps; once that is larger than most screens, as the photo is.
function wantedSide() {
  const seen = Math.max(kept.width, kept.height) * scale();
  return seen > MOST_SIDE ? null : Math.ceil(seen / STEP_SIDE) * STEP_SIDE;
}

function refine() {
  draw();
  if (wantedSide() === side) return;
  side = wantedSide();
  shape();
}

// What is in the middle of the frame stays there.
function zoomed() {
  const frame = $("frame");
  const across = (frame.scrollLeft + frame.clientWidth / 2) / frame.scrollWidth;
  const down = (frame.scrollTop + frame.clientHeight / 2) / frame.scrollHeight;
  draw();
  frame.scrollTo(across * frame.scrollWidth - frame.clientWidth / 2, down * frame.scrollHeight - frame.clientHeight / 2);
  refine();
}

function bones(context, zoom) {
  const seen = (name) => kept.keypoints[name]?.[2] >= 0.5 && kept.keypoints[name];
  context.lineWidth = 3;
  context.strokeStyle = context.fillStyle = "#ffd23f";
  for (const [first, second] of BONES) {
    const [a, b] = [seen(first), seen(second)];
    if (!a || !b) continue;
    context.beginPath();
    context.moveTo(a[0] * zoom, a[1] * zoom);
    context.lineTo(b[0] * zoom, b[1] * zoom);
    context.stroke();
  }
  for (const name of Object.keys(kept.keypoints)) {
    const point = seen(name);
    if (!point) continue;
    context.beginPath();
    context.arc(point[0] * zoom, point[1] * zoom, 4, 0, 2 * Math.PI);
    context.fill();
  }
}

// From left to right, as somebody would count them.
function showPeople() {
  const people = kept.people.map((person, n) => ({ box: person.box, chosen: n === kept.chosen }));
  people.sort((one, other) => one.box[0] - other.box[0]);
  kept.shown = people.length > 1 ? people : [];
  $("people").replaceChildren(...kept.shown.map(({ box, chosen }, n) => make("button", {
    type: "button",
    ariaLabel: `Person ${n + 1} of ${people.length}`,
    ariaPressed: String(chosen),
    onclick: () => choose(box),
  }, make("span", { textContent: n + 1 }))));
}

function place(zoom) {
  [...$("people").children].forEach((button, n) => {
    const [x0, y0, x1, y1] = kept.shown[n].box.map((side) => side * zoom);
    Object.assign(button.style, {
      left: `${x0}px`, top: `${y0}px`, width: `${x1 - x0}px`, height: `${y1 - y0}px`,
    });
  });
}

async function choose(box) {
  say("Looking at this person …");
  try {
    kept = await (await askJson("person", { person_box: box })).json();
    await look();
  } catch (error) {
    say(error.message);
  }
}

function save(blob, name) {
  const link = make("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  URL.revokeObjectURL(link.href);
}

async function download(kind) {
  const format = $("format").value;
  const answer = await (await askJson("masks", { ...options(), masks: [kind], format })).json();
  const bytes = Uint8Array.from(atob(answer[kind]), (letter) => letter.charCodeAt(0));
  save(new Blob([bytes], { type: `image/${format}` }), `${kind}.${format}`);
}

async function downloadAll() {
  save(await (await askJson("zip", { ...options(), format: $("format").value })).blob(), "masks.zip");
}

function call(language) {
  const body = JSON.stringify({ ...options(), format: $("format").value });
  const address = `${location.origin}/v1/masks`;
  const fields = body.slice(1);
  if (language === "curl") {
    return `(printf '{"image":"'; base64 < photo.jpg | tr -d '\\n'; printf '%s' '",${fields}') |
  curl -s ${address} -H 'content-type: application/json' -d @-`;
  }
  if (language === "python") {
    return `import base64, json, urllib.request
from pathlib import Path

image = base64.b64encode(Path("photo.jpg").read_bytes()).decode()
body = {"image": image, **json.loads('${body}')}
request = urllib.request.Request(
    "${address}", json.dumps(body).encode(), {"content-type": "application/json"}
)
print(json.load(urllib.request.urlopen(request))["masks"])`;
  }
  if (language === "dart") {
    return `final image = base64Encode(await File('photo.jpg').readAsBytes());
final response = await http.post(
  Uri.parse('${address}'),
  headers: {'content-type': 'application/json'},
  body: jsonEncode({'image': image, ...jsonDecode('${body}') as Map<String, dynamic>}),
);
print((jsonDecode(response.body) as Map<String, dynamic>)['masks']);`;
  }
  return `import { readFile } from "node:fs/promises";

const image = (await readFile("photo.jpg")).toString("base64");
const response = await fetch("${address}", {
  method: "POST",
  headers: { "content-type": "application/json" },
  body: JSON.stringify({ image, ...${body} }),
});
console.log((await response.json()).masks);`;
}

async function copyCall() {
  await navigator.clipboard.writeText(`${call($("language").value)}\n`);
  say("Copied. Put your file's name in place of photo.jpg.");
}

async function openCamera() {
  try {
    $("video").srcObject = await navigator.mediaDevices.getUserMedia({ video: { width: 1920, height: 1080 } });
  } catch (error) {
    say(`The camera cannot be used: ${error.message}`);
    return;
  }
  $("finder").hidden = false;
  // Until it plays there is no picture to take.
  $("shoot").disabled = true;
  await $("video").play();
  $("shoot").disabled = false;
}

function closeCamera() {
  for (const track of $("video").srcObject.getTracks()) track.stop();
  $("video").srcObject = null;
  $("finder").hidden = true;
}

function takePhoto() {
  const video = $("video");
  const still = make("canvas", { width: video.videoWidth, height: video.videoHeight });
  still.getContext("2d").drawImage(video, 0, 0);
  closeCamera();
  still.toBlob(open, "image/png");
}

// One photo is opened; of more a sheet is made.
function take(photos) {
  if (photos.length === 0) say("There is no photo in it.");
  else if (photos.length === 1) open(photos[0].file);
  else showMany(photos);
}

async function showMany(photos) {
  const wanted = options();
  if (wanted.masks.length === 0) {
    say("Choose at least one mask.");
    return;
  }
  many?.abort();
  many = new AbortController();
  const { signal } = many;
  const sheet = new Sheet($("sheet"), (card) => {
    $("stage").scrollIntoView();
    open(card.file);
  });
  $("many").hidden = false;
  $("many").scrollIntoView();
  $("stop").hidden = false;
  const tell = () => { $("many-status").textContent = `${sheet.size} of ${photos.length} photos are looked at.`; };
  tell();
  await makeCards(photos, wanted, signal, (card) => {
    sheet.add([card]);
    tell();
  });
  if (!signal.aborted) $("stop").hidden = true;
}

function picked(event) {
  const files = [...event.target.files];
  // So that the same ones can be chosen again.
  event.target.value = "";
  return files.map((file) => ({ name: file.webkitRelativePath || file.name, file }));
}

build();
$("controls").addEventListener("input", (event) => {
  if (!kept) return;
  if (["format", "language"].includes(event.target.id)) return;
  if (event.target.id === "zoom") zoomed();
  else if (event.target.id === "layer-parts") showParts();
  else if (VIEW.includes(event.target.id)) draw();
  else shape();
});
$("controls").addEventListener("submit", (event) => event.preventDefault());
$("file").addEventListener("change", (event) => take(picked(event)));
$("folder").addEventListener("change", (event) => take(picked(event).filter(({ name }) => isPhoto(name))));
$("zip").addEventListener("click", downloadAll);
$("copy").addEventListener("click", copyCall);
$("camera").addEventListener("click", openCamera);
$("shoot").addEventListener("click", takePhoto);
$("leave").addEventListener("click", closeCamera);
$("stop").addEventListener("click", () => {
  many.abort();
  $("stop").hidden = true;
});
$("frame").addEventListener("scroll", () => draw());
addEventListener("resize", () => kept && refine());
addEventListener("paste", (event) => {
  const files = [...event.clipboardData.files];
  if (files.length) take(files.map((file) => ({ name: file.name, file })));
});
for (const name of ["dragover", "dragleave", "drop"]) {
  addEventListener(name, async (event) => {
    event.preventDefault();
    $("drop").classList.toggle("over", name === "dragover");
    if (name === "drop") take(await dropped(event.dataTransfer));
  });
}
