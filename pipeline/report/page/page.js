// The program of the report. It reads data/index.js once, and data/N.js when photos are looked at.
"use strict";

const PER_PAGE = 60;
const PHOTO_MARKS = [["", "fine"], ["weaker", "too visible: cloak it less"], ["stronger", "cloak it more"], ["original", "leave it as the original is"]];
const FACE_MARKS = [["", "cloak it"], ["leave", "leave this face as it is"], ["no face", "this is not a face"]];
const PERSON_MARKS = [["", "cloak"], ["leave", "leave as they are"], ["weaker", "too visible: cloak less"], ["stronger", "cloak more"]];
const STATUS = { cloaked: "cloaked", no_face: "no face: copied", unchanged: "copied as it is", duplicate: "duplicate", companion: "sidecar", skipped: "near duplicate, left out", unsupported: "left out", failed: "failed" };
const MEASURE = { flip: "FLIP", delta_e: "CIEDE2000", dssim: "DSSIM", detector_score: "detector's score", steps: "optimiser steps" };

let data, columns, details = new Map(), waiting = new Map();
let chosen = [], page = 0, personPage = 0, open = -1, face = -1;

const one = (selector, within = document) => within.querySelector(selector);
const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const measureName = name => MEASURE[name] || name.replaceAll("_", " ");
const number = value => value.toLocaleString("en");

function make(tag, attributes = {}, ...inside) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...inside.filter(part => part != null));
  return element;
}

function choice(name, options, value, onchange) {
  const select = make("select", { onchange: () => onchange(select.value) });
  for (const [key, text] of options) select.append(make("option", { value: key, selected: key === value }, text));
  return make("label", { class: "choice" }, name, select);
}

// ---- data -----------------------------------------------------------------------------------

function photoveilIndex(found) {
  data = found;
  columns = found.columns;
  start();
}

function photoveilDetails([chunk, rows]) {
  details.set(chunk, rows);
  for (const done of waiting.get(chunk) || []) done();
  waiting.delete(chunk);
}

function detailsOf(row) {
  const chunk = Math.floor(row / data.chunk);
  const found = () => details.get(chunk)[row % data.chunk];
  if (details.has(chunk)) return Promise.resolve(found());
  return new Promise(resolve => {
    if (!waiting.has(chunk)) {
      waiting.set(chunk, []);
      document.head.append(make("script", { src: `data/${chunk}.js` }));
    }
    waiting.get(chunk).push(() => resolve(found()));
  });
}

const nameOf = (column, row) => data.names[column][columns[column][row]];
const sourceOf = row => (nameOf("folder", row) ? nameOf("folder", row) + "/" : "") + columns.file[row];
const dayOf = row => new Date(columns.day[row] * 864e5).toISOString().slice(0, 10);
const small = (kind, key) => `${kind}/${key.slice(0, 2)}/${key}.webp`;
const below = (base, path) => base + path.split("/").map(encodeURIComponent).join("/");

// ---- the review -----------------------------------------------------------------------------
// Marks of photos hang on the hash of the original's bytes, so they outlive a new name.

