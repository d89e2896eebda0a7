// The shapes painted with WebGL: a surface, the regions of a plane, wide lines, markers, and the class regions of a slice.

// Light and the depth of the manifold are computed at the vertices: triangles are about as large as grid cells, and software
// rendering would need twice the time to compute them at every pixel. Vertices outside the box are moved onto its walls.
// The view angle is narrow, so the directions to camera and lights are constant.
const SURFACE_VERTEX = `#version 300 es
precision highp float; precision highp sampler3D;
uniform mat4 matrix; uniform vec3 origin, low, high, corner, extent, toCamera, upper, side, halfway;
uniform float spacing, offsetLimit, scale; uniform int mode;
uniform sampler3D directions;
layout(location = 0) in vec3 cell; layout(location = 1) in vec3 slope;
out vec3 shading;
void main() {
  vec3 position = clamp(origin + spacing * cell, low, high), n = normalize(slope);
  gl_Position = matrix * vec4(position, 1.0);
  bool front = dot(n, toCamera) > 0.0;
  float depth = front ? 1.0 : -1.0;
  if (mode == 2) depth = dot((textureLod(directions, (position - corner) / extent, 0.0).xyz * 255.0 - 128.0) / 127.0 * offsetLimit, n) / scale;
  vec3 facing = front ? n : -n;
  float light = 0.2 + 0.5 * max(dot(facing, toCamera), 0.0) + 0.42 * max(dot(facing, upper), 0.0) + 0.14 * max(dot(facing, side), 0.0);
  float shine = max(dot(facing, halfway), 0.0);
  shine *= shine; shine *= shine; shine *= shine; shine *= shine;
  shading = vec3(sign(depth) * pow(min(abs(depth), 1.0), 0.8), light, 0.1 * shine);
}`;

const SURFACE_FRAGMENT = `#version 300 es
precision highp float;
uniform vec3 class0, class1, pale, plain; uniform float opacity; uniform highp int mode;
in vec3 shading; out vec4 color;
void main() {
  vec3 paint = mode == 0 ? plain : mix(pale, shading.x > 0.0 ? class1 : class0, abs(shading.x));
  color = vec4(min(paint * shading.y + shading.z, 1.0) * opacity, opacity);
}`;

const REGIONS_VERTEX = `#version 300 es
uniform mat4 matrix; uniform vec3 low, high, corner, extent;
out vec2 at;
void main() {
  vec2 side = vec2(gl_VertexID & 1, gl_VertexID >> 1), position = mix(low.xy, high.xy, side);
  at = (position - corner.xy) / extent.xy;
  gl_Position = matrix * vec4(position, -0.5, 1.0);
}`;

const REGIONS_FRAGMENT = `#version 300 es
precision highp float;
uniform sampler2D levels; uniform vec3 class0, class1, paper, ink; uniform float cellPixels; uniform bool line;
in vec2 at; out vec4 color;
void main() {
  float level = texture(levels, at).r;
  // Values run from -127 to 127 over the band; the slope turns them into pixels.
  float pixels = level / max(length(vec2(dFdx(level), dFdy(level))), 1e-4);
  vec3 region = mix(paper, mix(class0, class1, clamp(pixels + 0.5, 0.0, 1.0)), 0.26);
  float stroke = line && abs(level) < 120.0 ? 1.0 - clamp(abs(pixels) - 0.8 * cellPixels, 0.0, 1.0) : 0.0;
  color = vec4(mix(region, ink, stroke), 1.0);
}`;

const LINE_VERTEX = `#version 300 es
uniform mat4 matrix; uniform vec2 size; uniform float width, nearer;
layout(location = 0) in vec3 start; layout(location = 1) in vec3 end;
void main() {
  vec4 a = matrix * vec4(start, 1.0), b = matrix * vec4(end, 1.0);
  vec2 run = (b.xy / b.w - a.xy / a.w) * size, across = length(run) > 0.0 ? normalize(vec2(-run.y, run.x)) : vec2(0.0);
  vec4 spot = (gl_VertexID & 1) == 0 ? a : b;
  spot.xy += ((gl_VertexID & 2) > 0 ? 1.0 : -1.0) * across * width / size * spot.w;
  spot.z -= nearer * spot.w;
  gl_Position = spot;
}`;

