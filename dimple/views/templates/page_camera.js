// The camera: it orbits the center of the box; in the plane it looks straight down and pans.

const subtract = (a, b) => a.map((value, k) => value - b[k]);
const dot = (a, b) => a.reduce((sum, value, k) => sum + value * b[k], 0);
const unit = (a) => { const length = Math.hypot(...a); return a.map((value) => value / length); };
const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];

const VIEW_ANGLE = 24 * Math.PI / 180;

class Camera {
  constructor(drawing) {
    this.flat = drawing.dim === 2;
    this.low = [...drawing.low, 0].slice(0, 3);
    this.high = [...drawing.high, 0].slice(0, 3);
    this.middle = this.low.map((value, k) => (value + this.high[k]) / 2);
    const eye = drawing.eye || [0, 0, 1];
    this.distance = Math.hypot(...eye);
    this.start = { turn: Math.atan2(eye[1], eye[0]), tilt: Math.asin(eye[2] / this.distance) };
    this.reset();
  }

  reset() {
    Object.assign(this, this.start, { zoom: 1, shift: [0, 0] });
  }

  /** Orbits by angles in radians; the poles are excluded, because the up direction is undefined there. */
  rotate(turn, tilt) {
    this.turn -= turn;
    this.tilt = Math.min(Math.max(this.tilt + tilt, -1.55), 1.55);
  }

  /** Pans in the plane, by fractions of the height of the picture. */
  move(right, up) {
    const limit = 0.5;
    this.shift = [this.shift[0] - right / this.zoom, this.shift[1] - up / this.zoom].map((s) => Math.min(Math.max(s, -limit), limit));
  }

  magnify(factor) {
    this.zoom = Math.min(Math.max(this.zoom * factor, 0.4), 12);
  }

  /** Sets the size of the picture, and the matrix from space to it. */
  aim(width, height) {
    this.width = width;
    this.height = height;
    if (this.flat) this.lookDown();
    else this.lookAcross();
  }

  lookDown() {
    const sides = subtract(this.high, this.low), aspect = this.width / this.height;
    // Units from the center of the picture to its upper edge, with a margin for axes and buttons.
    const half = 0.58 * Math.max(sides[1], sides[0] / aspect) / this.zoom;
    const x = this.middle[0] + 2 * half * this.zoom * this.shift[0], y = this.middle[1] + 2 * half * this.zoom * this.shift[1];
    this.eye = [x, y, 1];
    this.right = [1, 0, 0];
    this.up = [0, 1, 0];
    this.sight = [0, 0, -1];
    const sx = 1 / (half * aspect), sy = 1 / half;
    this.matrix = new Float32Array([sx, 0, 0, 0, 0, sy, 0, 0, 0, 0, -1, 0, -x * sx, -y * sy, 0, 1]);
  }

  lookAcross() {
    const out = [Math.cos(this.tilt) * Math.cos(this.turn), Math.cos(this.tilt) * Math.sin(this.turn), Math.sin(this.tilt)];
    const aspect = this.width / this.height;
    const away = this.distance / this.zoom / Math.min(1, aspect);
    this.eye = this.middle.map((value, k) => value + away * out[k]);
    this.sight = out.map((value) => -value);
    this.right = unit(cross(this.sight, [0, 0, 1]));
    this.up = cross(this.right, this.sight);
    const reach = Math.hypot(...subtract(this.high, this.low)) / 2;
    const near = Math.max(away - 1.1 * reach, 0.01 * away), far = away + 1.1 * reach;
    const focal = 1 / Math.tan(VIEW_ANGLE / 2);
    const rows = [this.right, this.up, out].map((axis) => [...axis, -dot(axis, this.eye)]);
    const depth = (near + far) / (near - far), push = 2 * near * far / (near - far);
    const matrix = new Float32Array(16);
    for (let k = 0; k < 4; k++) {
      matrix[4 * k] = focal / aspect * rows[0][k];
      matrix[4 * k + 1] = focal * rows[1][k];
      matrix[4 * k + 2] = depth * rows[2][k];
      matrix[4 * k + 3] = -rows[2][k];
    }
    matrix[14] += push;
    this.matrix = matrix;
  }

  /** Returns the pixel of a position, from the upper left corner. */
  project(position) {
    const m = this.matrix, [x, y, z = 0] = position;
    const w = m[3] * x + m[7] * y + m[11] * z + m[15];
    const right = (m[0] * x + m[4] * y + m[8] * z + m[12]) / w, up = (m[1] * x + m[5] * y + m[9] * z + m[13]) / w;
    return [(right + 1) / 2 * this.width, (1 - up) / 2 * this.height];
  }

  /** Returns the edges of the box without those at the corner nearest to the camera. */
  edges() {
    const corners = [...Array(8).keys()].filter((c) => !this.flat || c < 4);
    const position = (c) => [0, 1, 2].map((k) => ((c >> k) & 1 ? this.high[k] : this.low[k]));
    const away = (c) => Math.hypot(...subtract(position(c), this.eye));
    const nearest = this.flat ? -1 : corners.reduce((a, b) => (away(a) < away(b) ? a : b));
    const edges = [];
    for (const a of corners) {
      for (const bit of [1, 2, 4]) {
        const b = a | bit;
        if (b !== a && corners.includes(b) && a !== nearest && b !== nearest) edges.push([position(a), position(b)]);
      }
    }
    return edges;
  }
}