const review = {
  get key() { return `photoveil-review-${data.library}`; },
  edits: { photos: {}, people: {} },
  load() {
    try { this.edits = { photos: {}, people: {}, ...JSON.parse(localStorage.getItem(this.key)) }; } catch { /* no storage: kept while the page is open */ }
  },
  // What a run has carried out since is no longer an edit.
  settle() {
    const plain = entry => JSON.stringify([entry.mark || "", entry.name || "", (entry.faces || []).map(at => [at.x, at.y, at.mark]).sort()]);
    for (const kind of ["photos", "people"]) {
      for (const [id, entry] of Object.entries(this.edits[kind]))
        if (plain(entry) === plain(data.review[kind][id] || {})) delete this.edits[kind][id];
    }
    this.save();
  },
  save() {
    try { localStorage.setItem(this.key, JSON.stringify(this.edits)); } catch { /* likewise */ }
    showCount();
  },
  photo(sha) { return this.edits.photos[sha] || data.review.photos[sha] || { mark: "", faces: [] }; },
  person(id) { return this.edits.people[id] || data.review.people[id] || { mark: "", name: "" }; },
  markPhoto(sha, source, mark) { this.edits.photos[sha] = { ...this.photo(sha), source, mark }; this.save(); },
  markFace(sha, source, at, mark) {
    const faces = this.photo(sha).faces.filter(other => !sameFace(other, at));
    if (mark) faces.push({ x: at[0], y: at[1], mark });
    this.edits.photos[sha] = { ...this.photo(sha), source, faces };
    this.save();
  },
  faceMark(sha, at) { return (this.photo(sha).faces.find(other => sameFace(other, at)) || { mark: "" }).mark; },
  changePerson(id, change) { this.edits.people[id] = { ...this.person(id), ...change }; this.save(); },
  isMarked(entry) { return Boolean(entry.mark || (entry.faces || []).length || entry.name); },
  get count() { return Object.keys(this.edits.photos).length + Object.keys(this.edits.people).length; },
  // Of the photos of the page: those in which something is marked.
  marked() {
    const found = new Set();
    for (const sha of new Set([...Object.keys(data.review.photos), ...Object.keys(this.edits.photos)]))
      if (this.isMarked(this.photo(sha))) found.add(this.photo(sha).source);
    return found;
  },
};

const middle = box => [Math.round((box[0] + box[2]) / 2), Math.round((box[1] + box[3]) / 2)];
const sameFace = (other, at) => other.x === at[0] && other.y === at[1];
const personName = index => review.person(data.persons[index].id).name || data.persons[index].id;

function showCount() {
  const badge = one("#marked");
  badge.hidden = !review.count;
  badge.textContent = review.count;
  badge.setAttribute("aria-label", `${review.count} not in force yet`);
}

function showReview() {
  const rows = [];
  const edited = (list, id) => (id in list ? "not in force yet" : "in force");
  for (const [id, entry] of Object.entries({ ...data.review.people, ...review.edits.people })) {
    const words = [entry.name ? `is called ${entry.name}` : "", entry.mark ? wordOf(PERSON_MARKS, entry.mark) : ""].filter(Boolean);
    rows.push([id, words.join("; ") || "as any other again", edited(review.edits.people, id)]);
  }
  for (const [sha, entry] of Object.entries({ ...data.review.photos, ...review.edits.photos })) {
    const words = [entry.mark ? wordOf(PHOTO_MARKS, entry.mark) : "", ...entry.faces.map(other => `face at ${other.x}, ${other.y}: ${wordOf(FACE_MARKS, other.mark)}`)].filter(Boolean);
    rows.push([entry.source, words.join("; ") || "as any other again", edited(review.edits.photos, sha)]);
  }
  one("#marks").replaceChildren(rows.length
    ? make("table", {}, make("thead", {}, make("tr", {}, ...["what", "mark", "state"].map(text => make("th", { scope: "col" }, text)))),
      make("tbody", {}, ...rows.map(([what, mark, state]) => make("tr", {}, make("th", { scope: "row" }, what), make("td", {}, mark), make("td", {}, state)))))
    : make("p", {}, "Nothing is marked yet. Open a photo and say what should be done with it, or name a person."));
  one("#export").disabled = one("#forget").disabled = !review.count;
}

const wordOf = (marks, key) => (marks.find(([name]) => name === key) || ["", key])[1];

function exportReview() {
  const content = { format: 1, library: data.library, ...review.edits };
  const file = new Blob([JSON.stringify(content, null, 1)], { type: "application/json" });
  const link = make("a", { href: URL.createObjectURL(file), download: "photoveil-review.json" });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  one("#exported").textContent = "Written to your downloads as photoveil-review.json.";
}

// ---- photos ---------------------------------------------------------------------------------