const LINE_FRAGMENT = `#version 300 es
precision highp float;
uniform vec4 paint; out vec4 color;
void main() { color = vec4(paint.rgb * paint.a, paint.a); }`;

const MARKER_VERTEX = `#version 300 es
uniform mat4 matrix; uniform vec2 size; uniform float radius; uniform vec3 approach;
layout(location = 0) in vec3 position; layout(location = 1) in vec4 kind;
out vec2 at; flat out vec4 marker;
void main() {
  vec2 corner = vec2(gl_VertexID & 1, gl_VertexID >> 1 & 1) * 2.0 - 1.0;
  // The ring of a misclassified point is wider than its marker.
  at = (kind.z > 0.5 ? 2.1 : 1.55) * corner;
  marker = kind;
  // The marker is drawn at its point, but hidden only by surfaces in front of a position nearer to the camera.
  vec4 spot = matrix * vec4(position, 1.0), tested = matrix * vec4(position + approach, 1.0);
  spot.z = tested.z / tested.w * spot.w;
  spot.xy += at * radius * 2.0 / size * spot.w;
  gl_Position = spot;
}`;

const MARKER_FRAGMENT = `#version 300 es
precision highp float;
uniform vec3 colors[10]; uniform vec3 rim, ink, inside; uniform float radius; uniform bool outline;
in vec2 at; flat in vec4 marker; out vec4 color;
float outside(vec2 p, int shape) {
  if (shape == 0) return length(p) - 1.0;
  if (shape == 1) return (abs(p.x) + abs(p.y) - 1.3) * 0.7071;
  if (shape == 2) return max(abs(p.x), abs(p.y)) - 0.885;
  p.y += 0.1;
  return max(-p.y - 0.72, p.y * 0.5 + abs(p.x) * 0.866 - 0.72);
}
float cover(float distance) { return clamp(0.5 - distance * radius, 0.0, 1.0); }
void main() {
  float away = outside(at, int(marker.y));
  vec3 classColor = colors[int(marker.x)];
  vec4 paint = vec4(0.0);
  float ring = cover(abs(length(at) - 1.85) - 0.13) * marker.z;
  if (outline) {
    paint = vec4(mix(inside, classColor, cover(abs(away + 0.16) - 0.16)), 1.0) * cover(away);
    ring *= 0.6;
  } else {
    paint = vec4(rim, 1.0) * cover(away - 0.3);
    paint = mix(paint, vec4(classColor, 1.0), cover(away));
    if (marker.w > 0.5) paint = max(paint, vec4(ink, 1.0) * cover(abs(away - 0.42) - 0.16));
  }
  paint = mix(paint, vec4(ink, 1.0), ring);
  if (paint.a < 0.02) discard;
  color = paint;
}`;

const CLASSES_FRAGMENT = `#version 300 es
precision highp float;
uniform sampler2D levels; uniform vec3 colors[10], paper; uniform float cellPixels; uniform bool bounds;
in vec2 at; out vec4 color;
void main() {
  ivec2 bytes = ivec2(texture(levels, at).rg * 255.0 + 0.5);
  bool valid = !bounds || bytes.y >= 128;
  int label = bytes.x + 256 * (bytes.y & 127);
  // The largest number stands for points where the network has no answer.
  vec3 paint = label == 32767 ? paper : mix(paper, colors[label % 10], valid ? 0.6 : 0.3);
  if (!valid && mod(gl_FragCoord.x + gl_FragCoord.y, 9.0 * cellPixels) < 1.6 * cellPixels) paint = paper;
  color = vec4(paint, 1.0);
}`;

