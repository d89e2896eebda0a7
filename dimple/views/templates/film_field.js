// The moving boundary: signed distances in bytes, one lattice a snapshot, stored as differences in time.

const Field = {
  /** The bytes of a packed element of the page: base64, then gzip. */
  async unpack(id) {
    const letters = atob(document.getElementById(id).textContent);
    const bytes = new Uint8Array(letters.length);
    for (let i = 0; i < letters.length; i++) bytes[i] = letters.charCodeAt(i);
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('gzip'));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  },

  /** All snapshots, with the differences in time summed up. */
  async load(description) {
    const levels = new Int8Array((await Field.unpack('field-bytes')).buffer);
    const size = description.counts.reduce((a, b) => a * b, 1);
    for (let i = size; i < levels.length; i++) levels[i] += levels[i - size];
    return { ...description, levels, size, now: new Float32Array(size), shown: NaN };
  },

  /** Puts the distances at a moment into `field.now`; between snapshots they are interpolated. */
  at(field, time) {
    if (field.shown === time) return;
    const first = Math.floor(time), share = time - first;
    const a = field.levels.subarray(first * field.size, (first + 1) * field.size);
    const last = Math.min(first + 1, field.levels.length / field.size - 1);
    const b = field.levels.subarray(last * field.size, (last + 1) * field.size);
    const now = field.now;
    // A level of exactly zero would belong to neither side.
    for (let i = 0; i < field.size; i++) now[i] = a[i] + share * (b[i] - a[i]) + 0.01;
    field.shown = time;
  },

  /** The level at a place of space, of the lattice point nearest to it. */
  near(field, place) {
    let index = 0, stride = 1;
    for (let k = 0; k < field.counts.length; k++) {
      const at = Math.round((place[k] - field.origin[k]) / field.spacing);
      index += stride * Math.min(Math.max(at, 0), field.counts[k] - 1);
      stride *= field.counts[k];
    }
    return field.now[index];
  },
};