function choose() {
  const form = one(".filters"), value = name => form.elements[name].value;
  const words = value("text").toLowerCase().split(/\s+/).filter(Boolean);
  const [status, folder, mode, person] = ["status", "folder", "mode", "person"].map(name => (value(name) === "" ? -1 : Number(value(name))));
  const marked = value("marked") ? review.marked() : null;
  chosen = [];
  for (let row = 0; row < columns.file.length; row++) {
    if (status >= 0 && columns.status[row] !== status) continue;
    if (folder >= 0 && columns.folder[row] !== folder) continue;
    if (mode >= 0 && columns.mode[row] !== mode) continue;
    if (person >= 0 && !columns.people[row].includes(person)) continue;
    if (words.length) {
      const source = sourceOf(row).toLowerCase();
      if (!words.every(word => source.includes(word))) continue;
    }
    if (marked && marked.has(sourceOf(row)) !== (value("marked") === "yes")) continue;
    chosen.push(row);
  }
  const order = value("order");
  if (order === "new") chosen.sort((a, b) => columns.day[b] - columns.day[a] || a - b);
  else if (order === "old") chosen.sort((a, b) => columns.day[a] - columns.day[b] || a - b);
  else if (order !== "name") chosen.sort((a, b) => columns.measures[order][b] - columns.measures[order][a] || a - b);
  page = 0;
  showPhotos();
}

function showPhotos() {
  const shown = chosen.slice(page * PER_PAGE, (page + 1) * PER_PAGE);
  const total = columns.file.length;
  one("#shown").textContent = chosen.length === total ? `${number(total)} files` : `${number(chosen.length)} of ${number(total)} files`;
  one("#all").hidden = chosen.length === total;
  const marked = review.marked();
  one("#gallery").replaceChildren(...shown.map(row => card(row, marked)));
  pager(one("#pages"), chosen.length, PER_PAGE, page, to => { page = to; showPhotos(); one("#photos-title").scrollIntoView(); });
}

function card(row, marked) {
  const key = columns.picture[row], status = nameOf("status", row), order = one(".filters").elements.order.value;
  const measure = order in columns.measures ? order : Object.keys(columns.measures)[0];
  const worst = measure ? columns.measures[measure][row] : data.noMeasure;
  const seen = worst === data.noMeasure ? STATUS[status] : `${measureName(measure)} ${(worst / data.scale).toFixed(3)}`;
  const picture = key ? make("img", { src: small("thumbnails", key), alt: "", loading: "lazy", decoding: "async", width: 320, height: 240, onerror: event => event.target.replaceWith(noPicture("no preview")) }) : noPicture(STATUS[status]);
  return make("li", {}, make("button", { type: "button", "data-row": row, onclick: () => show(row) },
    picture,
    marked.has(sourceOf(row)) ? make("span", { class: "mark" }, "marked") : null,
    make("span", { class: "text" }, make("span", { class: "name" }, columns.file[row]), make("span", { class: "sub" }, `${dayOf(row)} · ${seen}`))));
}

const noPicture = text => make("span", { class: "none" }, text);

function pager(place, total, size, current, go) {
  const last = Math.max(0, Math.ceil(total / size) - 1);
  place.hidden = !last;
  const button = (text, to, label) => make("button", { type: "button", "aria-label": label, disabled: to < 0 || to > last || to === current, onclick: () => go(to) }, text);
  const select = make("select", { "aria-label": "Page", onchange: () => go(Number(select.value)) });
  for (let at = 0; at <= last; at++) select.append(make("option", { value: at, selected: at === current }, `${number(at + 1)} of ${number(last + 1)}`));
  place.replaceChildren(button("« first", 0, "First page"), button("‹ earlier", current - 1, "Previous page"), select, button("later ›", current + 1, "Next page"), button("last »", last, "Last page"));
}

// ---- one photo ------------------------------------------------------------------------------