const WALLS_VERTEX = `#version 300 es
uniform mat4 matrix; uniform vec3 low, high;
layout(location = 0) in vec3 fraction; layout(location = 1) in vec3 slope; layout(location = 2) in vec2 paint;
out vec3 normal; out float strength; flat out int label;
void main() {
  normal = slope; strength = paint.y; label = int(paint.x + 0.5);
  gl_Position = matrix * vec4(mix(low, high, fraction), 1.0);
}`;

const WALLS_FRAGMENT = `#version 300 es
precision highp float;
uniform vec3 colors[10], paper, toCamera, upper, side;
in vec3 normal; in float strength; flat in int label; out vec4 color;
void main() {
  vec3 n = normalize(normal);
  float light = 0.6 + 0.22 * max(dot(n, toCamera), 0.0) + 0.3 * max(dot(n, upper), 0.0) + 0.1 * max(dot(n, side), 0.0);
  color = vec4(min(mix(paper, colors[label % 10], strength) * light, 1.0), 1.0);
}`;

class Painter {
  constructor(canvas) {
    this.software = Painter.withoutGraphicsCard();
    const gl = canvas.getContext('webgl2', { alpha: false, antialias: !this.software });
    this.gl = gl;
    this.surface = this.program(SURFACE_VERTEX, SURFACE_FRAGMENT);
    this.regions = this.program(REGIONS_VERTEX, REGIONS_FRAGMENT);
    this.line = this.program(LINE_VERTEX, LINE_FRAGMENT);
    this.marker = this.program(MARKER_VERTEX, MARKER_FRAGMENT);
    this.classes = this.program(REGIONS_VERTEX, CLASSES_FRAGMENT);
    this.walls = this.program(WALLS_VERTEX, WALLS_FRAGMENT);
    gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    gl.enable(gl.BLEND);
  }

  /** Returns a painter of a canvas: with WebGL 2 where the browser has it. */
  static create(canvas) {
    return document.createElement('canvas').getContext('webgl2') ? new Painter(canvas) : new CanvasPainter(canvas);
  }

  /** Returns whether rendering is in software: then antialiasing would take as much time as all other work. */
  static withoutGraphicsCard() {
    const gl = document.createElement('canvas').getContext('webgl2');
    const extension = gl.getExtension('WEBGL_debug_renderer_info');
    const name = gl.getParameter(extension ? extension.UNMASKED_RENDERER_WEBGL : gl.RENDERER);
    gl.getExtension('WEBGL_lose_context').loseContext();
    return /swiftshader|llvmpipe|software|basic render/i.test(name);
  }

  program(vertex, fragment) {
    const gl = this.gl, program = gl.createProgram();
    for (const [kind, source] of [[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, fragment]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, source);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(program));
    const uniforms = {};
    for (let i = 0; i < gl.getProgramParameter(program, gl.ACTIVE_UNIFORMS); i++) {
      const { name, type, size } = gl.getActiveUniform(program, i);
      uniforms[name.replace('[0]', '')] = { at: gl.getUniformLocation(program, name), type, size };
    }
    return { program, uniforms };
  }

  /** Starts a picture on an empty background. */
  begin(width, height, color) {
    const gl = this.gl;
    gl.viewport(0, 0, width, height);
    gl.clearColor(...color, 1);
    gl.depthMask(true);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
  }

  end() {}

  /** Paints rows with a program, and the box of a plane without rows; `state` has the tests of depth and side. */
  paint(program, uniforms, rows, { test = true, write = true, cull = false } = {}) {
    const gl = this.gl;
    for (const [ability, on] of [[gl.DEPTH_TEST, test], [gl.CULL_FACE, cull]]) on ? gl.enable(ability) : gl.disable(ability);
    gl.depthMask(write);
    this.use(program, uniforms);
    if (rows) this.triangles(rows);
    else gl.drawArrays(gl.TRIANGLE_STRIP, 0, 4);
  }

