// The page: its state, which is saved in the address, and the actions of keys, buttons, mouse and touch.

const byId = (id) => document.getElementById(id);
const data = JSON.parse(byId('data').textContent);
const LAST = data.steps.length - 1;
// Snapshots a second.
const RATE = 6;
// The parts that can be switched on and off.
const TOGGLES = ['manifold', 'boundary', 'sides'];

const view = { time: LAST, playing: false, manifold: true, boundary: true, sides: false, point: null, moving: false };
let scene = null, charts = [], waiting = false, before = 0, saving = 0, settling = 0;

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
  // A page that was in the background continues from where it was. The time of a frame may be before that of the click.
  view.time = Math.min(view.time + RATE * Math.min(Math.max(now - before, 0), 200) / 1000, LAST);
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
    if (moving) scene.pace.record(now, scene.extractionTime);
    put(byId('pace'), moving ? scene.pace.limit : '');
    legend();
    showCard();
  }
  clearTimeout(saving);
  saving = setTimeout(saveState, 250);
}

function saveState() {
  const parts = [`step=${+stepOf(view.time).toFixed(2)}`];
  if (scene) {
    const { turn, tilt, zoom, shift } = scene.camera;
    parts.push(`eye=${[turn, tilt, zoom, ...shift].map((v) => +v.toFixed(3)).join(',')}`);
    parts.push(`show=${TOGGLES.filter((name) => view[name]).join(',')}`);
    if (view.point !== null) parts.push(`point=${view.point}`);
  }
  history.replaceState(null, '', '#' + parts.join('&'));
}

function restoreState() {
  const parts = new URLSearchParams(location.hash.slice(1));
  if (parts.has('step')) view.time = timeOf(+parts.get('step'));
  if (!scene) return;
  const eye = (parts.get('eye') || '').split(',').map(Number);
  if (eye.length === 5 && eye.every(Number.isFinite)) {
    Object.assign(scene.camera, { turn: eye[0], tilt: eye[1], zoom: eye[2], shift: eye.slice(3) });
    scene.camera.rotate(0, 0);
    scene.camera.magnify(1);
  }
  if (parts.has('show')) for (const name of TOGGLES) view[name] = parts.get('show').split(',').includes(name);
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
  // Space presses the button that has the focus.
  if (!action || (event.key === ' ' && event.target.tagName === 'BUTTON')) return;
  event.preventDefault();
  action();
  refresh();
}

/** Marks the view as moving; it is painted at full resolution when it is at rest. */
function markMoving() {
  view.moving = true;
  clearTimeout(settling);
  settling = setTimeout(() => { view.moving = false; refresh(); }, 250);
  refresh();
}

function moveView(right, up) {
  markMoving();
  if (scene.flat) scene.camera.move(-right, -up);
  else scene.camera.rotate(-right, up);
}

function updateButtons() {
  for (const [id, on] of [['manifold', view.manifold], ['surface', view.boundary], ['colors', view.sides]]) byId(id)?.setAttribute('aria-pressed', on);
}

function toggle(name) {
  view[name] = !view[name];
  updateButtons();
  refresh();
}

/** One finger or the mouse turns, two fingers zoom, a tap or hovering over a point shows its card. */
function listenToCanvas(canvas) {
  const fingers = new Map();
  let moved = 0;
  const fingerDistance = () => { const [a, b] = [...fingers.values()]; return Math.hypot(a[0] - b[0], a[1] - b[1]); };
  const at = (event) => { const box = canvas.getBoundingClientRect(); return [event.clientX - box.left, event.clientY - box.top]; };
  const select = (event) => {
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
    if (!old) { if (event.pointerType === 'mouse' && !view.playing) select(event); return; }
    const previousDistance = fingers.size === 2 ? fingerDistance() : 0;
    fingers.set(event.pointerId, now);
    moved += Math.hypot(now[0] - old[0], now[1] - old[1]);
    if (previousDistance) scene.camera.magnify(fingerDistance() / previousDistance);
    else if (scene.flat) scene.camera.move((now[0] - old[0]) / scene.camera.height, (old[1] - now[1]) / scene.camera.height);
    else scene.camera.rotate((now[0] - old[0]) / 160, (now[1] - old[1]) / 160);
    markMoving();
  });
  canvas.addEventListener('pointerup', (event) => { fingers.delete(event.pointerId); if (moved < 5) select(event); });
  canvas.addEventListener('pointercancel', (event) => fingers.delete(event.pointerId));
  canvas.addEventListener('wheel', (event) => {
    event.preventDefault();
    scene.camera.magnify(Math.exp(-event.deltaY / 600));
    markMoving();
  }, { passive: false });
}