async function show(row) {
  const found = await detailsOf(row);
  const dialog = one("#photo"), source = sourceOf(row);
  open = row;
  one("#photo-title").textContent = source;
  const at = chosen.indexOf(row);
  one("#before").disabled = at <= 0;
  one("#after").disabled = at < 0 || at >= chosen.length - 1;
  const output = found.output === undefined ? source : found.output;
  const key = columns.picture[row], isShown = data.originals && data.shown.includes(found.format);
  const before = isShown ? below(data.originals, source) : small("before", key);
  const after = isShown ? below(data.published, output || "") : small("after", key);
  one("#stage").hidden = !key;
  one("#picture-note").textContent = found.gone ? "The original is no longer there." : "";
  if (key) setPictures(before, after);
  one("#zoom").replaceChildren(...(key ? zoomButtons(found) : []));
  one("#faces").replaceChildren(...found.faces.map((other, index) => faceCard(row, found, index, before, after)));
  one("#facts").replaceChildren(facts(row, found, output), found.sha && key ? choice("What to do with this photo", PHOTO_MARKS, review.photo(found.sha).mark, mark => { review.markPhoto(found.sha, source, mark); showPhotos(); }) : "");
  one("#cut").value = 50;
  slide();
  zoom(-1, found);
  if (!dialog.open) dialog.showModal();
  dialog.scrollTop = 0;
  one(key ? "#cut" : "#photo-title").focus({ preventScroll: true });
}

function setPictures(before, after) {
  const stage = one("#stage"), note = one("#picture-note");
  stage.classList.remove("difference");
  for (const [selector, url, what] of [[".original", before, "The original"], [".cloaked", after, "The cloaked photo"]]) {
    const image = one(selector, stage);
    image.onerror = () => { note.textContent = `${what} cannot be shown: it is gone, or this browser may not open it where it lies. A report with --portable can be taken anywhere.`; };
    image.src = url;
  }
}

function zoomButtons(found) {
  const button = (text, to) => make("button", { type: "button", "data-zoom": to, "aria-pressed": "false", onclick: () => zoom(to, found) }, text);
  const difference = make("button", { type: "button", id: "difference", "aria-pressed": "false", onclick: () => {
    difference.setAttribute("aria-pressed", one("#stage").classList.toggle("difference"));
  } }, "Difference × 10");
  return [button("Whole photo", -1), ...found.faces.map((_, index) => button(found.faces.length > 1 ? `Face ${index + 1}` : "Face", index)), difference];
}

// How a picture as wide as its square frame is moved and enlarged for a face to fill the frame.
// Shifts are shares of the picture's own sides, and never uncover the frame where they need not.
function closeUp(box, [width, height], room) {
  const [x, y] = middle(box);
  const scale = Math.max(1, width / (room * Math.max(box[2] - box[0], box[3] - box[1])));
  const within = (shift, frame) => (frame > scale ? (frame - scale) / 2 : Math.min(0, Math.max(frame - scale, shift)));
  return transform(scale, within(0.5 - scale * x / width, 1), within(0.5 * width / height - scale * y / height, width / height));
}

const transform = (scale, left, top) => `translate(${100 * left}%, ${100 * top}%) scale(${scale})`;

function zoom(index, found) {
  face = index;
  one("#stage").style.setProperty("--ratio", index < 0 ? found.size[0] / found.size[1] : 1);
  for (const image of all("#stage img")) {
    image.style.aspectRatio = found.size.join(" / ");
    image.style.transform = index < 0 ? "" : closeUp(found.faces[index].box, found.size, 1.4);
  }
  for (const button of all("[data-zoom]")) button.setAttribute("aria-pressed", Number(button.dataset.zoom) === index);
}

const slide = () => one("#stage").style.setProperty("--cut", `${one("#cut").value}%`);