  /** Uses a program with these uniforms; those that it does not have are skipped. */
  use({ program, uniforms }, values) {
    const gl = this.gl;
    const set = {
      [gl.FLOAT_MAT4]: (at, v) => gl.uniformMatrix4fv(at, false, v), [gl.FLOAT_VEC3]: (at, v) => gl.uniform3fv(at, v),
      [gl.FLOAT_VEC2]: (at, v) => gl.uniform2fv(at, v), [gl.FLOAT_VEC4]: (at, v) => gl.uniform4fv(at, v),
      [gl.FLOAT]: (at, v) => gl.uniform1f(at, v),
      [gl.SAMPLER_2D]: (at, v) => gl.bindTexture(v.target, v.texture), [gl.SAMPLER_3D]: (at, v) => gl.bindTexture(v.target, v.texture),
    };
    gl.useProgram(program);
    for (const [name, { at, type }] of Object.entries(uniforms)) {
      if (name in values) (set[type] || ((where, v) => gl.uniform1i(where, v)))(at, values[name]);
    }
  }

  /** Returns a vertex array with one buffer of rows of numbers, divided into attributes of these sizes. */
  rows(sizes) {
    const gl = this.gl, array = gl.createVertexArray(), buffer = gl.createBuffer(), total = sizes.reduce((a, b) => a + b);
    gl.bindVertexArray(array);
    gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
    sizes.reduce((offset, size, k) => {
      gl.enableVertexAttribArray(k);
      gl.vertexAttribPointer(k, size, gl.FLOAT, false, 4 * total, 4 * offset);
      return offset + size;
    }, 0);
    const indices = gl.createBuffer();
    gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, indices);
    gl.bindVertexArray(null);
    return { array, buffer, total, count: 0 };
  }

  fill(rows, values, indices) {
    const gl = this.gl;
    gl.bindVertexArray(rows.array);
    gl.bindBuffer(gl.ARRAY_BUFFER, rows.buffer);
    gl.bufferData(gl.ARRAY_BUFFER, values, gl.DYNAMIC_DRAW);
    gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, indices, gl.DYNAMIC_DRAW);
    rows.count = indices.length;
    gl.bindVertexArray(null);
  }

  /** Returns a rectangle for each row, repeated at its four corners; instancing would take four times as long. */
  fillRectangles(rows, values) {
    const { total } = rows, count = values.length / total, copies = new Float32Array(4 * values.length), indices = new Uint32Array(6 * count);
    for (let i = 0; i < count; i++) {
      for (let corner = 0; corner < 4; corner++) copies.set(values.subarray(i * total, (i + 1) * total), (4 * i + corner) * total);
      indices.set([0, 1, 2, 2, 1, 3].map((corner) => 4 * i + corner), 6 * i);
    }
    this.fill(rows, copies, indices);
  }

  triangles(rows) {
    this.gl.bindVertexArray(rows.array);
    this.gl.drawElements(this.gl.TRIANGLES, rows.count, this.gl.UNSIGNED_INT, 0);
  }

  /** Returns a texture of two or three dimensions. */
  texture(dim, smooth) {
    const gl = this.gl, target = dim === 2 ? gl.TEXTURE_2D : gl.TEXTURE_3D, texture = gl.createTexture();
    gl.bindTexture(target, texture);
    for (const side of [gl.TEXTURE_WRAP_S, gl.TEXTURE_WRAP_T, gl.TEXTURE_WRAP_R]) gl.texParameteri(target, side, gl.CLAMP_TO_EDGE);
    for (const size of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) gl.texParameteri(target, size, smooth ? gl.LINEAR : gl.NEAREST);
    return { target, texture };
  }

  /** Fills a texture with values: `level` for one number, `pair` for two bytes, `vector` for three bytes in each cell. */
  store({ target, texture }, sizes, format, values) {
    const gl = this.gl, formats = { level: [gl.R16F, gl.RED, gl.FLOAT], pair: [gl.RG8, gl.RG, gl.UNSIGNED_BYTE], vector: [gl.RGB8, gl.RGB, gl.UNSIGNED_BYTE] };
    const [internal, external, type] = formats[format];
    gl.bindTexture(target, texture);
    if (sizes.length === 2) gl.texImage2D(target, 0, internal, ...sizes, 0, external, type, values);
    else gl.texImage3D(target, 0, internal, ...sizes, 0, external, type, values);
  }
}