function createTrack() {
  byId('time').max = LAST;
  byId('time').addEventListener('input', (event) => { markMoving(); seek(+event.target.value); });
  byId('play').addEventListener('click', () => play(!view.playing));
  const marks = [{ step: data.steps[0], name: '' }, ...data.phases, { step: data.steps[LAST], name: '' }];
  marks.forEach((mark, k) => {
    const ends = k === 0 ? 'first' : k === marks.length - 1 ? 'last' : '';
    const label = write(byId('marks'), 'span', `${mark.name} ${mark.step.toLocaleString('en')}`, ends);
    label.style.left = `${100 * timeOf(mark.step) / Math.max(LAST, 1)}%`;
  });
}

/** Selects the settings and copies them, which needs no permission of the browser. */
function copySettings() {
  getSelection().selectAllChildren(document.querySelector('#settings pre'));
  byId('copy').textContent = document.execCommand('copy') ? 'copied' : 'selected';
}

/** Hides the marks under the track that would overlap; the first and the last stay visible. */
function hideOverlappingMarks() {
  const marks = [...byId('marks').children], visible = [];
  for (const mark of marks.sort((a, b) => b.classList.length - a.classList.length)) {
    mark.hidden = false;
    const { left, right } = mark.getBoundingClientRect();
    mark.hidden = visible.some((other) => left < other.right + 8 && right > other.left - 8);
    if (!mark.hidden) visible.push({ left, right });
  }
}

/** Prepares the scene and its controls. */
async function createScene() {
  scene = new (data.drawing.slice ? SliceScene : Scene)(byId('canvas'), data);
  await scene.load();
  scene.theme();
  listenToCanvas(byId('canvas'));
  for (const [id, name] of [['manifold', 'manifold'], ['surface', 'boundary'], ['colors', 'sides']]) byId(id).addEventListener('click', () => toggle(name));
  byId('reset').addEventListener('click', () => { scene.camera.reset(); refresh(); });
  byId('colors').hidden = scene.flat || !data.drawing.offsets;
  byId('manifold').hidden = !scene.manifold;
  byId('surface').hidden = Boolean(data.drawing.slice) && !scene.flat;
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => { scene.theme(); refresh(); });
}

/** Puts the reason in the place of a scene that cannot be painted; numbers, curves and their controls stay. */
function reportFailure(error) {
  scene = null;
  byId('view').replaceChildren();
  write(byId('view'), 'p', `The picture cannot be shown: ${error.message}.`).id = 'note';
  console.error(error);
}

/** Changes to the layout and colors of paper and back, and paints everything at once, because printing does not wait. */
function layOutForPaper(on) {
  document.documentElement.classList.toggle('printing', on);
  view.moving = false;
  if (scene) {
    scene.theme();
    reserveLegend();
  }
  hideOverlappingMarks();
  for (const chart of charts) chart.layout();
  show(performance.now());
  byId('print')?.remove();
  if (!on || !scene) return;
  // The new contents of the canvas reach the screen after printing, but those of a copy are there at once.
  const copy = byId('canvas').cloneNode();
  copy.id = 'print';
  copy.getContext('2d').drawImage(byId('canvas'), 0, 0);
  byId('canvas').after(copy);
}

async function start() {
  createFactTable();
  createGlossary();
  createTrack();
  charts = data.charts.map((chart) => new Chart(byId('charts'), chart, data, seek));
  if (data.drawing) await createScene().catch(reportFailure);
  restoreState();
  byId('copy').addEventListener('click', copySettings);
  addEventListener('keydown', onKey);
  addEventListener('hashchange', () => { restoreState(); updateButtons(); refresh(); });
  updateButtons();
  const layout = () => { hideOverlappingMarks(); if (scene) reserveLegend(); refresh(); };
  addEventListener('resize', layout);
  addEventListener('beforeprint', () => layOutForPaper(true));
  addEventListener('afterprint', () => layOutForPaper(false));
  layout();
  // The first picture is painted at the resolution of motion, so that it appears sooner.
  if (scene) markMoving();
  requestAnimationFrame(() => { document.documentElement.dataset.ready = Math.round(performance.now()); });
}

start();
