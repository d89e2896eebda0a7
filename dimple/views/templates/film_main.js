// The page: its state, which the address remembers, and what keys, buttons, mouse and fingers do to it.

const byId = (id) => document.getElementById(id);
const data = JSON.parse(byId('data').textContent);
const LAST = data.steps.length - 1;
// Snapshots a second.
const RATE = 6;
// What can be switched on and off.
const SHOWN = ['manifold', 'boundary', 'sides'];

const view = { time: LAST, playing: false, manifold: true, boundary: true, sides: false, point: null, moving: false };
let scene = null, charts = [], waiting = false, before = 0, remembering = 0, settling = 0;

function refresh() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame((now) => {
    waiting = false;
    if (view.playing) advance(now);
    before = now;
    show(now);
    if (view.playing) refresh();
  });
}

function advance(now) {
  // A page that was in the background goes on where it was.
  view.time = Math.min(view.time + RATE * Math.min(now - before, 200) / 1000, LAST);
  if (view.time === LAST) play(false);
}

function seek(time) {
  play(false);
  view.time = Math.min(Math.max(time, 0), LAST);
  refresh();
}

function step(by) {
  seek(by > 0 ? Math.floor(view.time + 1e-9) + by : Math.ceil(view.time - 1e-9) + by);
}

function play(on) {
  if (on && view.time >= LAST) view.time = 0;
  if (on) before = performance.now();
  view.playing = on;
  byId('sign').setAttribute('d', on ? 'M4 2h3v12H4zM9 2h3v12H9z' : 'M4 2l10 6-10 6z');
  byId('play').setAttribute('aria-label', on ? 'pause' : 'play');
  if (on) refresh();
}

function show(now) {
  showMoment();
  for (const chart of charts) chart.show(view.time);
  if (scene) {
    const moving = view.playing || view.moving;
    scene.draw(view, moving);
    if (moving) scene.pace.note(now, scene.searching);
    put(byId('pace'), moving ? scene.pace.limit : '');
    showCard();
  }
  clearTimeout(remembering);
  remembering = setTimeout(remember, 250);
}

function remember() {
  const parts = [`step=${+stepOf(view.time).toFixed(2)}`];
  if (scene) {
    const { turn, tilt, zoom, shift } = scene.camera;
    parts.push(`eye=${[turn, tilt, zoom, ...shift].map((v) => +v.toFixed(3)).join(',')}`);
    parts.push(`show=${SHOWN.filter((name) => view[name]).join(',')}`);
    if (view.point !== null) parts.push(`point=${view.point}`);
  }
  history.replaceState(null, '', '#' + parts.join('&'));
}

function recall() {
  const parts = new URLSearchParams(location.hash.slice(1));
  if (parts.has('step')) view.time = timeOf(+parts.get('step'));
  if (!scene) return;
  const eye = (parts.get('eye') || '').split(',').map(Number);
  if (eye.length === 5 && eye.every(Number.isFinite)) {
    Object.assign(scene.camera, { turn: eye[0], tilt: eye[1], zoom: eye[2], shift: eye.slice(3) });
    scene.camera.rotate(0, 0);
    scene.camera.magnify(1);
  }
  if (parts.has('show')) for (const name of SHOWN) view[name] = parts.get('show').split(',').includes(name);
  const point = parseInt(parts.get('point'), 10);
  view.point = point >= 0 && point < scene.points.length ? point : null;
}

function stepOf(time) {
  const first = Math.floor(time), last = Math.min(first + 1, LAST);
  return data.steps[first] + (time - first) * (data.steps[last] - data.steps[first]);
}

function timeOf(step) {
  const after = data.steps.findIndex((s) => s >= step);
  if (!Number.isFinite(step) || after < 0) return LAST;
  return after === 0 ? 0 : after - (data.steps[after] - step) / (data.steps[after] - data.steps[after - 1]);
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const turn = 0.12, arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
  const actions = {
    ' ': () => play(!view.playing), Home: () => seek(0), End: () => seek(LAST), ArrowLeft: () => step(-1), ArrowRight: () => step(1),
  };
  const inScene = {
    '+': () => scene.camera.magnify(1.15), '=': () => scene.camera.magnify(1.15), '-': () => scene.camera.magnify(1 / 1.15),
    r: () => scene.camera.reset(), m: () => toggle('manifold'), b: () => toggle('boundary'), c: () => toggle('sides'),
    Escape: () => { view.point = null; }, ArrowUp: () => moveView(0, turn), ArrowDown: () => moveView(0, -turn),
  };
  const arrow = event.shiftKey && arrows[event.key];
  const action = scene && arrow ? () => moveView(turn * arrow[0], turn * arrow[1]) : actions[event.key] || (scene && inScene[event.key]);
  // A button that has the focus is pressed by space itself.
  if (!action || (event.key === ' ' && event.target.tagName === 'BUTTON')) return;
  event.preventDefault();
  action();
  refresh();
}

/** The view is in motion, and is painted finely once it has come to rest. */
function stir() {
  view.moving = true;
  clearTimeout(settling);
  settling = setTimeout(() => { view.moving = false; refresh(); }, 250);
  refresh();
}

