// Prefill: the gates of every channel and token, in place: i becomes the candidate c = silu(i) * (1 - f), f the forget gate.

struct Dispatch {
  first_row: u32,
  row_count: u32,
  layer: u32,
}
@group(0) @binding(0) var<uniform> dispatch: Dispatch; // layer
@group(0) @binding(2) var<storage, read> lower_bounds: array<f32>; // [L, E], zero where there is none
@group(0) @binding(3) var<storage, read_write> gates: array<f32>; // [2 or more, CAPACITY, STRIDE] i, f

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x >= E) {
    return;
  }
  let at = id.y * STRIDE + id.x;
  let f = forget_gate(gates[CAPACITY * STRIDE + at], lower_bounds[dispatch.layer * E + id.x]);
  gates[at] = candidate(gates[at], f);
  gates[CAPACITY * STRIDE + at] = f;
}