function faceCard(row, found, index, before, after) {
  const { box, person, figures } = found.faces[index];
  const at = middle(box);
  const crop = (url, text) => {
    const image = make("img", { src: url, alt: "" });
    image.style.aspectRatio = found.size.join(" / ");
    image.style.transform = closeUp(box, found.size, 1.2);
    return make("div", { class: "crop" }, image, make("span", {}, text));
  };
  return make("div", { class: "face" },
    make("div", { class: "pair" }, crop(before, "original"), crop(after, "cloaked")),
    make("div", { class: "text" },
      make("h3", {}, `Face ${index + 1}`, person == null ? "" : `: ${personName(person)}`),
      ...figureLines(figures).map(line => make("p", {}, line)),
      found.sha ? choice(`What to do with face ${index + 1}`, FACE_MARKS, review.faceMark(found.sha, at), mark => { review.markFace(found.sha, sourceOf(row), at, mark); showPhotos(); }) : null));
}

// The measures that photos are sorted by, then the rest, each list of figures on a line of its own.
function figureLines(figures) {
  const short = value => Number(value.toPrecision(3));
  const lines = new Map([["", []]]);
  const names = Object.keys(figures);
  for (const name of [...names.filter(name => name in columns.measures), ...names.filter(name => !(name in columns.measures))]) {
    const [list, item] = name.includes(" ") ? name.split(/ (.*)/) : ["", ""];
    if (!lines.has(list)) lines.set(list, []);
    lines.get(list).push(item ? `${item} ${short(figures[name])}` : `${measureName(name)} ${short(figures[name])}`);
  }
  return [...lines].filter(([, words]) => words.length).map(([list, words]) => (list ? `${measureName(list)}: ` : "") + words.join(" · "));
}

function facts(row, found, output) {
  const rows = [["status", STATUS[nameOf("status", row)]], ["reason", nameOf("reason", row)], ["mode", nameOf("mode", row)], ["date", dayOf(row)], ["format", found.format],
    ["size", found.size[0] ? `${number(found.size[0])} × ${number(found.size[1])} pixels, ${(found.bytes / 1e6).toFixed(1)} MB` : `${number(found.bytes)} bytes`],
    ["published as", output && output !== sourceOf(row) ? output : ""], ["duplicate of", found.duplicate_of], ["notes", (found.notes || []).join("; ")]];
  return make("dl", { class: "facts" }, ...rows.filter(([, value]) => value).flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]));
}

function step(by) {
  const to = chosen[chosen.indexOf(open) + by];
  if (to !== undefined) show(to);
}

// ---- people, and files without an output ----------------------------------------------------

function showPeople() {
  const size = 48, shown = data.persons.slice(personPage * size, (personPage + 1) * size);
  one("#persons").replaceChildren(...shown.map((person, index) => {
    const number_ = personPage * size + index, entry = review.person(person.id);
    const dates = person.first && (person.first === person.last ? person.first : `${person.first} to ${person.last}`);
    const name = make("input", { type: "text", value: entry.name || "", maxlength: 80, autocomplete: "off", oninput: () => review.changePerson(person.id, { name: name.value.trim() }), onchange: fillPeople });
    return make("li", {},
      make("div", { class: "faces" }, ...person.pictures.map(src => make("img", { src, alt: "", loading: "lazy", width: 76, height: 76 }))),
      make("p", {}, make("strong", {}, person.id), ` · ${number(person.photos)} ${person.photos === 1 ? "photo" : "photos"}${dates ? " · " + dates : ""} `,
        make("a", { href: "#photos", onclick: () => only("person", number_) }, "show")),
      make("div", { class: "fields" }, make("label", {}, `Name of ${person.id}`, name), choice(`What to do with ${person.id}`, PERSON_MARKS, entry.mark || "", mark => review.changePerson(person.id, { mark }))));
  }));
  if (!data.persons.length) one("#persons").replaceChildren(make("li", {}, "Nobody is known yet."));
  pager(one("#person-pages"), data.persons.length, size, personPage, to => { personPage = to; showPeople(); one("#people-title").scrollIntoView(); });
}

