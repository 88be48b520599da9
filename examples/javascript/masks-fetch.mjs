// Masks of one photo, into files beside it:
//
//   node masks-fetch.mjs API_URL PHOTO [NUMBER]
//
// NUMBER says who is meant where there are several, from 1.
import { openAsBlob } from "node:fs";
import { writeFile } from "node:fs/promises";
import { argv, env, exit } from "node:process";

import { SeveralPeople, asImage, makeMasks } from "./tryon-masks.mjs";

const [apiUrl, path, number] = argv.slice(2);
if (!path) {
  console.error("node masks-fetch.mjs API_URL PHOTO [NUMBER]");
  exit(2);
}
const request = { image: await asImage(await openAsBlob(path)), masks: ["upper", "lower"] };
let answer;
try {
  answer = await makeMasks(apiUrl, request, env.TOKEN);
} catch (error) {
  if (!(error instanceof SeveralPeople)) throw error;
  if (!number) {
    console.error(error.message);
    error.people.forEach(({ box }, place) => console.error(place + 1, box.join(" ")));
    exit(3);
  }
  request.person_box = error.people[number - 1].box;
  answer = await makeMasks(apiUrl, request, env.TOKEN);
}
for (const [name, address] of Object.entries(answer.masks)) {
  const mask = await fetch(address);
  if (!mask.ok) throw new Error(`${address}: ${mask.status}`);
  const file = `${path.replace(/\.\w+$/, "")}.${name}.png`;
  await writeFile(file, Buffer.from(await mask.arrayBuffer()));
  console.log(file);
}
for (const { mask, code, message } of answer.refused) console.error(`${mask}: ${code}: ${message}`);
exit(answer.status === "refused" ? 1 : 0);
