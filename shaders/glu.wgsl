// Prefill: silu(gate) * up of T tokens, into the gate's place.

@group(0) @binding(2) var<storage, read_write> gate_up: array<f32>; // [2, CAPACITY, STRIDE] gate, up

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x >= I) {
    return;
  }
  let at = id.y * STRIDE + id.x;
  gate_up[at] = silu(gate_up[at]) * gate_up[CAPACITY * STRIDE + at];
}
