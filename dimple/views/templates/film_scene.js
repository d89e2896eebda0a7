// The scene: what is painted at a moment, with which colours, and which point lies under the pointer.

// A point hidden by less than this share of the box sits under a bump and is painted in outline; deeper ones are not.
const GHOST_DEPTH = 0.14;
// The corners of a cell that the boundary crosses lie within so many cells of it: three where all is exact.
const NEAR = 4;

class Scene {
  constructor(canvas, data) {
    this.data = data;
    this.drawing = data.drawing;
    this.camera = new Camera(this.drawing);
    this.canvas = canvas;
    this.painter = new Painter(canvas);
    this.pace = new Pace(this.painter.software);
    const gl = this.painter.gl;
    this.flat = this.drawing.dim === 2;
    this.lines = this.painter.rows([3, 3]);
    this.markers = this.painter.rows([3, 4]);
    this.manifold = this.manifoldRows();
    this.points = this.drawing.points.map((place) => [...place, 0].slice(0, 3));
    const field = this.drawing.field, pad = (list, value) => [...list, value].slice(0, 3);
    this.counts = pad(field.counts, 1);
    this.extent = this.counts.map((count) => count * field.spacing);
    this.origin = pad(field.origin, 0);
    this.corner = this.origin.map((value) => value - field.spacing / 2);
    const ways = this.drawing.pull;
    // Colours are taken from the middles of a texture's cells, which are the points of its lattice.
    this.waysBox = ways ? { corner: ways.origin.map((v) => v - ways.spacing / 2), extent: ways.counts.map((n) => n * ways.spacing) } : {};
    if (this.flat) this.levels = this.painter.texture(gl.TEXTURE_2D, true);
    else {
      this.surface = this.painter.rows([3, 3]);
      this.nets = new SurfaceNets(this.counts, NEAR / field.band * 127);
    }
  }

  async load() {
    const gl = this.painter.gl;
    this.field = await Field.load(this.drawing.field);
    this.ways = this.flat ? null : this.painter.texture(gl.TEXTURE_3D, true);
    if (!this.flat && this.drawing.pull) {
      gl.texImage3D(gl.TEXTURE_3D, 0, gl.RGB8, ...this.drawing.pull.counts, 0, gl.RGB, gl.UNSIGNED_BYTE, await Field.unpack('pull-bytes'));
    } else if (!this.flat) gl.texImage3D(gl.TEXTURE_3D, 0, gl.RGB8, 1, 1, 1, 0, gl.RGB, gl.UNSIGNED_BYTE, new Uint8Array(3));
  }

  manifoldRows() {
    const mesh = this.drawing.manifold, painter = this.painter;
    if (!mesh || !mesh.faces.length) return null;
    const place = (i) => [...mesh.vertices[i], 0].slice(0, 3);
    if (mesh.faces[0].length === 2) {
      const rows = painter.rows([3, 3]);
      painter.fillRectangles(rows, new Float32Array(mesh.faces.flatMap(([a, b]) => [...place(a), ...place(b)])));
      return { rows, curve: true };
    }
    const normals = mesh.vertices.map(() => [0, 0, 0]);
    for (const [a, b, c] of mesh.faces) {
      const across = cross(subtract(place(b), place(a)), subtract(place(c), place(a)));
      for (const i of [a, b, c]) for (let k = 0; k < 3; k++) normals[i][k] += across[k];
    }
    const rows = painter.rows([3, 3]);
    painter.fill(rows, new Float32Array(mesh.vertices.flatMap((v, i) => [...v, ...normals[i]])), new Uint32Array(mesh.faces.flat()));
    return { rows, curve: false };
  }

