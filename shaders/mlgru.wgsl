// Prefill: the recurrence h = f * h + c over T tokens, a lane a channel. c becomes h in place; the state is replaced.

struct Dispatch {
  first_row: u32,
  row_count: u32,
  layer: u32,
}
@group(0) @binding(0) var<uniform> dispatch: Dispatch; // layer
@group(0) @binding(2) var<storage, read_write> gates: array<f32>; // [2 or more, CAPACITY, STRIDE] c then h, f
@group(0) @binding(3) var<storage, read_write> states: array<f32>; // [L, E] or more

// Tokens whose gates are fetched together: they do not depend on the state.
const AHEAD: u32 = 8u;

@compute @workgroup_size(32)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let channel = id.x;
  if (channel >= E) {
    return;
  }
  let state_at = dispatch.layer * E + channel;
  var h = states[state_at];
  var token = 0u;
  for (; token + AHEAD <= chunk.token_count; token += AHEAD) {
    var c: array<f32, AHEAD>;
    var f: array<f32, AHEAD>;
    for (var i = 0u; i < AHEAD; i++) {
      c[i] = gates[(token + i) * STRIDE + channel];
      f[i] = gates[(CAPACITY + token + i) * STRIDE + channel];
    }
    for (var i = 0u; i < AHEAD; i++) {
      h = next_state(f[i], h, c[i]);
      gates[(token + i) * STRIDE + channel] = h;
    }
  }
  for (; token < chunk.token_count; token++) {
    let at = token * STRIDE + channel;
    h = next_state(gates[CAPACITY * STRIDE + at], h, gates[at]);
    gates[at] = h;
  }
  states[state_at] = h;
}
