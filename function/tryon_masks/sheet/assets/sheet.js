// A sheet of many photos: each a card with its masks over it, the worst first. The page of
// `tryon-masks serve` loads this module, and the report of `tryon-masks sheet` holds it.

export const COLOURS = {
  upper: [230, 60, 60], lower: [50, 110, 240], full: [40, 170, 90], face: [240, 160, 30],
  arms: [160, 70, 200], legs: [20, 170, 190], hands: [220, 90, 160], feet: [120, 120, 40],
  hair: [110, 80, 50], protect: [90, 100, 120],
};
const STATUSES = { error: "failed", refused: "refused", partial: "made in part", success: "made" };
const UNKNOWN = 2; // above every confidence and coverage
const NEAR = "1000px"; // of the window: cards that get their pictures

export function make(tag, attributes, ...children) {
  const element = Object.assign(document.createElement(tag), attributes);
  element.append(...children);
  return element;
}

export function swatch(kind) {
  const element = make("span", { className: "swatch" });
  element.style.background = `rgb(${COLOURS[kind]})`;
  return element;
}

export const percent = (share) => `${Math.round(100 * share)}\u00a0%`;

const byName = (one, other) => one.name.localeCompare(other.name, undefined, { numeric: true });
const byRank = (one, other) => one.rank - other.rank || byName(one, other);

function by(figure, kind) {
  const value = (card) => card.made[kind]?.[figure] ?? UNKNOWN;
  return (one, other) => value(one) - value(other) || byRank(one, other);
}

// What stands below a picture: a line for each mask that was made, for each reason and for each note.
function facts(card, { whole }) {
  const lines = Object.entries(card.made).map(([kind, { coverage, confidence }]) => {
    const sure = confidence === null ? "" : ` ${percent(confidence)}`;
    return make("li", {}, swatch(kind), `${kind}${sure}`, whole ? `, ${percent(coverage)} of the picture` : "");
  });
  for (const [code, ones] of Map.groupBy(card.refused, (one) => one.code)) {
    lines.push(make("li", {}, `${ones.map((one) => one.mask).join(", ")}: `,
      make("span", { className: "code", textContent: code }), whole ? ` ${ones[0].message}` : ""));
  }
  if (card.error) {
    lines.push(make("li", {}, make("span", { className: "code", textContent: card.error.code }), ` ${card.error.message}`));
  }
  if (card.note) lines.push(make("li", {}, card.note));
  return make("ul", { className: "facts" }, ...lines);
}

const codes = (card) => new Set([...card.refused, ...(card.error ? [card.error] : [])].map((one) => one.code));

function stack({ width, height, photo, masks }) {
  const element = make("span", { className: "stack" });
  element.style.setProperty("--aspect", width / height);
  element.append(make("img", { alt: "", src: `data:image/webp;base64,${photo}` }));
  for (const [kind, png] of Object.entries(masks)) {
    const mask = make("span", {});
    mask.style.background = `rgb(${COLOURS[kind]})`;
    mask.style.maskImage = `url(data:image/png;base64,${png})`;
    mask.style.display = `var(--show-${kind}, block)`;
    element.append(mask);
  }
  return element;
}

export class Sheet {
  #cards = [];              // in order, those that are filtered out too
  #items = new Map();       // card -> its <li>
  #order = byRank;
  #filter = () => true;
  #large = null;            // the card that is enlarged
  #kinds = new Set();
  #filters = new Map();     // label -> button
  #root;
  #open;

