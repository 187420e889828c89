"use strict";

const TYPES = { int8: Int8Array, uint8: Uint8Array, uint16: Uint16Array, uint32: Uint32Array, float32: Float32Array };
const LETTERS = { ß: "ss", æ: "ae", œ: "oe", ø: "o", ł: "l", đ: "d", ð: "d", þ: "th", ı: "i", "'": "", "’": "" };
const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00"]; // by Okabe and Ito
const MOST_FOUND = 12; // songs below the search box
const find = (id) => document.getElementById(id);
const number = (value) => value.toLocaleString("en");

// Return a new element. Children that are strings become text, whatever they hold.
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children.filter((child) => child !== ""));
  return element;
}

// Return lower-case text without accents and apostrophes, as it is compared in a search.
function fold(text) {
  const letters = text.toLowerCase().normalize("NFKD").replace(/\p{M}/gu, "");
  return letters.replace(/[ßæœøłđðþı'’]/g, (letter) => LETTERS[letter]).replace(/\s+/g, " ").trim();
}

// Read what explorer.pack has written: a line of JSON, and the arrays that it lists.
async function load() {
  const text = atob(find("data").textContent), packed = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) packed[i] = text.charCodeAt(i);
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
  let at = bytes.indexOf(10) + 1;
  const data = JSON.parse(new TextDecoder().decode(bytes.subarray(0, at)));
  for (const [name, type, length] of data.arrays) {
    const end = at + length * TYPES[type].BYTES_PER_ELEMENT;
    data[name] = new TYPES[type](bytes.buffer.slice(at, end));
    at = end;
  }
  return data;
}

function start(data) {
  const n = data.ids.length;
  const codes = new Map(data.ids.map((id, song) => [id, song]).reverse());
  const title = (song) => data.names?.[song] || (/^\d+$/.test(data.ids[song]) ? `song ${data.ids[song]}` : `${data.ids[song]}`);
  const artist = (song) => data.artists?.[data.artist[song]] ?? "";
  const words = (song) => (artist(song) ? `${title(song)} – ${artist(song)}` : title(song));
  const people = (count) => (count ? number(count) : `fewer than ${data.fewest}`);
  const neighbours = (song) => [...data.neighbours.subarray(song * data.k, (song + 1) * data.k)];
  let state = { song: -1, mix: [], unknown: "" };

  // The address: #song=<id>&mix=<id>&mix=<id>

  function read(address) {
    const found = { song: -1, mix: [], unknown: "" };
    for (const part of address.replace(/^#/, "").split("&")) {
      const [key, ...rest] = part.split("=");
      let id = rest.join("=");
      try { id = decodeURIComponent(id); } catch { /* not encoded: taken as it is written */ }
      const song = codes.get(id) ?? -1;
      if (key === "song") [found.song, found.unknown] = [song, song < 0 ? id : ""];
      if (key === "mix" && song >= 0 && !found.mix.includes(song)) found.mix.push(song);
    }
    found.mix.splice(data.most);
    return found;
  }

  function address({ song = state.song, mix = state.mix }) {
    const parts = mix.map((each) => `mix=${encodeURIComponent(data.ids[each])}`);
    if (song >= 0) parts.unshift(`song=${encodeURIComponent(data.ids[song])}`);
    return `#${parts.join("&")}`;
  }

  function go(target) {
    try { location.hash = target; } catch { /* a frame without an address of its own */ }
    show(read(target));
  }

  function link(song) {
    return make("a", { href: address({ song }) }, make("bdi", {}, title(song)));
  }

  const byArtist = (song) => (artist(song) ? make("span", { class: "artist" }, " ", make("bdi", {}, artist(song))) : "");

  // The song and its neighbours

  // Say what the two songs share: listeners, neighbours, the artist
  function why(song, other, shared) {
    const own = data.listeners[song], parts = [];
    if (shared) {
      const times = shortLift(liftOf(song, other, shared));
      const many = times === "1.0" ? "as many as by chance" : `${times} times as many as by chance`;
      parts.push(`${number(shared)} of the ${number(own)} listeners also listen to it: ${many}.`);
    } else parts.push(`${own ? `Of the ${number(own)} listeners, fewer` : "Fewer"} than ${data.fewest} listen to both songs.`);
    const common = neighbours(song).filter((each) => neighbours(other).includes(each)).length;
    if (common) parts.push(`${common} neighbour${common > 1 ? "s" : ""} in common.`);
    if (artist(song) && artist(song) === artist(other)) parts.push("Same artist.");
    return parts.join(" ");
  }

  // Listeners in common, divided by how many there would be if the two songs had independent listeners
  function liftOf(song, other, shared) {
    return (shared * data.n_listeners) / (data.listeners[song] * data.listeners[other]);
  }

  const shortLift = (lift) => (lift < 10 ? lift.toFixed(1) : number(Math.round(lift)));

  function addButton(song, text) {
    const button = make("button", { type: "button" }, text);
    if (text === "+") button.className = "plus";
    const chosen = state.mix.includes(song);
    button.disabled = chosen || state.mix.length === data.most;
    const label = chosen ? `${title(song)} is in the mix` : `Add ${title(song)} to the mix`;
    if (text === "+" || chosen) button.setAttribute("aria-label", label);
    if (chosen) button.textContent = text === "+" ? "✓" : "In the mix";
    button.title = button.disabled && !chosen ? `A mix has at most ${data.most} songs` : label;
    button.addEventListener("click", () => go(address({ mix: [...state.mix, song] })));
    return button;
  }

  function row(song, other, place) {
    const at = song * data.k + place, shared = data.shared[at];
    const figure = (label, text) => make("td", { class: "figure" }, make("span", { class: "label" }, `${label} `), text);
    const cells = [make("td", { class: "number" }, String(place + 1))];
    const reason = make("span", { class: "why" }, why(song, other, shared));
    cells.push(make("th", { class: "name", scope: "row" }, link(other), byArtist(other), reason));
    cells.push(figure("similarity", (data.cosines[at] / 100).toFixed(2).replace("-", "−")));
    cells.push(figure("lift", shared ? shortLift(liftOf(song, other, shared)) : "–"));
    cells.push(figure("listeners", shared ? number(shared) : `< ${data.fewest}`));
    cells.push(make("td", { class: "act" }, addButton(other, "+")));
    return make("tr", { "data-id": data.ids[other] }, ...cells);
  }

  function showSong() {
    const section = find("song"), { song } = state;
    if (song < 0) return showStart(section);
    const head = make("h2", { id: "song-title", tabindex: "-1" }, make("bdi", {}, title(song)));
    const facts = make("p", { class: "muted facts" }, byArtist(song), artist(song) ? " · " : "");
    facts.append(`${people(data.listeners[song])} listeners`);
    if (data.names?.[song]) facts.append(" · id ", make("bdi", {}, data.ids[song]));
    const columns = [["", ""], ["name", "its nearest songs"], ["", "similarity"], ["", "lift"], ["", "listeners in common"], ["", ""]];
    const heads = columns.map(([kind, text]) => make(text ? "th" : "td", kind ? { class: kind } : {}, text));
    const rows = neighbours(song).map((other, place) => row(song, other, place));
    const table = make("table", {}, make("thead", {}, make("tr", {}, ...heads)), make("tbody", {}, ...rows));
    const note = "Similarity is the cosine of the two songs’ vectors. In common are the people who listen to both songs; " +
      `lift is that number divided by the one expected by chance. Counts below ${data.fewest} are withheld.`;
    section.replaceChildren(make("div", { class: "title" }, head, addButton(song, "Add to mix")), facts, table,
      make("p", { class: "muted" }, note, " ", make("a", { href: address({ song: -1 }) }, "Songs with the most listeners")));
  }

  function showStart(section) {
    const parts = [make("h2", { id: "song-title", tabindex: "-1" }, "Songs with the most listeners")];
    if (state.unknown) parts.unshift(make("p", {}, "No song here has the id ", make("bdi", {}, state.unknown), "."));
    const items = Array.from({ length: Math.min(10, n) }, (_, song) =>
      make("li", {}, make("span", {}, link(song), byArtist(song)), make("span", { class: "small" }, `${people(data.listeners[song])} listeners`)));
    section.replaceChildren(...parts, make("ol", { class: "plain start" }, ...items));
  }

  // A mix: the songs for a new listener, by the fold-in of Recommender.fold_in

  const norms = new Float64Array(n);
  for (let song = 0; song < n; song++) {
    let sum = 0;
    for (let i = song * data.dim; i < (song + 1) * data.dim; i++) sum += data.vectors[i] ** 2;
    norms[song] = Math.sqrt(sum) || 1;
  }

  function recommend(liked) {
    const { dim, vectors } = data, taste = new Float64Array(dim), listener = new Float64Array(dim);
    for (const song of liked) for (let i = 0; i < dim; i++) taste[i] += vectors[song * dim + i] / norms[song];
    const length = Math.hypot(...taste) || 1;
    for (let i = 0; i < dim; i++) for (let j = 0; j < dim; j++) listener[j] += (taste[i] / length) * data.map[i * dim + j];
    const scores = new Float64Array(n);
    for (let song = 0; song < n; song++) {
      let sum = 0;
      for (let i = 0; i < dim; i++) sum += listener[i] * vectors[song * dim + i];
      scores[song] = (sum / norms[song]) * (data.lengths ? data.lengths[song] : 1);
    }
    const others = Array.from({ length: n }, (_, song) => song).filter((song) => !liked.includes(song));
    return others.sort((a, b) => scores[b] - scores[a] || a - b).slice(0, data.listed);
  }

  function showMix() {
    const { mix } = state, parts = [make("h2", { id: "mix-title" }, "Mix")];
    const missing = ["Add two to five songs that you like.", "One song is chosen. Add one more."][mix.length];
    const chips = mix.map((song) => {
      const drop = make("button", { type: "button", "aria-label": `Remove ${title(song)} from the mix` }, "×");
      drop.addEventListener("click", () => go(address({ mix: mix.filter((each) => each !== song) })));
      return make("li", {}, link(song), drop);
    });
    if (mix.length) parts.push(make("ul", { class: "plain chips", "aria-label": "Liked songs" }, ...chips));
    if (missing) parts.push(make("p", { class: "muted" }, `${missing} The model then recommends songs to a new listener who likes them.`));
    else {
      const items = recommend(mix).map((song) => make("li", { "data-id": data.ids[song] }, link(song), byArtist(song)));
      const error = data.n_mixes ? `On average ${percent(data.same)} of a list’s songs are those of the exact vectors ` +
        `(measured on ${number(data.n_mixes)} mixes).` : "";
      parts.push(make("p", { class: "small" }, "For somebody who likes these songs:"), make("ol", { id: "recommended" }, ...items),
        make("p", { class: "muted" }, `Computed on this page, from vectors rounded to 8 bits. ${error}`));
    }
    find("mix").replaceChildren(...parts);
  }

  const percent = (share) => `${(Math.floor(1000 * share) / 10).toFixed(1)}\u00a0%`; // 99.96 % is not 100 %

  // The search box

  const texts = Array.from({ length: n }, (_, song) => {
    const name = data.names ? fold(data.names[song]) : "";
    return ` ${name} ${fold(artist(song))} ${fold(data.ids[song])}`;
  });
  const input = find("search"), list = find("found");
  let found = [], active = -1;

  // Return the songs that contain all words: first the one with this id, then those that begin with the text, then those
  // with words that do.
  function search(text) {
    const query = fold(text), parts = query.split(" "), ranks = [[], [], [], []];
    if (!query) return [];
    for (let song = 0; song < n; song++) {
      const own = texts[song];
      if (!parts.every((part) => own.includes(part))) continue;
      if (data.ids[song] === text.trim()) ranks[0].push(song);
      else if (own.startsWith(` ${query}`)) ranks[1].push(song);
      else ranks[parts.every((part) => own.includes(` ${part}`)) ? 2 : 3].push(song);
    }
    return ranks.flat();
  }

  function showFound() {
    const all = search(input.value), typed = input.value.trim();
    found = all.slice(0, MOST_FOUND);
    active = found.length ? 0 : -1;
    list.replaceChildren(...found.map((song, i) => {
      const option = make("li", { id: `found-${i}`, role: "option" }, make("bdi", {}, title(song)), byArtist(song));
      option.addEventListener("mousedown", (event) => event.preventDefault()); // the focus stays in the box
      option.addEventListener("click", () => choose(i));
      return option;
    }));
    open(found.length > 0);
    const more = all.length > found.length ? `, the first ${found.length} are listed` : "";
    find("told").textContent = typed ? `${number(all.length)} ${all.length === 1 ? "song" : "songs"} found${more}` : "";
  }

  function open(yes) {
    list.hidden = !yes;
    input.setAttribute("aria-expanded", String(yes));
    [...list.children].forEach((option, i) => option.setAttribute("aria-selected", String(i === active)));
    if (yes && active >= 0) input.setAttribute("aria-activedescendant", `found-${active}`);
    else input.removeAttribute("aria-activedescendant");
  }

  function choose(i) {
    const song = found[i];
    input.value = "";
    showFound();
    go(address({ song }));
  }

  input.addEventListener("input", showFound);
  input.addEventListener("focus", () => input.value && showFound());
  input.addEventListener("blur", () => open(false));
  input.addEventListener("keydown", (event) => {
    if (event.isComposing) return;
    const shown = !list.hidden, step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && found.length) {
      if (shown) active = (active + step + found.length) % found.length;
      open(true);
      list.children[active].scrollIntoView({ block: "nearest" });
    } else if (event.key === "Enter" && shown && active >= 0) choose(active);
    else if (event.key === "Escape" && shown) open(false);
    else if (event.key === "Escape") [input.value, find("told").textContent] = ["", ""];
    else return;
    event.preventDefault();
  });

  // Everything together

  const map = drawMap(data, { title, words, neighbours, people, open: (song) => go(address({ song })) });

  function show(next) {
    const moved = next.song !== state.song;
    state = next;
    showSong();
    showMix();
    map.show(state.song, state.mix);
    document.title = state.song >= 0 ? `${title(state.song)} – Explore songs` : "Explore songs";
    if (!moved) return;
    find("song-title").focus({ preventScroll: true });
    if (find("song-title").getBoundingClientRect().top < 0) find("song").scrollIntoView();
  }

  document.addEventListener("click", (event) => {
    const to = event.target.closest?.("a[href^='#']");
    if (!to || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    event.preventDefault(); // inside a frame without an address, a link would open the page around it
    go(to.getAttribute("href"));
  });
  addEventListener("hashchange", () => location.hash === address({}) || show(read(location.hash)));
  const some = `the ${number(n)} songs with the most listeners, of ${number(data.n_songs)} songs`;
  const told = `${n < data.n_songs ? some : `${number(n)} songs`}; ${number(data.n_listeners)} listeners`;
  find("about").textContent = `The data set ${data.dataset}: ${told}. The model: ${data.model}.`;
  find("columns").hidden = false;
  show(read(location.hash));
}

// Draw the map of all songs; return { show(song, mix) }.
function drawMap(data, { title, words, neighbours, people, open }) {
  const canvas = find("map"), pen = canvas.getContext("2d"), hover = find("hover"), n = data.ids.length;
  const places = Float64Array.from(data.places, (value) => value / 65535);
  const limits = [0, 1].map((axis) => {
    let [low, high] = [1, 0];
    for (let i = axis; i < 2 * n; i += 2) [low, high] = [Math.min(low, places[i]), Math.max(high, places[i])];
    return [low, high];
  });
  const middle = limits.map(([low, high]) => (low + high) / 2);
  const view = { x: middle[0], y: middle[1], zoom: 1 };
  const pointers = new Map();
  let song = -1, mix = [], side = 1, dragged = false, groups, palette;

  const chooser = document.createElement("select");
  const bounds = listenerBounds();

  // Return the numbers of listeners at which a new shade begins: five shades of about equally many songs
  function listenerBounds() {
    const sorted = Float64Array.from(data.listeners).sort();
    const shares = [0.2, 0.4, 0.6, 0.8].map((share) => sorted[Math.floor(share * (n - 1))]);
    return [...new Set(shares)].filter((value) => value > sorted[0]);
  }

  function style(name) { return getComputedStyle(document.documentElement).getPropertyValue(name).trim(); }

  function shade(share) {
    const [from, to] = [style("--line"), style("--accent")].map((hex) =>
      [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16)));
    return `rgb(${from.map((value, i) => Math.round(value + (to[i] - value) * (0.25 + 0.75 * share))).join(" ")})`;
  }

  function famous() {
    const sums = new Float64Array(data.artists.length);
    for (let i = 0; i < n; i++) if (data.artist[i] >= 0) sums[data.artist[i]] += data.listeners[i];
    return [...sums.keys()].sort((a, b) => sums[b] - sums[a]).slice(0, COLOURS.length);
  }

  // Give each song a group; draw the groups' names and colours below the map
  function colour() {
    const legend = find("colours"), entries = [];
    groups = new Uint8Array(n);
    if (chooser.value === "artist") {
      const artists = famous(), group = new Map(artists.map((artist, i) => [artist, i + 1]));
      for (let i = 0; i < n; i++) groups[i] = group.get(data.artist[i]) ?? 0;
      palette = [style("--line"), ...COLOURS];
      artists.forEach((artist, i) => entries.push([COLOURS[i], data.artists[artist]]));
      entries.push([palette[0], "other artists"]);
    } else {
      for (let i = 0; i < n; i++) groups[i] = bounds.filter((bound) => data.listeners[i] >= bound).length;
      palette = [0, ...bounds].map((_, i) => shade(bounds.length ? i / bounds.length : 1));
      const starts = [Math.min(...data.listeners), ...bounds];
      starts.forEach((low, i) => {
        const high = (starts[i + 1] ?? 0) - 1, top = i === bounds.length;
        const below = low ? "" : `fewer than ${Math.max(data.fewest, high + 1)}`;
        entries.push([palette[i], below || (top ? `${number(low)} or more` : low === high ? number(low) : `${number(low)}–${number(high)}`)]);
      });
    }
    const label = make("label", {}, "Colour ", chooser);
    const swatches = entries.map(([paint, text]) => {
      const dot = make("span", { class: "swatch" });
      dot.style.background = paint;
      return make("span", {}, dot, make("bdi", {}, text));
    });
    const unit = chooser.value === "artist" ? [] : [make("span", {}, "listeners:")];
    legend.replaceChildren(...(chooser.length > 1 ? [label] : []), ...unit, ...swatches);
  }

  const scale = () => 0.92 * side * view.zoom;
  const left = (i) => (places[2 * i] - view.x) * scale() + side / 2;
  const top = (i) => side / 2 - (places[2 * i + 1] - view.y) * scale();

  function dots(songs, radius, paint) {
    pen.fillStyle = paint;
    pen.beginPath();
    for (const i of songs) {
      const [x, y] = [left(i), top(i)];
      if (x < -9 || y < -9 || x > side + 9 || y > side + 9) continue;
      pen.moveTo(x + radius, y);
      pen.arc(x, y, radius, 0, 7);
    }
    pen.fill();
  }

  function write(text, x, y, bold) {
    pen.font = `${bold ? 600 : 400} 12px ${getComputedStyle(document.body).fontFamily}`;
    pen.textAlign = bold && x > side / 2 ? "right" : "left";
    [x, y] = bold ? [x + (x > side / 2 ? 6 : -6), y - 16] : [x + 8, y];
    pen.lineWidth = 3;
    pen.strokeStyle = style("--paper");
    pen.fillStyle = style("--ink");
    pen.strokeText(text, x, y + 4);
    pen.fillText(text, x, y + 4);
  }

  let members = [];
  function draw() {
    const ratio = devicePixelRatio || 1;
    side = canvas.clientWidth || 1;
    if (canvas.width !== Math.round(side * ratio)) canvas.width = canvas.height = Math.round(side * ratio);
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, side, side);
    const radius = Math.min(6, Math.max(1.1, Math.min(2.6, 150 / Math.sqrt(n))) * view.zoom ** 0.4);
    pen.globalAlpha = song >= 0 ? 0.45 : 0.9;
    members.forEach((songs, group) => dots(songs, radius, palette[group]));
    pen.globalAlpha = 1;
    for (const i of mix) {
      pen.fillStyle = style("--good");
      pen.fillRect(left(i) - 5, top(i) - 5, 10, 10);
    }
    if (song < 0) return;
    const near = neighbours(song), ink = style("--ink"), accent = style("--accent");
    dots(near, radius + 3.5, style("--paper"));
    dots(near, radius + 2.5, accent);
    dots([song], radius + 5, style("--paper"));
    dots([song], radius + 4, ink);
    const written = [];
    near.forEach((i, place) => {
      const [x, y] = [left(i), top(i)];
      if (written.some((each) => Math.abs(each[0] - x) < 15 && Math.abs(each[1] - y) < 12)) return;
      written.push([x, y]);
      write(String(place + 1), x, y, false);
    });
    write(title(song).slice(0, 40), left(song), top(song), true);
  }

  let waiting = 0;
  function redraw() {
    waiting ||= requestAnimationFrame(() => { waiting = 0; draw(); });
  }

  function recolour() {
    colour();
    members = palette.map((_, group) => [...groups.keys()].filter((i) => groups[i] === group));
    redraw();
  }

  function zoom(factor, x = side / 2, y = side / 2) {
    const before = scale();
    view.zoom = Math.min(80, Math.max(1, view.zoom * factor));
    const change = 1 / before - 1 / scale();
    view.x += (x - side / 2) * change;
    view.y -= (y - side / 2) * change;
    keepInside();
  }

  function move(dx, dy) {
    view.x -= dx / scale();
    view.y += dy / scale();
    keepInside();
  }

  function keepInside() {
    if (view.zoom === 1) [view.x, view.y] = middle;
    view.x = Math.min(limits[0][1], Math.max(limits[0][0], view.x));
    view.y = Math.min(limits[1][1], Math.max(limits[1][0], view.y));
    redraw();
  }

  function showNear() {
    if (song < 0) return;
    const songs = [song, ...neighbours(song)], spans = [0, 1].map((axis) => songs.map((i) => places[2 * i + axis]));
    [view.x, view.y] = spans.map((each) => (Math.min(...each) + Math.max(...each)) / 2);
    const span = Math.max(...spans.map((each) => Math.max(...each) - Math.min(...each)));
    view.zoom = Math.min(80, Math.max(1, 0.8 / Math.max(span, 0.01)));
    redraw();
  }

  function showAll() {
    [view.x, view.y, view.zoom] = [...middle, 1];
    redraw();
  }

  // Return the song below a point, or −1
  function under(x, y) {
    let [best, least] = [-1, 100];
    for (let i = 0; i < n; i++) {
      const distance = (left(i) - x) ** 2 + (top(i) - y) ** 2;
      if (distance < least) [best, least] = [i, distance];
    }
    return best;
  }

  const point = (event) => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left - 1, event.clientY - box.top - 1];
  };

  function showName(event) {
    const [x, y] = point(event), i = pointers.size ? -1 : under(x, y);
    hover.hidden = i < 0;
    canvas.style.cursor = pointers.size ? "grabbing" : i < 0 ? "grab" : "pointer";
    if (i < 0) return;
    hover.replaceChildren(make("bdi", {}, words(i)), `, ${people(data.listeners[i])} listeners`);
    hover.style.left = `${Math.max(0, Math.min(x + 12, side - hover.offsetWidth))}px`;
    hover.style.top = `${y + 18 + hover.offsetHeight > side ? y - 10 - hover.offsetHeight : y + 18}px`;
  }

  canvas.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    pointers.set(event.pointerId, point(event));
    dragged = pointers.size > 1;
  });
  canvas.addEventListener("pointermove", (event) => {
    const before = pointers.get(event.pointerId), now = point(event);
    if (!before) return showName(event);
    if (!dragged && Math.hypot(now[0] - before[0], now[1] - before[1]) < 4) return;
    if (!dragged) canvas.setPointerCapture(event.pointerId);
    dragged = true;
    const other = [...pointers].find(([id]) => id !== event.pointerId)?.[1];
    if (other) {
      const distance = (place) => Math.hypot(place[0] - other[0], place[1] - other[1]) || 1;
      zoom(distance(now) / distance(before), other[0], other[1]);
    } else move(now[0] - before[0], now[1] - before[1]);
    pointers.set(event.pointerId, now);
    hover.hidden = true;
  });
  canvas.addEventListener("pointerup", (event) => {
    if (!pointers.delete(event.pointerId) || dragged) return;
    const i = under(...point(event));
    if (i >= 0) open(i);
  });
  for (const kind of ["pointercancel", "pointerleave"]) {
    canvas.addEventListener(kind, (event) => { pointers.delete(event.pointerId); hover.hidden = true; });
  }
  canvas.addEventListener("wheel", (event) => {
    if (event.deltaY > 0 && view.zoom === 1) return; // the page scrolls on
    event.preventDefault();
    zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.002)), ...point(event));
  }, { passive: false });
  canvas.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [40, 0], ArrowRight: [-40, 0], ArrowUp: [0, 40], ArrowDown: [0, -40] }[event.key];
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (step) move(...step);
    else if (event.key === "+" || event.key === "=") zoom(1.5);
    else if (event.key === "-") zoom(1 / 1.5);
    else if (event.key === "0") showAll();
    else return;
    event.preventDefault();
  });
  find("zoom-in").addEventListener("click", () => zoom(1.5));
  find("zoom-out").addEventListener("click", () => zoom(1 / 1.5));
  find("zoom-near").addEventListener("click", showNear);
  find("zoom-all").addEventListener("click", showAll);

  chooser.append(make("option", { value: "listeners" }, "by listeners"));
  if (data.artists?.length) chooser.append(make("option", { value: "artist" }, "by artist"));
  chooser.addEventListener("change", recolour);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", recolour);
  for (const kind of ["beforeprint", "afterprint"]) addEventListener(kind, () => { colour(); draw(); });
  new ResizeObserver(redraw).observe(canvas);
  recolour();

  return {
    show(nextSong, nextMix) {
      [song, mix] = [nextSong, nextMix];
      find("zoom-near").disabled = song < 0;
      const lit = song < 0 ? "" : ` ${title(song)} and its ${data.k} nearest songs are marked.`;
      canvas.setAttribute("aria-label", `Map of ${number(n)} songs.${lit}`);
      if (song >= 0 && (left(song) < 0 || left(song) > side || top(song) < 0 || top(song) > side)) showNear();
      redraw();
    },
  };
}

load().then(start).catch((error) => {
  find("about").textContent = "This page could not be shown. It needs a browser of 2023 or later.";
  throw error;
});
