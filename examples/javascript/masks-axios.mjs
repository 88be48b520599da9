// The same with axios, by the path that older clients call and by the one of today:
//
//   node masks-axios.mjs API_URL PHOTO
//
// POST / takes what the script on Modal took, and answers with the fields that its clients read.
import { readFile } from "node:fs/promises";
import { argv, env, exit } from "node:process";

import axios from "axios";

const [apiUrl, path] = argv.slice(2);
if (!path) {
  console.error("node masks-axios.mjs API_URL PHOTO");
  exit(2);
}
const api = axios.create({
  baseURL: apiUrl,
  headers: env.TOKEN ? { authorization: `Bearer ${env.TOKEN}` } : {},
  // A refusal (422) is an answer, and says what to do.
  validateStatus: (status) => status < 300 || status === 422,
});
const image = await readFile(path, { encoding: "base64" });

try {
  const { data: old } = await api.post("/", { image, user_id: "user-1" });
  console.log("POST /", old.status, old.total_time, old.masks?.upper, old.masks?.lower);

  const { data } = await api.post("/v1/masks", { image, masks: ["upper"], profile: "hull" });
  console.log("POST /v1/masks", data.status, data.masks?.upper);
  for (const { mask, code, message } of data.refused ?? []) console.error(mask, code, message);
} catch (error) {
  const said = error.response?.data?.error;
  console.error(error.response?.status ?? error.code, said?.code ?? "", said?.message ?? "");
  exit(1);
}
