// The moving boundary: signed distances in bytes on one grid for each snapshot, stored as differences in time.

const Field = {
  /** Returns the bytes of a packed element of the page: base64 of gzip. */
  async unpack(id) {
    const text = atob(document.getElementById(id).textContent);
    const bytes = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('gzip'));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  },

  /** Returns all snapshots, with the differences in time summed up. */
  async load(description) {
    const levels = new Int8Array((await Field.unpack('field-bytes')).buffer);
    const size = description.counts.reduce((a, b) => a * b, 1);
    for (let i = size; i < levels.length; i++) levels[i] += levels[i - size];
    return { ...description, levels, size, now: new Float32Array(size), time: NaN };
  },

  /** Writes the distances at a time into `field.now`, interpolated between snapshots. */
  at(field, time) {
    if (field.time === time) return;
    const first = Math.floor(time), fraction = time - first;
    const a = field.levels.subarray(first * field.size, (first + 1) * field.size);
    const last = Math.min(first + 1, field.levels.length / field.size - 1);
    const b = field.levels.subarray(last * field.size, (last + 1) * field.size);
    const now = field.now;
    // A value of exactly zero would belong to neither side.
    for (let i = 0; i < field.size; i++) now[i] = a[i] + fraction * (b[i] - a[i]) + 0.01;
    field.time = time;
  },

  /** Returns the value at the grid point nearest to a position. */
  near(field, position) {
    let index = 0, stride = 1;
    for (let k = 0; k < field.counts.length; k++) {
      const at = Math.round((position[k] - field.origin[k]) / field.spacing);
      index += stride * Math.min(Math.max(at, 0), field.counts[k] - 1);
      stride *= field.counts[k];
    }
    return field.now[index];
  },
};