function only(name, value) {
  one(".filters").reset();
  one(".filters").elements[name].value = value;
  choose();
}

function listTrouble(element) {
  const names = one(".names", element), most = 200;
  if (!element.open || names.childElementCount) return;
  const status = data.names.status.indexOf(element.dataset.status), reason = Number(element.dataset.reason);
  const rows = columns.file.map((_, row) => row).filter(row => columns.reason[row] === reason && columns.status[row] === status);
  const add = start => {
    names.append(...rows.slice(start, start + most).map(row => make("li", {}, sourceOf(row))));
    if (rows.length > start + most) {
      const more = make("button", { type: "button", onclick: () => { more.parentElement.remove(); add(start + most); } }, `${number(rows.length - start - most)} more`);
      names.append(make("li", {}, more));
    }
  };
  add(0);
}

// ---- start ----------------------------------------------------------------------------------

function fill(name, texts, first) {
  const select = one(".filters").elements[name], before = select.value;
  select.replaceChildren(make("option", { value: "" }, first), ...texts.map(([value, text]) => make("option", { value }, text)));
  select.value = before;
}

const fillPeople = () => fill("person", data.persons.map((person, index) => [index, `${personName(index)} (${number(person.photos)})`]), "all");

function view() {
  const name = location.hash.slice(1) || "overview";
  const known = one(`main > section#${CSS.escape(name)}`) ? name : "overview";
  for (const section of all("main > section")) section.hidden = section.id !== known;
  for (const link of all("nav a")) {
    if (link.hash === `#${known}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (known === "people") showPeople();
  if (known === "review") showReview();
  window.scrollTo(0, 0);
}

function start() {
  data.review = data.review || { photos: {}, people: {} };
  review.load();
  review.settle();
  const sorted = name => data.names[name].map((text, index) => [index, name === "status" ? STATUS[text] || text : text || "(none)"]).sort((a, b) => a[1].localeCompare(b[1]));
  for (const name of ["status", "folder", "mode"]) fill(name, sorted(name), "all");
  fillPeople();
  const order = one(".filters").elements.order;
  order.append(...Object.keys(columns.measures).map(name => make("option", { value: name }, `most visible (${measureName(name)})`)),
    make("option", { value: "name" }, "name"), make("option", { value: "new" }, "newest first"), make("option", { value: "old" }, "oldest first"));
  one(".filters").addEventListener("submit", event => event.preventDefault());
  let later;
  one(".filters").addEventListener("input", () => { clearTimeout(later); later = setTimeout(choose, 120); });
  one("#all").addEventListener("click", () => { one(".filters").reset(); choose(); });
  one("#cut").addEventListener("input", slide);
  one("#close").addEventListener("click", () => one("#photo").close());
  one("#before").addEventListener("click", () => step(-1));
  one("#after").addEventListener("click", () => step(1));
  one("#photo").addEventListener("close", () => { const back = one(`[data-row="${open}"]`); if (back) back.focus(); });
  one("#photo").addEventListener("keydown", event => {
    if (event.target.matches("input, select, textarea") && event.target.id !== "cut") return;
    const moves = { PageUp: -1, PageDown: 1, p: -1, n: 1 };
    if (event.key in moves) { event.preventDefault(); step(moves[event.key]); }
  });
  for (const element of all(".trouble")) element.addEventListener("toggle", () => listTrouble(element));
  const command = [...data.command, "--review", "~/Downloads/photoveil-review.json"].join(" ");
  one("#command").textContent = command;
  one("#copy").addEventListener("click", () => navigator.clipboard && navigator.clipboard.writeText(command).then(() => { one("#copy").textContent = "Copied"; }, () => {}));
  one("#export").addEventListener("click", exportReview);
  one("#forget").addEventListener("click", () => { review.edits = { photos: {}, people: {} }; review.save(); showReview(); fillPeople(); choose(); });
  window.addEventListener("hashchange", view);
  showCount();
  choose();
  view();
}
