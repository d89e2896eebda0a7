// The texts of the page: the facts of a step and the card of a point. Unchanged text is not written, to avoid a new layout.

let shownStep = null, shownPoint = null;

function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function createFactTable() {
  const table = byId('facts'), head = table.createTHead().insertRow(), body = table.createTBody();
  const facts = data.facts.flat(), has = (key) => facts.some((fact) => fact[key]);
  for (const text of ['', has('interval') ? 'value, 95 % interval' : 'value', has('baseline') ? 'comparison' : '']) write(head, 'th', text);
  for (const fact of data.facts[0]) {
    const row = body.insertRow();
    write(row, 'th', fact.name);
    row.title = fact.meaning || '';
    const value = write(row, 'td', '', 'value');
    write(value, 'span');
    write(value, 'small');
    write(row, 'td', '', 'baseline');
  }
}

/** Fills the glossary of the quantities with their meaning; the button is left out where none is known. */
function createGlossary() {
  const known = data.facts[0].filter((fact) => fact.meaning), list = document.querySelector('#glossary dl');
  byId('meanings').hidden = known.length === 0;
  for (const fact of known) {
    write(list, 'dt', fact.name.split(',')[0]);
    write(list, 'dd', fact.meaning);
  }
}

function showMoment() {
  const at = Math.round(view.time), isSnapshot = Math.abs(view.time - at) < 1e-6, from = Math.floor(view.time);
  put(byId('between'), isSnapshot || !scene || data.drawing.slice ? '' : `boundary interpolated from step ${data.steps[from].toLocaleString('en')} to ${data.steps[from + 1].toLocaleString('en')}`);
  byId('time').value = view.time;
  if (shownStep === at) return;
  shownStep = at;
  put(byId('step'), `step ${data.steps[at].toLocaleString('en')}`);
  put(byId('phase'), (data.now || [])[at] || '');
  data.facts[at].forEach((fact, i) => {
    const [name, value, baseline] = byId('facts').tBodies[0].rows[i].cells;
    put(name, fact.name);
    put(value.children[0], fact.value);
    put(value.children[1], fact.interval || '');
    put(baseline, fact.baseline);
  });
  byId('time').setAttribute('aria-valuetext', `step ${data.steps[at]}`);
}

/** Shows the measurements at the selected point and the closest point of the boundary. */
function showCard() {
  const card = byId('card'), i = view.point, at = Math.round(view.time);
  card.hidden = i === null;
  if (i === null) return;
  if (shownPoint !== `${at} ${i}`) writeCard(card, at, i);
  shownPoint = `${at} ${i}`;
  placeCard(card, scene.camera.project(scene.points[i]));
}

function writeCard(card, at, i) {
  const { drawing } = data;
  const predicted = drawing.predictions[at] ? drawing.predictions[at][i] : null, label = drawing.labels[i];
  card.replaceChildren();
  write(card, 'strong', scene.caption ? scene.caption(i, at) : `point ${i}, class ${label}`);
  if (predicted !== null && predicted !== label && !scene.caption) write(card, 'div', `predicted class ${predicted}: wrong`, 'wrong');
  const table = write(card, 'table');
  const row = (name, value, baseline) => {
    const line = write(table, 'tr');
    write(line, 'th', name);
    write(line, 'td', value, 'value');
    write(line, 'td', baseline, 'baseline');
  };
  for (const [key, column] of Object.entries(drawing.measured)) {
    if (key === 'decomposition') continue;
    row(column.name, column.values[at][i], column.baseline ? `null ${column.baseline[at][i]}` : '');
  }
  const { decomposition } = drawing.measured;
  if (decomposition) {
    row('shortest perturbation, along the manifold', decomposition.on[at][i]);
    row('shortest perturbation, off the manifold', decomposition.off[at][i]);
    row('fraction along the manifold', decomposition.fraction[at][i], decomposition.baseline ? `null ${decomposition.baseline}` : '');
  }
  const near = drawing.nearest[at][i];
  if (near[0] !== null) write(card, 'div', `× closest boundary point ${near.map((v) => v.toFixed(3)).join(', ')}`);
}

/** Places the card beside the point, on the side with more space. */
function placeCard(card, [x, y]) {
  const box = byId('view').getBoundingClientRect(), { width, height } = card.getBoundingClientRect();
  const left = x + 24 + width < box.width ? x + 24 : Math.max(x - 24 - width, 6);
  card.style.left = `${Math.min(left, Math.max(box.width - width - 6, 6))}px`;
  card.style.top = `${Math.min(Math.max(y - height / 2, 44), Math.max(box.height - height - 6, 6))}px`;
}