function moveView(right, up) {
  stir();
  if (scene.flat) scene.camera.move(-right, -up);
  else scene.camera.rotate(-right, up);
}

function press() {
  for (const [id, on] of [['manifold', view.manifold], ['surface', view.boundary], ['colours', view.sides]]) byId(id)?.setAttribute('aria-pressed', on);
}

function toggle(name) {
  view[name] = !view[name];
  press();
  legend();
  refresh();
}

/** One finger or the mouse turns, two fingers zoom, a tap or a stop over a point shows it. */
function listenToCanvas(canvas) {
  const fingers = new Map();
  let moved = 0;
  const spread = () => { const [a, b] = [...fingers.values()]; return Math.hypot(a[0] - b[0], a[1] - b[1]); };
  const at = (event) => { const box = canvas.getBoundingClientRect(); return [event.clientX - box.left, event.clientY - box.top]; };
  const choose = (event) => {
    const point = scene.pick(...at(event));
    canvas.classList.toggle('over', point !== null);
    if (point !== view.point) { view.point = point; refresh(); }
  };
  canvas.addEventListener('pointerdown', (event) => {
    canvas.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, at(event));
    moved = 0;
  });
  canvas.addEventListener('pointermove', (event) => {
    const old = fingers.get(event.pointerId), now = at(event);
    if (!old) { if (event.pointerType === 'mouse' && !view.playing) choose(event); return; }
    const wide = fingers.size === 2 ? spread() : 0;
    fingers.set(event.pointerId, now);
    moved += Math.hypot(now[0] - old[0], now[1] - old[1]);
    if (wide) scene.camera.magnify(spread() / wide);
    else if (scene.flat) scene.camera.move((now[0] - old[0]) / scene.camera.height, (old[1] - now[1]) / scene.camera.height);
    else scene.camera.rotate((now[0] - old[0]) / 160, (now[1] - old[1]) / 160);
    stir();
  });
  canvas.addEventListener('pointerup', (event) => { fingers.delete(event.pointerId); if (moved < 5) choose(event); });
  canvas.addEventListener('pointercancel', (event) => fingers.delete(event.pointerId));
  canvas.addEventListener('wheel', (event) => {
    event.preventDefault();
    scene.camera.magnify(Math.exp(-event.deltaY / 600));
    stir();
  }, { passive: false });
}

function frameTrack() {
  byId('time').max = LAST;
  byId('time').addEventListener('input', (event) => { stir(); seek(+event.target.value); });
  byId('play').addEventListener('click', () => play(!view.playing));
  const marks = [{ step: data.steps[0], name: '' }, ...data.phases, { step: data.steps[LAST], name: '' }];
  marks.forEach((mark, k) => {
    const ends = k === 0 ? 'first' : k === marks.length - 1 ? 'last' : '';
    const label = write(byId('marks'), 'span', `${mark.name} ${mark.step.toLocaleString('en')}`, ends);
    label.style.left = `${100 * timeOf(mark.step) / Math.max(LAST, 1)}%`;
  });
}

/** Hides those marks under the track that would be written over one another; the ends stay. */
function thinMarks() {
  const marks = [...byId('marks').children], kept = [];
  for (const mark of marks.sort((a, b) => b.classList.length - a.classList.length)) {
    mark.hidden = false;
    const { left, right } = mark.getBoundingClientRect();
    mark.hidden = kept.some((other) => left < other.right + 8 && right > other.left - 8);
    if (!mark.hidden) kept.push({ left, right });
  }
}

async function start() {
  frameFacts();
  frameTrack();
  charts = data.charts.map((chart) => new Chart(byId('charts'), chart, data, seek));
  if (data.drawing) {
    scene = new (data.drawing.section ? SectionScene : Scene)(byId('canvas'), data);
    await scene.load();
    scene.theme();
    listenToCanvas(byId('canvas'));
    for (const [id, name] of [['manifold', 'manifold'], ['surface', 'boundary'], ['colours', 'sides']]) byId(id).addEventListener('click', () => toggle(name));
    byId('reset').addEventListener('click', () => { scene.camera.reset(); refresh(); });
    byId('colours').hidden = scene.flat || !data.drawing.pull;
    byId('manifold').hidden = !scene.manifold;
    byId('surface').hidden = Boolean(data.drawing.section) && !scene.flat;
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => { scene.theme(); refresh(); });
  }
  recall();
  addEventListener('keydown', onKey);
  addEventListener('hashchange', () => { recall(); press(); if (scene) legend(); refresh(); });
  press();
  if (scene) legend();
  const layout = () => { thinMarks(); refresh(); };
  addEventListener('resize', layout);
  layout();
  // The first picture is painted like one in motion, so that it is there soon.
  if (scene) stir();
  requestAnimationFrame(() => { document.documentElement.dataset.ready = Math.round(performance.now()); });
}

start().catch((error) => {
  const note = byId('note') || write(byId('stage'), 'p');
  note.id = 'note';
  note.textContent = `The picture cannot be shown: ${error.message}.`;
  throw error;
});
