// Fills entries when they are opened, finds words, draws timelines. Whatever was logged is text here, never markup.
"use strict";
(() => {
  const parsed = new Map();
  const data = (id) => {
    if (!parsed.has(id)) parsed.set(id, JSON.parse(document.getElementById(id + "-data").textContent));
    return parsed.get(id);
  };
  const index = JSON.parse(document.getElementById("index").textContent);
  const byId = (id) => document.getElementById(id);
  const make = (name, attributes = {}, ...content) => {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
      if (value !== null && value !== undefined) element.setAttribute(key, value);
    }
    element.append(...content.filter((one) => one !== null && one !== undefined));
    return element;
  };
  const seconds = (value) =>
    value < 1 ? Math.round(value * 1000) + " ms" : value < 60 ? value.toFixed(1) + " s"
      : Math.floor(value / 60) + " min " + Math.floor(value % 60) + " s";
  const link = (path, text) =>
    make("a", { href: path.split("/").map(encodeURIComponent).join("/") }, text === undefined ? path : text);
  const pre = (text) => make("pre", { tabindex: "0" }, text);
  const details = (summary, ...content) => make("details", {}, make("summary", {}, summary), ...content);
  const heading = (text) => make("h3", {}, text);
  const cell = (content, name = "td") => make(name, name === "th" ? { scope: "row" } : {}, content);
  const table = (caption, columns, rows) =>
    make("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": caption },
      make("table", {}, make("caption", {}, caption),
        make("thead", {}, make("tr", {}, ...columns.map((name) => make("th", { scope: "col" }, name)))),
        make("tbody", {}, ...rows.map((row) => make("tr", {}, ...row)))));
  const list = (items) => make("ul", {}, ...items.map((item) => make("li", {}, ...[].concat(item))));
  const state = (word, look) => make("span", { class: "state " + look }, word);

  // -- the log as a tree ------------------------------------------------------------------------------------------------

  const text = (node) => {
    switch (node.is) {
      case "span": return node.text + (node.took === null ? " (not ended)" : " (" + seconds(node.took) + ")");
      case "wait": return "waited " + seconds(node.took) + " for " + node.text + ": " + ends[node.end] + ", last seen: " + node.seen;
      case "fault": return "fault: " + node.text + (node.took === null ? "" : ", set back after " + seconds(node.took));
      case "trouble": return (node.expected ? "expected " : "") + "trouble of " + node.machine + ": " + node.text;
      default: return node.text;
    }
  };
  const ends = {
    true: "it came true", held: "it held", late: "time was up", hopeless: "it could not come true any more",
    broken: "it did not hold", cut_short: "it was given up",
  };
  const look = (node) =>
    node.is === "trouble" ? (node.expected ? "warn" : "bad") : node.is === "fault" ? "warn"
      : node.is === "wait" && !["true", "held"].includes(node.end) ? "warn" : node.is === "attempt" ? "state" : "";
  const marked = (whole, word) => {
    if (!word) return [whole];
    const parts = [], lower = whole.toLowerCase();
    let from = 0;
    for (let at = lower.indexOf(word); at >= 0; at = lower.indexOf(word, from)) {
      parts.push(whole.slice(from, at), make("mark", {}, whole.slice(at, at + word.length)));
      from = at + word.length;
    }
    return [...parts, whole.slice(from)];
  };
  const tree = (entry, word) => {
    const below = new Map([[undefined, []]]);
    entry.nodes.forEach((node, at) => {
      const parent = below.has(node.parent) ? node.parent : undefined;
      below.get(parent).push(at);
      if (node.is === "span") below.set(at, []);
    });
    // Of what is looked for, the operations around it are shown as well.
    const hits = new Set();
    if (word) entry.nodes.forEach((node, at) => {
      if (!text(node).toLowerCase().includes(word)) return;
      for (let up = at; up !== undefined && !hits.has(up); up = entry.nodes[up].parent) hits.add(up);
    });
    const branch = (places) => places.filter((at) => !word || hits.has(at)).map((at) => {
      const node = entry.nodes[at], inner = below.get(at) || [];
      const line = [make("span", { class: "at" }, (node.at - (entry.began || 0)).toFixed(3).padStart(9) + " "),
        ...marked(text(node), word)];
      if (!inner.length) return make("li", { class: look(node) }, ...line);
      const part = make("details", {}, make("summary", {}, ...line), make("ul", {}, ...branch(inner)));
      part.open = Boolean(word) || inner.length < 50;
      return make("li", {}, part);
    });
    return branch(below.get(undefined));
  };
  const log = (entry) => {
    const place = make("ul", { class: "log", tabindex: "0", "aria-label": "Log" });
    const field = make("input", { type: "search", "aria-label": "Find in this log", placeholder: "find in this log" });
    const count = make("span", { role: "status", class: "soft" });
    const show = () => {
      const word = field.value.trim().toLowerCase();
      place.replaceChildren(...tree(entry, word));
      count.textContent = word ? " " + place.querySelectorAll("mark").length + " found" : "";
    };
    field.addEventListener("input", show);
    field.value = byId("find").value;
    show();
    if (field.value && !place.childElementCount) { field.value = ""; show(); }
    const dropped = entry.dropped ? make("p", { class: "soft" }, entry.dropped + " older lines are in events.jsonl") : null;
    return [heading("Log"), make("p", {}, field, count), dropped, place];
  };

  // -- what an entry opens to -------------------------------------------------------------------------------------------

  const consoles = (all) => all.flatMap((end) => [
    make("p", {}, end.machine + ": ", link(end.path, end.cut ? "all of it" : end.path)),
    pre(end.text),
  ]);
  const calls = (all, caption) => table(caption, ["at", "what", "status", "took", "said"], all.map((call) => [
    cell(call.at.toFixed(3) + " s"),
    cell(call.method + " " + call.path, "th"),
    cell(state(call.status ? String(call.status) : "no answer", call.status && call.status < 400 ? "good" : "bad")),
    cell(seconds(call.took)),
    cell(call.asked || call.answered ? details("asked and answered", pre(call.asked), pre(call.answered)) : ""),
  ]));
  const waits = (entry) => {
    const all = entry.nodes.filter((node) => node.is === "wait");
    if (!all.length) return [];
    const bad = (node) => !["true", "held"].includes(node.end);
    all.sort((a, b) => bad(b) - bad(a) || b.took - a.took);
    return [table("Waits", ["for what", "ended", "last seen", "took", "looks", "history"], all.map((node) => [
      cell(node.text + (node.machine ? " (" + node.machine + ")" : ""), "th"),
      cell(state(ends[node.end], bad(node) ? "bad" : "good")),
      cell(node.seen), cell(seconds(node.took)), cell(String(node.looks)),
      cell(node.history ? details("all that was seen", pre(node.history)) : ""),
    ]))];
  };
  const phases = (entry) => {
    const pages = entry.changes.map((one) => [link(one.report, one.change), " " + one.state.replaceAll("_", " ")]);
    const rows = entry.phases.map((one) => [
      cell(one.change, "th"), cell(one.device), cell(one.phase.replaceAll("_", " ")),
      cell(one.error === null ? state("ok", "good") : state("failed: " + one.error, "bad")),
      cell(seconds(one.took)), cell(one.transcript ? link(one.transcript, "what was said") : ""),
    ]);
    return [
      rows.length ? table("Changes", ["change", "device", "phase", "result", "took", "transcript"], rows) : null,
      pages.length ? list(pages) : null,
    ];
  };
  const packets = (one) => details(
    "Packets of " + one.path + ": " + one.packets + " in " + seconds(one.seconds) + ", " +
      one.protocols.map(([name, count]) => count + " " + name).join(", "),
    make("p", {}, link(one.path), " " + one.bytes + " bytes" + (one.is_cut ? ", and more that were not looked at" : "")),
    one.talks.length ? table("Who talked with whom", ["from and to", "packets"],
      one.talks.map(([name, count]) => [cell(name, "th"), cell(String(count))])) : null,
    one.more ? make("p", {}, "and " + one.more + " more") : null);
  const picture = (one) => make("figure", {},
    make("img", { src: "data:image/png;base64," + one.data, alt: "a picture: " + one.path }),
    make("figcaption", {}, link(one.path)));
  // Once what folder all of them are in; below it, those of each folder are opened together.
  const byFolder = (all) => {
    if (!all.length) return [];
    const folder = (path) => path.slice(0, path.lastIndexOf("/") + 1);
    let root = folder(all[0].path);
    while (!all.every((file) => file.path.startsWith(root))) root = folder(root.slice(0, -1));
    const item = (file) => [link(file.path, file.path.slice(root.length)), make("span", { class: "soft" },
      " " + file.size + (file.source ? ", " + file.source : ""))];
    const below = (file) => folder(file.path.slice(root.length)).split("/")[0];
    const names = [...new Set(all.map(below))].filter(Boolean);
    const of = (name) => list(all.filter((file) => below(file) === name).map(item));
    const count = (name) => all.filter((file) => below(file) === name).length;
    return [heading("Files in " + (root || "the run's folder")), of(""),
      ...names.map((name) => details(name + " (" + count(name) + ")", of(name)))];
  };
  const files = (left) => {
    if (!left) return [];
    return [
      ...left.pictures.map(picture),
      ...left.packets.map(packets),
      ...byFolder(left.files),
      left.more ? make("p", {}, "and " + left.more + " more in the folder") : null,
      left.missing.length ? details("Could not be had (" + left.missing.length + ")",
        list(left.missing.map(([what, why]) => what + ": " + why))) : null,
      left.consoles.length ? details("Ends of consoles (" + left.consoles.length + ")", ...consoles(left.consoles)) : null,
    ];
  };
  const attempts = (entry) => entry.attempts.map((one) => details(
    "Attempt " + one.attempt + " failed after " + seconds(one.seconds) + " (" + one.fault + ")", pre(one.error)));
  const fill = (element) => {
    if (element.dataset.filled) return;
    element.dataset.filled = "yes";
    const number = Number(element.id.slice(1)), entry = data(element.id);
    const suite = data("s" + index.entries[number].suite);
    const from = entry.began === null ? 0 : entry.began;
    const mine = suite.calls.filter((call) => entry.began !== null && call.at >= from && call.at <= from + entry.took);
    const facts = [entry.place && "written in " + entry.place, entry.at && "failed at " + entry.at,
      entry.fault && "whose fault: " + entry.fault, entry.expected, entry.began !== null && "began after " + seconds(entry.began)];
    element.append(make("div", { class: "body" },
      entry.why ? pre(entry.why) : null,
      make("p", { class: "soft" }, facts.filter(Boolean).join(", ")),
      ...attempts(entry), ...waits(entry), ...phases(entry),
      mine.length ? details("Questions to the portal (" + mine.length + ")", calls(mine, "What the portal was asked meanwhile")) : null,
      ...(entry.nodes.length ? log(entry) : []), ...files(entry.left)));
  };

  // -- timelines: all on the run's one clock ----------------------------------------------------------------------------

  const looks = { failed: "bad", unfinished: "bad", flaky: "warn", passed: "good", expected: "warn", not_run: "none", ignored: "none" };
  const draw = (label, begin, end, lanes) => {
    const span = Math.max(end - begin, 0.001), place = (at) => 100 * (at - begin) / span + "%";
    const raw = span / 8, power = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 5, 10].map((one) => one * power).find((one) => one >= raw);
    const ticks = make("div", { class: "ticks" });
    for (let at = Math.ceil(begin / step) * step; at <= end; at += step) {
      const tick = make("span", {}, step < 1 ? at.toFixed(Math.ceil(-Math.log10(step))) + " s" : Math.round(at) + " s");
      tick.style.left = place(at);
      ticks.append(tick);
    }
    const lane = ([name, bars]) => {
      const track = make("div", { class: "track" });
      for (const bar of bars) {
        const element = make(bar.href ? "a" : "div", { class: "bar " + bar.look, title: bar.title, href: bar.href, tabindex: "-1" });
        element.style.left = place(bar.at);
        if (bar.took !== undefined) element.style.width = 100 * bar.took / span + "%";
        track.append(element);
      }
      return make("div", { class: "lane" }, make("span", { title: name }, name), track);
    };
    const all = make("div", { class: "lanes", role: "img", "aria-label": label + "; what it shows is told in the lists below" },
      make("div", { class: "axis" }, make("span"), ticks), ...lanes.map(lane));
    const zoom = (factor) => {
      const wide = Math.min(Math.max((Number(all.dataset.wide) || 100) * factor, 100), 6400);
      all.dataset.wide = wide;
      all.style.width = wide + "%";
    };
    const button = (word, factor) => {
      const element = make("button", { type: "button" }, word);
      element.addEventListener("click", () => zoom(factor));
      return element;
    };
    return [make("p", {}, button("Wider", 2), " ", button("Narrower", 0.5)),
      make("div", { class: "time-scroll", tabindex: "0", role: "region", "aria-label": label }, all)];
  };
  const bars = (wanted) => index.entries.flatMap((one, number) =>
    one.began === null || !wanted(one) ? [] : [{
      at: one.began, took: one.took, look: looks[one.verdict], href: "#e" + number,
      title: one.name + ", " + one.verdict.replaceAll("_", " ") + ", " + seconds(one.took),
    }]);
  const lanes = (at) => {
    const suite = data("s" + at), tracks = new Map(suite.machines.map((name) => [name, []]));
    let end = suite.began + suite.seconds;
    index.entries.forEach((one, number) => {
      if (one.suite !== at) return;
      const entry = data("e" + number);
      for (const node of entry.nodes) {
        if (!node.machine || node.is === "line") continue;
        if (!tracks.has(node.machine)) tracks.set(node.machine, []);
        const took = node.is === "trouble" || node.is === "progress" ? undefined
          : node.took === null ? Math.max(end - node.at, 0) : node.took;
        const from = node.is === "wait" ? node.at - node.took : node.at;
        const kind = node.is === "span" ? "span part" : node.is;
        tracks.get(node.machine).push({ at: from, took, look: kind, href: "#e" + number, title: one.name + ": " + text(node) });
      }
    });
    const own = ["scenarios", bars((one) => one.suite === at)];
    return [...draw("Timeline of " + index.suites[at], suite.began || 0, end, [own, ...tracks]),
      make("p", { class: "key" }, "Blue: operations; yellow at the foot: waits; hatched: faults made on purpose; red: trouble.")];
  };
  const part = (element) => {
    if (element.dataset.filled) return;
    element.dataset.filled = "yes";
    const at = Number(element.dataset.suite), suite = data("s" + at);
    const content = {
      lanes: () => lanes(at),
      consoles: () => consoles(suite.consoles),
      calls: () => [make("p", {}, link(suite.archive), " opens in browsers' network tools"),
        calls(suite.calls, "What the portal was asked")],
    };
    element.append(...content[element.dataset.part]());
  };

  // -- finding ----------------------------------------------------------------------------------------------------------

  const entries = [...document.querySelectorAll("details.entry")];
  const known = new Map();
  // All that is known of an entry, read once somebody looks for something.
  const words = (element) => {
    if (!known.has(element)) {
      const entry = data(element.id);
      const all = [element.textContent, entry.why || "", ...entry.nodes.map(text), ...entry.attempts.map((one) => one.error)];
      known.set(element, all.join("\n").toLowerCase());
    }
    return known.get(element);
  };
  const find = () => {
    const word = byId("find").value.trim().toLowerCase();
    const shown = new Set([...document.querySelectorAll(".choice input:checked")].map((input) => input.value));
    let count = 0;
    for (const element of entries) {
      const is = shown.has(element.dataset.verdict) && (!word || words(element).includes(word));
      element.hidden = !is;
      count += is;
    }
    byId("found").textContent = count + " of " + entries.length + " shown";
  };
  let soon;
  byId("find").addEventListener("input", () => { clearTimeout(soon); soon = setTimeout(find, 150); });
  document.querySelectorAll(".choice input").forEach((input) => input.addEventListener("change", find));
  byId("close").addEventListener("click", () => entries.forEach((element) => { element.open = false; }));

  // What opens does so however it is opened: by hand, by a link, by the browser's own search.
  const opened = (element) => {
    if (element.classList.contains("entry")) fill(element);
    if (element.classList.contains("part")) part(element);
  };
  document.addEventListener("toggle", (event) => { if (event.target.open) opened(event.target); }, true);
  document.querySelectorAll("details[open]").forEach(opened);
  const follow = () => {
    const target = byId(location.hash.slice(1));
    if (!target || !target.classList.contains("entry")) return;
    target.hidden = false;
    fill(target);
    target.open = true;
    target.scrollIntoView({ block: "start" });
    target.querySelector("summary").focus({ preventScroll: true });
  };
  addEventListener("hashchange", follow);

  const timeline = index.suites.map((name, at) => [name, bars((one) => one.suite === at)]).filter(([, all]) => all.length);
  byId("timeline").append(...draw("Timeline of the run", 0, index.seconds, timeline));
  find();
  follow();
})();