  // open: what a button in the enlarged card does with it, where there is one.
  constructor(root, open = null) {
    this.#root = root;
    this.#open = open;
    this.search = make("input", { type: "search", oninput: () => this.#show() });
    this.orders = make("select", { onchange: () => this.#sort() },
      make("option", { value: "rank", textContent: "Worst first" }),
      make("option", { value: "name", textContent: "Name" }));
    const opacity = make("input", { type: "range", min: 0, max: 100, value: 55 });
    opacity.addEventListener("input", () => root.style.setProperty("--opacity", opacity.value / 100));
    this.masks = make("fieldset", {}, make("legend", { textContent: "Masks" }));
    this.chips = make("fieldset", {}, make("legend", { textContent: "Show" }));
    this.told = make("p", { className: "sheet-told", role: "status" });
    this.list = make("ul", { className: "cards" });
    this.dialog = make("dialog", { className: "sheet-large", onkeydown: (event) => this.#turn(event) });
    const tools = make("form", { className: "sheet-tools", onsubmit: (event) => event.preventDefault() },
      this.chips,
      make("label", {}, "Name contains", this.search),
      make("label", {}, "Order", this.orders),
      this.masks,
      make("label", {}, "Opacity", opacity));
    tools.setAttribute("aria-label", "Which photos are shown, and how");
    root.replaceChildren(tools, this.told, this.list, this.dialog);
    this.seen = new IntersectionObserver((entries) => {
      for (const { target, isIntersecting } of entries) {
        if (!isIntersecting) continue;
        this.seen.unobserve(target);
        target.draw();
      }
    }, { rootMargin: NEAR });
    this.#chip("all", () => true);
    for (const [status, name] of Object.entries(STATUSES)) this.#chip(name, (card) => card.status === status);
  }

  get size() { return this.#cards.length; }

  add(cards) {
    for (const card of cards) {
      for (const kind of [...Object.keys(card.made), ...card.refused.map((one) => one.mask)]) this.#know(kind);
      for (const code of codes(card)) this.#chip(code, (one) => codes(one).has(code));
      this.#items.set(card, this.#item(card));
    }
    this.#cards = [...this.#cards, ...cards].sort(this.#order);
    // A card that is there already does not move: it may have the focus.
    const fresh = new Set(cards);
    this.#shown().forEach((card, n) => {
      if (fresh.has(card)) this.list.insertBefore(this.#items.get(card), this.list.children[n] ?? null);
    });
    this.#tell();
  }

  #item(card) {
    const picture = make("button", {
      type: "button",
      className: "picture",
      ariaLabel: `Enlarge ${card.name}`,
      onclick: () => this.#enlarge(card),
    });
    const item = make("li", {}, picture, make("p", { className: "name", textContent: card.name }), facts(card, { whole: false }));
    if (card.pictures) {
      picture.draw = () => picture.append(stack(card.pictures));
      this.seen.observe(picture);
    } else {
      picture.append("no picture");
    }
    return item;
  }

  #know(kind) {
    if (this.#kinds.has(kind)) return;
    this.#kinds.add(kind);
    const box = make("input", { type: "checkbox", checked: true });
    box.addEventListener("change", () => this.#root.style.setProperty(`--show-${kind}`, box.checked ? "block" : "none"));
    this.masks.append(make("label", {}, box, swatch(kind), kind));
    for (const figure of ["confidence", "coverage"]) {
      this.orders.append(make("option", { value: `${figure} ${kind}`, textContent: `Least ${figure} of ${kind}` }));
    }
  }

  #chip(label, filter) {
    if (this.#filters.has(label)) return;
    const button = make("button", {
      type: "button",
      ariaPressed: String(this.#filters.size === 0),
      onclick: () => {
        for (const one of this.#filters.values()) one.ariaPressed = String(one === button);
        this.#filter = filter;
        this.#show();
      },
    });
    button.count = () => {
      const found = this.#cards.filter(filter).length;
      button.textContent = `${label} ${found}`;
      button.hidden = found === 0;
    };
    this.#filters.set(label, button);
    this.chips.append(button);
  }

  #sort() {
    const [figure, kind] = this.orders.value.split(" ");
    this.#order = { rank: byRank, name: byName }[figure] ?? by(figure, kind);
    this.#cards.sort(this.#order);
    this.#show();
  }

  #shown() {
    const wanted = this.search.value.trim().toLowerCase();
    return this.#cards.filter((card) => this.#filter(card) && card.name.toLowerCase().includes(wanted));
  }

  #show() {
    // Hiding a thousand elements takes a browser a second, taking them out a twentieth of it.
    this.list.replaceChildren(...this.#shown().map((card) => this.#items.get(card)));
    this.#tell();
  }

  #tell() {
    for (const button of this.#filters.values()) button.count();
    this.told.textContent = `${this.list.children.length} of ${this.#cards.length} photos`;
  }

  #enlarge(card) {
    this.#large = card;
    const step = (by_, name) => make("button", { type: "button", textContent: name, onclick: () => this.#move(by_) });
    const heading = make("h2", { id: "sheet-large-name", textContent: card.name });
    this.dialog.setAttribute("aria-labelledby", heading.id);
    this.dialog.replaceChildren(
      heading,
      ...(card.pictures ? [stack(card.pictures)] : []),
      facts(card, { whole: true }),
      make("menu", {}, step(-1, "Previous"), step(1, "Next"),
        ...(this.#open ? [make("button", { type: "button", textContent: "Open", onclick: () => { this.dialog.close(); this.#open(card); } })] : []),
        make("button", { type: "button", textContent: "Close", onclick: () => this.dialog.close() })));
    if (!this.dialog.open) this.dialog.showModal();
  }

  #move(by_) {
    const shown = this.#shown();
    const next = shown[shown.indexOf(this.#large) + by_];
    if (!next) return;
    const name = document.activeElement.textContent;
    this.#enlarge(next);
    // The buttons are new ones.
    [...this.dialog.querySelectorAll("button")].find((one) => one.textContent === name)?.focus();
  }

  #turn(event) {
    const by_ = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (by_) this.#move(by_);
  }
}
