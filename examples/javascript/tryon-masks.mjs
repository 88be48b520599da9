// A client of the Tryon Masks API, for browsers and Node 18 or later. It has no dependencies.

/** What the API says instead of an answer; `code` is one of docs/answers.md. */
export class ApiError extends Error {
  constructor(status, code, message) {
    super(message);
    this.name = "ApiError";
    this.status = status;
    this.code = code;
  }
}

/** The photo shows several people, and nobody has said who is meant. */
export class SeveralPeople extends Error {
  /** @param {{box: number[], score: number}[]} people everybody, largest box first */
  constructor(people) {
    super(`There are ${people.length} people in the photo: say which one is meant.`);
    this.name = "SeveralPeople";
    this.people = people;
  }
}

const TRIES = 5;

/**
 * Have masks made.
 *
 * @param {string} apiUrl where the API answers, without a slash at its end
 * @param {object} request the request's fields: `image` or `user_image_url`, and options
 * @param {string} [token] a Firebase ID token
 * @returns {Promise<object>} the answer; its `refused` says which masks could not be made, and why
 * @throws {SeveralPeople} ask which one, and send that one's box as `person_box`
 * @throws {ApiError}
 */
export async function makeMasks(apiUrl, request, token) {
  for (let tried = 1; ; tried += 1) {
    const response = await fetch(`${apiUrl}/v1/masks`, {
      method: "POST",
      headers: {
        "content-type": "application/json",
        ...(token && { authorization: `Bearer ${token}` }),
      },
      body: JSON.stringify(request),
    });
    // API Gateway itself says {"message": "..."}.
    const answer = await response.json();
    if (answer.people) throw new SeveralPeople(answer.people);
    if (answer.masks) return answer;
    // The same request is being worked on, or a part of the service is away: both pass.
    const pause = response.headers.get("retry-after");
    if ((response.status !== 409 && response.status !== 503) || tried === TRIES) {
      throw new ApiError(
        response.status,
        answer.error?.code,
        answer.error?.message ?? answer.message,
      );
    }
    await new Promise((done) => setTimeout(done, 1000 * (Number(pause) || tried)));
  }
}

/**
 * A photo's bytes as the field `image`. The API takes 4.5 MB; larger ones go by an upload form.
 *
 * @param {Blob} photo a file that was picked, or any other
 */
export async function asImage(photo) {
  const bytes = new Uint8Array(await photo.arrayBuffer());
  let text = "";
  // In pieces: a call takes so many arguments only.
  for (let start = 0; start < bytes.length; start += 0x8000) {
    text += String.fromCharCode(...bytes.subarray(start, start + 0x8000));
  }
  return btoa(text);
}