  /** Fits the canvas to its place: in motion as fine as the pace allows; at rest, without smooth edges, twice the screen. */
  resize(moving) {
    const screen = Math.min(window.devicePixelRatio || 1, 2), still = this.painter.software ? Math.max(screen, 2) : screen;
    const fine = moving ? screen * this.pace.share : still, box = this.canvas.getBoundingClientRect();
    const width = Math.max(Math.round(box.width * fine), 1), height = Math.max(Math.round(box.height * fine), 1);
    if (this.canvas.width !== width || this.canvas.height !== height) Object.assign(this.canvas, { width, height });
    this.fine = fine;
    this.camera.aim(box.width, box.height);
  }

  theme() {
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => {
      const digits = style.getPropertyValue('--' + name).trim();
      return [1, 3, 5].map((i) => parseInt(digits.slice(i, i + 2), 16) / 255);
    };
    const names = ['paper', 'ink', 'grid', 'class0', 'class1', 'manifold', 'pale'];
    this.colours = Object.fromEntries(names.map((name) => [name, colour(name)]));
    const fixed = this.data.classes.map(({ colour: c }) => [1, 3, 5].map((i) => parseInt(c.slice(i, i + 2), 16) / 255));
    this.palette = [this.colours.class0, this.colours.class1, ...fixed.slice(2)].flat();
  }

  draw(view, moving) {
    this.resize(moving);
    const begun = performance.now();
    Field.at(this.field, view.time);
    if (!this.flat && view.boundary) this.extract(view.time);
    this.searching = performance.now() - begun;
    const gl = this.painter.gl, { low, high, matrix } = this.camera;
    gl.viewport(0, 0, this.canvas.width, this.canvas.height);
    gl.clearColor(...this.colours.paper, 1);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    this.common = {
      matrix, low, high, ...this.lights(), origin: this.origin, corner: this.corner, extent: this.extent, ...this.colours,
      spacing: this.drawing.field.spacing, size: [this.canvas.width, this.canvas.height], nearer: 0,
      colours: this.palette, rim: this.colours.paper, inside: this.colours.paper, plain: this.colours.manifold,
      scale: this.drawing.reliefScale, pull: this.drawing.pull ? this.drawing.pull.limit : 1, cellPixels: this.fine,
    };
    if (this.flat) this.drawRegions(view);
    gl.enable(gl.DEPTH_TEST);
    this.strokes(this.camera.edges(), [...this.colours.grid, 1], 1.2);
    if (!this.flat && view.boundary) this.drawSurface(view);
    if (view.manifold && this.manifold) this.drawManifold();
    this.drawPoints(view);
    gl.disable(gl.DEPTH_TEST);
    this.drawStep(view);
  }

  /** One light beside the eye, a strong one from the upper left that models dimples, a weak one against it. */
  lights() {
    const { sight, right, up } = this.camera, towards = sight.map((s) => -s);
    const from = (a, b, c) => unit(towards.map((t, k) => a * t + b * right[k] + c * up[k]));
    const upper = from(0.9, -1.3, 1.4);
    return { towards, upper, side: from(0.5, 1.5, -0.6), glance: unit(upper.map((u, k) => u + towards[k])) };
  }

