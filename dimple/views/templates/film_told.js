// What the page says in words of a moment and of a chosen point. What has not changed is not written: it would be laid out anew.

let told = null, pointed = null;

function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function frameFacts() {
  const table = byId('facts'), head = table.createTHead().insertRow(), body = table.createTBody();
  for (const text of ['', '', 'null']) write(head, 'th', text);
  for (const fact of data.facts[0]) {
    const row = body.insertRow();
    write(row, 'th', fact.name);
    write(row, 'td', '', 'value');
    write(row, 'td', '', 'null');
  }
}

function showMoment() {
  const at = Math.round(view.time), whole = Math.abs(view.time - at) < 1e-6, from = Math.floor(view.time);
  put(byId('between'), whole || !scene || data.drawing.section ? '' : `boundary on its way from step ${data.steps[from].toLocaleString('en')} to ${data.steps[from + 1].toLocaleString('en')}`);
  byId('time').value = view.time;
  if (told === at) return;
  told = at;
  put(byId('step'), `step ${data.steps[at].toLocaleString('en')}`);
  put(byId('phase'), data.phases.filter((p) => p.step <= data.steps[at]).sort((a, b) => a.step - b.step).map((p) => p.name).join(', then '));
  data.facts[at].forEach((fact, i) => {
    const [name, value, none] = byId('facts').tBodies[0].rows[i].cells;
    put(name, fact.name);
    put(value, fact.value);
    put(none, fact.null);
  });
  byId('time').setAttribute('aria-valuetext', `step ${data.steps[at]}`);
}

/** The chosen point: what was measured there, and the nearest place of the boundary. */
function showCard() {
  const card = byId('card'), i = view.point, at = Math.round(view.time);
  card.hidden = i === null;
  if (i === null) return;
  if (pointed !== `${at} ${i}`) writeCard(card, at, i);
  pointed = `${at} ${i}`;
  placeCard(card, scene.camera.project(scene.points[i]));
}

function writeCard(card, at, i) {
  const { drawing } = data;
  const predicted = drawing.predictions[at] ? drawing.predictions[at][i] : null, label = drawing.labels[i];
  card.replaceChildren();
  write(card, 'strong', scene.caption ? scene.caption(i, at) : `point ${i}, class ${label}`);
  if (predicted !== null && predicted !== label && !scene.caption) write(card, 'div', `put into class ${predicted}: wrong`, 'wrong');
  const table = write(card, 'table');
  const row = (name, value, none) => {
    const line = write(table, 'tr');
    write(line, 'th', name);
    write(line, 'td', value, 'value');
    write(line, 'td', none, 'null');
  };
  for (const [key, column] of Object.entries(drawing.measured)) {
    if (key === 'split') continue;
    row(column.name, column.values[at][i], column.null ? `null ${column.null[at][i]}` : '');
  }
  const split = drawing.measured.split;
  if (split) {
    row('step, on manifold', split.on[at][i]);
    row('step, off manifold', split.off[at][i]);
    row('on, share of square', split.share[at][i], split.null ? `null ${split.null}` : '');
  }
  const near = drawing.nearest[at][i];
  if (near[0] !== null) write(card, 'div', `× boundary point ${near.map((v) => v.toFixed(3)).join(', ')}`);
}

/** Beside the point, on the side where there is room. */
function placeCard(card, [x, y]) {
  const stage = byId('view').getBoundingClientRect(), { width, height } = card.getBoundingClientRect();
  const left = x + 24 + width < stage.width ? x + 24 : Math.max(x - 24 - width, 6);
  card.style.left = `${Math.min(left, Math.max(stage.width - width - 6, 6))}px`;
  card.style.top = `${Math.min(Math.max(y - height / 2, 44), Math.max(stage.height - height - 6, 6))}px`;
}

