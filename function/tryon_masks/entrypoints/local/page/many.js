// Many photos at once: what is in a dropped folder, and a card of a sheet for each.

const ENDING = /\.(jpe?g|jpe|jfif|pjpeg|pjp|mpo|png|webp|avif|heic|heif|hif)$/i;
const AT_ONCE = 2;

export const isPhoto = (name) => ENDING.test(name) && !name.split("/").some((part) => part.startsWith("."));

// The photos that were dropped, those in folders too: their names, and what reads them.
export async function dropped(transfer) {
  // All at once: after the first wait the browser has forgotten them.
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry()).filter(Boolean);
  if (entries.length === 0) return [...transfer.files].map((file) => ({ name: file.name, file }));
  return (await Promise.all(entries.map(inside))).flat();
}

async function inside(entry) {
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) => { entry.file(resolve, reject); });
    return [{ name: entry.fullPath.slice(1), file }];
  }
  const reader = entry.createReader();
  const found = [];
  // A reader gives a hundred at a time, and none at the end.
  for (;;) {
    const some = await new Promise((resolve, reject) => { reader.readEntries(resolve, reject); });
    if (some.length === 0) break;
    found.push(...some);
  }
  const wanted = found.filter((one) => one.isDirectory || isPhoto(one.name));
  return (await Promise.all(wanted.map(inside))).flat();
}

// Ask for each photo's card, a few at a time, until all are done or the signal says stop.
export async function makeCards(photos, options, signal, add) {
  const path = `/page/cards?options=${encodeURIComponent(JSON.stringify(options))}`;
  const waiting = photos.values();
  const worker = async () => {
    for (const { name, file } of waiting) {
      if (signal.aborted) return;
      const card = await cardOf(path, file, signal);
      if (signal.aborted) return;
      add({ ...card, name, file });
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}

async function cardOf(path, file, signal) {
  try {
    const headers = { "content-type": file.type || "application/octet-stream" };
    const answer = await fetch(path, { method: "POST", headers, body: file, signal });
    const json = await answer.json();
    return answer.ok ? json : failed(json.error);
  } catch (error) {
    return failed({ code: error.name, message: error.message });
  }
}

const failed = (error) => ({
  status: "error", rank: 0, made: {}, refused: [], error, pictures: null, note: "",
});