  drawRegions(view) {
    const { painter, field } = this, gl = painter.gl;
    gl.activeTexture(gl.TEXTURE0);
    gl.bindTexture(gl.TEXTURE_2D, this.levels);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.R16F, this.counts[0], this.counts[1], 0, gl.RED, gl.FLOAT, field.now);
    painter.use(painter.regions, { ...this.common, levels: 0, line: view.boundary ? 1 : 0 });
    gl.drawArrays(gl.TRIANGLE_STRIP, 0, 4);
  }

  extract(time) {
    if (this.extracted === time) return;
    const { nets } = this, count = nets.extract(this.field.now);
    this.painter.fill(this.surface, nets.vertices.subarray(0, 6 * count.vertices), nets.indices.subarray(0, count.indices));
    this.extracted = time;
  }

  drawSurface(view) {
    const { painter } = this, gl = painter.gl;
    gl.activeTexture(gl.TEXTURE0);
    gl.bindTexture(gl.TEXTURE_3D, this.ways);
    const mode = this.drawing.pull && !view.sides ? 2 : 1;
    painter.use(painter.surface, { ...this.common, ...this.waysBox, ways: 0, mode, opacity: 1 });
    painter.triangles(this.surface);
  }

  drawManifold() {
    const { painter, manifold, common } = this, gl = painter.gl;
    if (manifold.curve) {
      painter.use(painter.line, { ...common, paint: [...this.colours.manifold, 1], width: (this.flat ? 2.5 : 4) * this.fine });
      painter.triangles(manifold.rows);
      return;
    }
    gl.depthMask(false);
    const wide = { low: common.low.map((v) => v - 1e3), high: common.high.map((v) => v + 1e3), origin: [0, 0, 0], spacing: 1 };
    painter.use(painter.surface, { ...common, ...wide, ways: 0, mode: 0, opacity: 0.24 });
    painter.triangles(manifold.rows);
    gl.depthMask(true);
  }

  drawPoints(view) {
    const { painter, drawing, common } = this, gl = painter.gl;
    const predictions = drawing.predictions[Math.round(view.time)];
    const rows = this.points.map((place, i) => {
      const label = drawing.labels[i], kind = label % this.data.classes.length, wrong = predictions && predictions[i] !== label ? 1 : 0;
      return [...place, kind, this.data.classes[kind].shape, wrong, view.point === i ? 1 : 0];
    });
    painter.fillRectangles(this.markers, new Float32Array(rows.flat()));
    const side = Math.max(...subtract(common.high, common.low)), radius = 5.2 * this.fine;
    const towards = (share) => this.camera.sight.map((s) => -s * share * side);
    gl.depthMask(false);
    if (!this.flat) {
      painter.use(painter.marker, { ...common, radius, ghost: 1, approach: towards(GHOST_DEPTH) });
      painter.triangles(this.markers);
    }
    painter.use(painter.marker, { ...common, radius, ghost: 0, approach: towards(0.006) });
    painter.triangles(this.markers);
    gl.depthMask(true);
  }

  /** From the chosen point to the nearest place of the boundary. */
  drawStep(view) {
    const end = view.point === null ? null : this.drawing.nearest[Math.round(view.time)][view.point];
    if (!end || end[0] === null) return;
    const place = [...end, 0].slice(0, 3), cross = 0.008 * Math.max(...subtract(this.common.high, this.common.low));
    const { right, up } = this.camera;
    const at = (a, b) => place.map((v, k) => v + cross * (a * right[k] + b * up[k]));
    const mark = [[at(-1, -1), at(1, 1)], [at(-1, 1), at(1, -1)]];
    this.strokes([[this.points[view.point], place], ...mark], [...this.colours.ink, 1], 2);
  }

  strokes(segments, paint, width) {
    this.painter.fillRectangles(this.lines, new Float32Array(segments.flat(2)));
    this.painter.use(this.painter.line, { ...this.common, paint, width: width * this.fine });
    this.painter.triangles(this.lines);
  }

  /** The point at a pixel, among those that are not hidden; null where there is none. */
  pick(x, y) {
    let best = null, least = 14;
    this.points.forEach((place, i) => {
      const [px, py] = this.camera.project(place), away = Math.hypot(px - x, py - y);
      if (away < least && !this.hidden(place)) [best, least] = [i, away];
    });
    return best;
  }

  /** Whether a surface lies far in front of a place: the sign of the level changes on the way to the eye. */
  hidden(place) {
    if (this.flat) return false;
    const side = Math.max(...subtract(this.camera.high, this.camera.low)), out = this.camera.sight.map((s) => -s);
    const along = (share) => place.map((v, k) => v + share * side * out[k]);
    const inside = (p) => p.every((v, k) => v >= this.camera.low[k] && v <= this.camera.high[k]);
    let before = Field.near(this.field, along(GHOST_DEPTH));
    for (let share = GHOST_DEPTH; share < 2 && inside(along(share)); share += 0.012) {
      const level = Field.near(this.field, along(share));
      if (level * before < 0) return true;
      before = level;
    }
    return false;
  }
}
